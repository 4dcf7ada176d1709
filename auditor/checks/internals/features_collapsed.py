"""Features that vary in too few directions, from which layer on, and the classes lost with them.

What it does
------------
Takes each layer's output for validation examples, one row an example, and measures in how many
directions the rows vary: their effective rank, by depth. It looks for the layer from which on the
features no longer vary, or vary in far fewer directions than the classes ask for, or are the same
at all steps of a sequence; for pairs of classes that an earlier layer told apart and the last one
does not; and for classes that are never predicted though their features stand apart. Layers alike
are told for information.

Why it matters
--------------
What a layer throws away, no later layer gets back. A network whose features have collapsed may have
a loss that still falls: it learns the frequencies of the classes, and no more.

How it is measured
------------------
Outputs are averaged over positions or time; wide ones are projected to 128 columns at random. The
effective rank is exp(-Σ p ln p) of p = σ / Σσ, the singular values σ of the centred features
(RankMe, without its 10⁻⁷). Asked for are no more directions than a classifier needs at the end
of training, classes less 1 (neural collapse), than the layer has units, the inputs have
directions, or an eighth of the examples can show; and at most 32. What counts is (rank - 1) over
(asked for - 1) in a run of layers that goes on to the last; a collapse that later layers do not
show lies in a branch. Its interval comes from a jackknife over ten blocks. Where each example has
a class, a low rank counts only where classes are lost with it. Two classes are lost where they lie
less than 1 deviation apart at the end and, beyond doubt (99 %, shared out among pairs and layers),
less than half as far as in an earlier layer or in the inputs. A class never predicted counts where
most examples of the others are right. Steps are compared in the first batch: where all are equal
from some layer on, though they differed before, it fails if the outputs are by step, else warns.
Likeness of layers is linear CKA.

When it misleads
----------------
Averages over positions hide what only positions tell, unless all of them are equal. Classes that
lie along one line, such as ratings, need one direction: only lost classes count there. Two classes,
or one number to predict, need one direction too, so that only constant features are found. Layers
of a residual network are alike by nature. A branch that never varies, such as an embedding of
places, is no fault.

What to do
----------
Look at the first layer named: its weights (`weights-degenerate`), its activation (`dead-units`,
saturation), a bottleneck that is too narrow, normalisation over the wrong dimension. Put a shortcut
or normalisation around it, lower the learning rate and train anew.

Source
------
Roy & Vetterli 2007, "The effective rank". Garrido, Balestriero, Najman & LeCun 2023, "RankMe",
ICML. Papyan, Han & Donoho 2020, PNAS 117 (neural collapse). Kornblith, Norouzi, Lee & Hinton 2019,
ICML (linear CKA). Dong, Cordonnier & Loukas 2021, "Attention is not all you need", ICML (tokens
that become one). Hedges & Olkin 1985, "Statistical methods for meta-analysis".
"""

import math
from itertools import pairwise

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.class_separation import (
    INPUTS,
    LostPair,
    Unpredicted,
    lost_pairs,
    unpredicted,
)
from auditor.observations.feature_depths import (
    Depth,
    depths_of,
    jackknife,
    last_judged,
    lasting,
    uniform_from,
)
from auditor.observations.feature_figures import figures_of
from auditor.observations.features import (
    Features,
    FeaturesOver,
    LayerFeatures,
    linear_cka,
)

FEATURES = FeaturesOver(split="val")

FEWEST = 20
"""Examples below which nothing is said."""
ALIKE = 0.99
"""Linear CKA from which on two layers hold the same, but for a rotation and a scale."""


