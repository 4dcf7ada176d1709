"""Weights that 1 % of noise undoes, by layer; curvature and slices of the loss.

What it does
------------
Changes the weights by small shares of themselves, at random and in the worst direction, and
measures how much is lost of what the model has learnt; finds the layer that bears it least; draws
the loss around the weights; and measures the curvature of the loss there.

Why it matters
--------------
Rounding, averaging, pruning, quantising and a further step of training all change weights a little.
A model that 1 % of noise undoes holds huge weights that cancel, or leans on inputs or targets whose
mean is far larger than their spread: it will not survive 8 bits, barely bfloat16, and trains on
badly.

How it is measured
------------------
In evaluation mode, on the same batches throughout, of training data where there is any. Random:
every trainable weight w becomes w (1 + r z), z standard normal and drawn anew for each batch, r
from 0.1 to 30 %, twice at 1 % (for comparison: bfloat16 rounds by up to 0.4 %). Worst: w + s w² g /
|w g|, with g the gradient on other batches, taken three times on the way uphill; the change's
length relative to the weights, |Δw / w|, is s. This is the step of ASAM with its element-wise
normalisation; s = 0.02 is as long as a change of one single weight by 2 %.

What is lost is the rise of the loss as a share of what separates it from the loss of answers that
know nothing; of classes the smaller of this share and that of the accuracy. The verdict is its mean
over batches, 1 at most on each: it warns where half is surely lost (99 %, shared between the two
changes) to 1 % of random change or to the worst change of length 0.02. Both are unmoved when a
ReLU unit's incoming weights are multiplied and its outgoing ones divided by a number, which leaves
the model as it is.

The largest eigenvalue of the loss's Hessian is Lanczos' with full reorthogonalisation, over a few
batches, dropout off and batch norm on the batch's statistics; |Hv - λv| is shown beside it. The
trace is the mean of z'Hz over random signs z. Slices move every filter by as much as its own norm
at ±1 and leave vectors, biases and the scales of norms, where they are.

When it misleads
----------------
The eigenvalue and the trace do not decide anything here, and sharp is not the same as bad. Keskar
et al. saw minima found with large batches to be sharper and to generalise worse; Dinh et al. showed
that rescaling makes any minimum of a ReLU network as sharp as one likes, by such measures, without
changing a single answer. A network trained by gradient descent at a rate η is usually found where
the eigenvalue is near 2/η (Cohen et al. 2021): that is normal. Small samples overstate the largest
eigenvalue: compare the curvature along its vector on other batches. Targets or inputs with a mean
of a hundred times their spread make a sound model look needle-sharp; it is one, until they are
standardised.

What to do
----------
Look at the layer named first: weights far larger than its neighbours', inputs with a large mean.
Centre inputs and targets, train on with weight decay or with SAM, average the weights of the last
epochs.

Source
------
Kwon et al. 2021, "ASAM", eqs. 3 and 6 (the scale-invariant step); Jiang et al. 2020, "Fantastic
Generalization Measures", section on magnitude-aware perturbation; Andriushchenko et al. 2023, "A
Modern Look at the Relationship between Sharpness and Generalization" (adaptive sharpness on average
and at worst); Li et al. 2018, "Visualizing the Loss Landscape", section 4; Keskar et al. 2017, "On
Large-Batch Training"; Dinh et al. 2017, "Sharp Minima Can Generalize for Deep Nets", section 3;
Cohen et al. 2021, "Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability";
Hutchinson 1990; Parlett 1998, "The Symmetric Eigenvalue Problem", ch. 13.
"""

import math

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, mean_interval
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.curvature import Curvature, CurvatureOver
from auditor.observations.sharpness import LENGTHS, RADII, RANDOM, Sharpness, SharpnessOver
from auditor.observations.sharpness_figures import figures_of_sharpness

SHARPNESS = SharpnessOver()
CURVATURE = CurvatureOver()

WORST = LENGTHS.index(0.02)

SURE = 1 - 0.01 / 2
"""99 %, shared out among the two changes that are judged."""

LITTLE = 0.05
"""Share of the loss of knowing nothing below which there is too little learnt to be lost."""

SOURCE = (
    "half of what was learnt: fifteen healthy models of many kinds lose at most 0.3 % to a random "
    "change of 1 %, and at most 1 % to the worst one of length 0.02"
)


@check(
    title="What was learnt bears small changes of the weights",
    failure_title="Small changes of the weights undo what was learnt",
    needs=(SHARPNESS,),
    wants=(CURVATURE,),
    limits={
        "random": Limit(warn=0.5, source=SOURCE),
        "worst": Limit(warn=0.5, source=SOURCE),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge what is lost to changes of the weights by shares of themselves."""
    sharp, curved = seen[SHARPNESS], seen.get(CURVATURE)
    reason = _nothing_to_lose(sharp)
    if reason:
        return Judgement(Verdict.NOT_APPLICABLE, reason)
    lost = {
        "random": sharp.lost(sharp.noisy, sharp.noisy_scores)[RANDOM],
        "worst": sharp.lost(sharp.worst, sharp.worst_scores)[WORST],
    }
    verdicts = {name: _verdict(values, limits[name]) for name, values in lost.items()}
    ruined = [name for name, verdict in verdicts.items() if verdict is Verdict.WARN]
    unsure = [name for name, verdict in verdicts.items() if verdict is Verdict.INFO]
    verdict = Verdict.WARN if ruined else Verdict.INFO if unsure else Verdict.PASS
    where = _where(sharp, random="random" in ruined) if ruined else ()
    summary = [_measured(lost)]
    if ruined:
        names = listed([f"`{place.name}`" for place in where], 3)
        summary.append(f"Most of this is lost in {names}.")
    elif unsure:
        summary.append(_unsure(lost[unsure[0]], limits[unsure[0]]))
    summary += [_curved(curved) if curved else "", _noted(sharp, curved, seen.missing(CURVATURE))]
    return Judgement(
        verdict,
        " ".join(filter(None, summary)),
        metrics=(*_metrics(sharp, lost, limits), *(_of_curvature(curved) if curved else ())),
        where=where,
        advice=_advice(sharp, where) if ruined else (),
        figures=figures_of_sharpness(sharp, curved),
    )


def _nothing_to_lose(sharp: Sharpness) -> str:
    """Return why there is nothing that could be lost, empty where there is."""
    gain, chance = float(sharp.gain.mean()), float(np.mean(sharp.chance))
    low, _ = mean_interval(sharp.gain, 0.99)
    if not math.isfinite(gain):
        return f"The loss of {sharp.baseline} is not a finite number, so there is no measure."
    if gain <= 0 or -math.inf < low <= 0 or (chance > 0 and gain < LITTLE * chance):
        return (
            f"At the checkpoint the loss is {float(np.mean(sharp.losses)):.3g} on {sharp.split} "
            f"data, not clearly below the {chance:.3g} of {sharp.baseline}: nothing was learnt "
            "that changes of the weights could undo."
        )
    return ""


def _verdict(lost: Array, limit: Limit) -> Verdict:
    """Warn where the share is surely beyond the limit; where it may be, it is undecided."""
    if limit.verdict(float(lost.mean())) is Verdict.PASS:
        return Verdict.PASS
    low, _ = mean_interval(lost, SURE)
    return Verdict.INFO if limit.verdict(low) is Verdict.PASS else Verdict.WARN


def _measured(lost: dict[str, Array]) -> str:
    said = {name: _percent(float(values.mean())) for name, values in lost.items()}
    return (
        f"A random change of every weight by 1 % of itself undoes {said['random']} "
        f"of what was learnt; the worst change found that is no longer than one weight's by "
        f"2 % undoes {said['worst']}."
    )


def _percent(share: float) -> str:
    return "nothing" if share < 0.0005 else "all" if share > 0.9995 else f"{share * 100:.1f} %"


def _unsure(lost: Array, limit: Limit) -> str:
    low, high = mean_interval(lost, SURE)
    needed = examples_to_settle(
        len(lost), float(lost.mean()), low, high, limit.warn if limit.warn is not None else 0.0
    )
    more = f"; about {counted(needed, 'batch', 'batches')} would settle it" if needed else ""
    seen = counted(len(lost), "batch", "batches")
    return f"That is beyond the limit, but not surely so on {seen}{more}."


def _curved(curved: Curvature) -> str:
    return (
        f"The largest eigenvalue of the loss's Hessian is {curved.largest:.3g} (residual "
        f"{curved.residual:.2g}), which by itself says nothing of quality: rescaling changes it."
    )


def _noted(sharp: Sharpness, curved: Curvature | None, missing: str) -> str:
    notes = list(dict.fromkeys(filter(None, (sharp.note, curved.note if curved else ""))))
    if curved is not None and curved.method.startswith("differences"):
        notes.append("curvature is by differences of gradients")
    if missing:
        notes.append(f"the curvature was not measured: {missing}")
    said = "; ".join(notes)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _metrics(sharp: Sharpness, lost: dict[str, Array], limits: Limits) -> tuple[Metric, ...]:
    names = {
        "random": f"lost to a random change of {RADII[RANDOM] * 100:g} %",
        "worst": f"lost to the worst change of length {LENGTHS[WORST]:g}",
    }
    made = []
    for name, values in lost.items():
        least, most = mean_interval(values)
        low, high = _ends(least, min(most, 1.0) if math.isfinite(most) else most)
        share = "of what was learnt"
        made.append(Metric(names[name], float(values.mean()), share, low, high, limits[name]))
    half = _half(sharp.lost(sharp.noisy, sharp.noisy_scores).mean(axis=1))
    if half is not None:
        made.append(Metric("random change that undoes half", half, "of each weight"))
    return tuple(made)


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    """Return an interval for the record, none where it bounds nothing."""
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)


def _half(lost: Array) -> float | None:
    """Return the random change at which half is lost, between two radii in logarithms."""
    for place in range(1, len(RADII)):
        before, after = float(lost[place - 1]), float(lost[place])
        if before < 0.5 <= after:
            share = (0.5 - before) / (after - before)
            return float(RADII[place - 1] * (RADII[place] / RADII[place - 1]) ** share)
    return None


def _of_curvature(curved: Curvature) -> tuple[Metric, ...]:
    made = [Metric("largest eigenvalue of the Hessian", curved.largest)]
    if math.isfinite(curved.along):
        name = "curvature along its vector on other batches"
        made.append(Metric(name, curved.along, "", *_ends(curved.low, curved.high)))
    ends = _ends(curved.trace_low, curved.trace_high)
    made.append(Metric("trace of the Hessian", curved.trace, "", *ends))
    if curved.largest > 0:
        made.append(Metric("rate up to which gradient descent is stable", 2 / curved.largest))
    return tuple(made)


def _where(sharp: Sharpness, *, random: bool) -> tuple[Place, ...]:
    """Return the layers in which most is lost, worst first."""
    if random:
        names, values = sharp.layers, sharp.lost_alone
        change = f"{sharp.alone_at * 100:g} %"
        said = f"a random change of it alone by {change} undoes {{}} of the gain in loss"
    else:
        names, values = sharp.owners, np.asarray(sharp.climbed, float)
        said = "it makes {} of the worst change"
    order = np.argsort(-values, kind="stable")
    kept = [int(place) for place in order if values[place] >= 0.25] or [int(order[0])]
    return tuple(
        Place("layer", names[place], said.format(_percent(float(values[place])))) for place in kept
    )


def _advice(sharp: Sharpness, where: tuple[Place, ...]) -> tuple[str, ...]:
    name = where[0].name
    tiny = _percent(float(sharp.lost(sharp.noisy, sharp.noisy_scores)[0].mean()))
    return (
        step(
            f"Look at `{name}`: weights far larger than in the layers beside it, with signs that "
            "cancel in the sum, or inputs whose mean is many times their spread. This lists sizes:",
            "for name, p in model.named_parameters():\n"
            "    print(name, p.abs().max().item(), p.std().item())",
        ),
        f"Where what goes into `{name}` is far from zero, centre it: standardise inputs and "
        "targets, or put a normalisation layer before it, and train again.",
        step(
            "Train on with weight decay (`weight_decay=1e-4` to `5e-4`) or with SAM, and keep an "
            "average of the weights; then audit again.",
            "averaged = torch.optim.swa_utils.AveragedModel(model)\n"
            "averaged.update_parameters(model)  # after each epoch\n"
            "torch.optim.swa_utils.update_bn(train_loader, averaged)  # at the end",
        ),
        "Until then keep the checkpoint in float32: float16 rounds each weight by up to 0.05 %, "
        f"bfloat16 by up to 0.4 %; a random change of 0.1 % undoes {tiny} of what was learnt.",
    )