@check(
    title="Layers keep what tells the examples apart",
    failure_title="Features have collapsed",
    needs=(FEATURES,),
    limits={
        "directions": Limit(
            warn=0.3, fail=0.15, bad="below", source="after neural collapse a classifier fills all "
            "of classes - 1 directions (Papyan et al. 2020); last layers of healthy models "
            "measured fill more than half"
        ),
        "lost_pairs": Limit(warn=0, source="no pair is lost beyond doubt in a healthy model"),
    },
)  # fmt: skip
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether features keep varying, in directions enough, and classes stay apart."""
    told = seen[FEATURES]
    finite = [layer for layer in told.layers if np.isfinite(layer.features).all()]
    if not finite or finite[-1] is not told.layers[-1]:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "The last layer's output is not finite for all examples, so nothing can be said of "
            "its rank.",
        )
    if told.examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Only {counted(told.examples, 'validation example')} were seen; at least {FEWEST} "
            "are needed to tell in how many directions features vary.",
        )
    depths = depths_of(told, finite)
    still = lasting([d.of.still for d in depths])
    lost, tried = lost_pairs(told) if still is None else ([], 0)
    dead = unpredicted(told) if still is None else []
    limit = limits["directions"]
    low = lasting([None if math.isnan(d.filled) else d.filled < (limit.warn or 0) for d in depths])
    low = None if still is not None else low
    last = last_judged(depths)
    interval, sure = jackknife(last) if last is not None else ((math.nan,) * 2, (math.nan,) * 2)
    uniform = uniform_from(finite) if still is None else None
    verdicts = [Verdict.PASS]
    if still is not None:
        verdicts.append(Verdict.FAIL)
    if low is not None and last is not None:
        verdicts.append(
            _of_rank(last, sure, limit, apart=tried > 0 and not (lost or dead), known=tried > 0)
        )
    if limits["lost_pairs"].verdict(len(lost)) is not Verdict.PASS:
        verdicts.append(Verdict.WARN)
    if dead:
        verdicts.append(Verdict.WARN)
    if uniform is not None:
        verdicts.append(Verdict.FAIL if finite[-1].uniform else Verdict.WARN)
    verdict = worst(verdicts)
    culprit = depths[still if still is not None else low or 0].of.layer
    collapsed = still is not None or (low is not None and verdicts[1] is not Verdict.PASS)
    where = [Place("layer", clean_text(culprit), "collapsed from here on")] if collapsed else []
    if uniform is not None:
        name = clean_text(uniform.layer)
        where.append(Place("layer", name, "puts out the same at all steps of a sequence"))
    for name in dict.fromkeys(pair.since for pair in lost):
        there = [pair.classes for pair in lost if pair.since == name]
        more = f" and {counted(len(there) - 1, 'more pair')}" if len(there) > 1 else ""
        note = f"loses classes {there[0][0]} and {there[0][1]}{more}"
        where.append(Place("layer", clean_text(name), note))
    where += [
        Place("layer", clean_text(finite[-1].layer), f"never gives class {d.label}") for d in dead
    ]
    alike = _alike(finite)
    said = _sentences(told, depths, still, low, last, interval, lost, dead, alike)
    advice = _advice(culprit if collapsed else "", lost, dead) if len(verdicts) > 1 else ()
    if uniform is not None:
        said.append(_all_steps_one(uniform))
        advice = (*advice, *_steps_advice(uniform))
    return Judgement(
        verdict,
        " ".join(said),
        metrics=_metrics(told, last, interval, lost, tried, limits),
        where=tuple(where),
        advice=advice,
        figures=figures_of(told, depths, lost),
    )


def _of_rank(
    last: Depth, sure: tuple[float, float], limit: Limit, *, apart: bool, known: bool
) -> Verdict:
    """Judge a low rank that goes on to the last layer.

    Where classes of examples are known and none is lost with it, it is all that they need; where
    they are not known, it may be what the task needs, so that it warns at most.
    """
    if apart or (limit.warn is not None and sure[1] >= limit.warn):
        return Verdict.PASS
    verdict = limit.verdict(last.filled, *sure)
    if not known:
        return Verdict.WARN if verdict is Verdict.FAIL else Verdict.PASS
    return verdict


def _all_steps_one(uniform: LayerFeatures) -> str:
    return (
        f"From {clean_text(uniform.layer)} on, all steps of a sequence have the same features, "
        "though they differ before: where in the sequence something stands is lost."
    )


def _steps_advice(uniform: LayerFeatures) -> tuple[str, ...]:
    return (
        f"Look at what goes into `{clean_text(uniform.layer)}`: a mean over time that is spread "
        "over all steps again, attention that weighs all keys alike (see saturated-units), a "
        "shortcut around it that is missing.",
    )


def _alike(layers: list[LayerFeatures]) -> list[tuple[str, str]]:
    """Return neighbouring layers with weights of their own whose features are all but the same."""
    weighted = [layer for layer in layers if layer.weighted and layer.units > 2]
    return [
        (a.layer, b.layer)
        for a, b in pairwise(weighted)
        if linear_cka(a.features, b.features) > ALIKE
    ]


def _sentences(
    told: Features,
    depths: list[Depth],
    still: int | None,
    low: int | None,
    last: Depth | None,
    interval: tuple[float, float],
    lost: list[LostPair],
    dead: list[Unpredicted],
    alike: list[tuple[str, str]],
) -> list[str]:
    said = []
    if still is not None:
        said.append(
            f"From {clean_text(depths[still].of.layer)} on, the features are the same for all "
            f"{told.examples:,} examples."
        )
    elif last is not None:
        low_end, high_end = (1 + bound * (last.asked - 1) for bound in interval)
        begins = f", low from {clean_text(depths[low].of.layer)} on" if low is not None else ""
        said.append(
            f"The features of {clean_text(last.of.layer)} vary in {last.rank:.3g} directions "
            f"({max(1.0, low_end):.3g} to {high_end:.3g}) over {told.examples:,} examples, where "
            f"{last.asked} are asked for{begins}."
        )
        if low is not None and not (lost or dead):
            said.append("No two classes are lost with it, so that it may be all they need.")
    else:
        said.append(
            f"Features vary over {told.examples:,} examples in all {counted(len(depths), 'layer')} "
            f"up to the last; its effective rank is {depths[-1].rank:.3g}. No more than two "
            "directions are asked for, by the task or by so few examples, so that it is not judged."
        )
    for pair in lost[:2]:
        a, b = pair.classes
        said.append(
            f"Classes {a} and {b} are {pair.before.value:.2g} deviations apart in "
            f"{clean_text(pair.best)}, and {pair.after.value:.2g} at the end: lost in "
            f"{clean_text(pair.since)}."
        )
    if len(lost) > 2:
        said.append(f"In all {counted(len(lost), 'pair')} of classes are lost.")
    for one in dead[:2]:
        said.append(
            f"Class {one.label} is never predicted for its {counted(one.examples, 'example')}, "
            f"though the last layer holds it {one.apart.value:.2g} deviations apart from class "
            f"{one.instead}, which is mostly predicted."
        )
    quiet = [d.of.layer for d in depths if d.of.still]
    if quiet and still is None:
        said.append(f"Constant on average, though what follows varies: {listed(quiet, 3)}.")
    if alike:
        pairs = [f"{a} and {b}" for a, b in alike]
        said.append(f"For information, all but the same (CKA > {ALIKE}): {listed(pairs, 2)}.")
    return said


def _metrics(
    told: Features,
    last: Depth | None,
    interval: tuple[float, float],
    lost: list[LostPair],
    tried: int,
    limits: Limits,
) -> tuple[Metric, ...]:
    found = [Metric("examples", told.examples), Metric("layers", len(told.layers))]
    if last is not None:
        name = f"directions filled by {clean_text(last.of.layer, 60)}"
        unit = "of those asked for"
        found.append(Metric(name, last.filled, unit, *interval, limit=limits["directions"]))
    if tried:
        found.append(Metric("pairs of classes lost", len(lost), limit=limits["lost_pairs"]))
        found.append(Metric("pairs of classes tried", tried))
    return tuple(found)


def _advice(culprit: str, lost: list[LostPair], dead: list[Unpredicted]) -> tuple[str, ...]:
    advice = []
    if culprit:
        name = clean_text(culprit)
        advice += [
            f"Look at `{name}`, where it begins: weights of low rank or of equal units (see "
            "weights-degenerate), units at zero (see dead-units), a normalisation over the wrong "
            "dimension, or a learning rate that blew it up.",
            step(
                f"Initialise `{name}` anew, put normalisation before it or a shortcut around it, "
                "and train with a lower learning rate; watch the rank of what it puts out, of "
                "`features` [examples, units], after each epoch:",
                "centred = (features - features.mean(0)).double()\n"
                "spread = torch.linalg.svdvals(centred) ** 2\n"
                "share = spread / spread.sum()\n"
                "print(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))",
            ),
        ]
    if lost:
        pair = lost[0]
        a, b = pair.classes
        advice.append(
            f"Compare what goes into `{clean_text(pair.since)}` and what comes out for classes "
            f"{a} and {b}: it was {'the inputs' if pair.best == INPUTS else clean_text(pair.best)} "
            "that told them apart. See also whether their labels were merged in training."
        )
    if dead:
        one = dead[0]
        advice.append(
            f"Look at the last layer's row and bias of class {one.label}: the features are there, "
            "so that training this layer alone, with the class in the data, will do."
        )
    return tuple(advice)
