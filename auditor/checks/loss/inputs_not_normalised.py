"""Inputs off scale, constant, or prepared otherwise than in training.

What it does
------------
Looks at every feature or channel of the inputs: its mean, spread and range, whether it varies at
all, whether it holds values that are not finite, and whether training and validation data agree.
Then gives the checkpoint its inputs rescaled in the usual ways, and tells where its loss falls.

Why it matters
--------------
Layers are initialised for inputs of about zero mean and unit deviation: larger ones, or features of
very different spreads, saturate the first layer or force a learning rate too small for the others.
A model that is given inputs on another scale than in training may keep its accuracy while its loss
is wrong by ten times.

How it is measured
------------------
The first layer's curvature grows with the mean square of its inputs. From a root mean square of 5
on (25 times the curvature of unit inputs) a tanh unit of PyTorch's own initialisation is flat, its
slope below a tenth, for more than half of the examples. One feature alone may reach 10. Inputs are
too small where what they add to a unit varies by less than a tenth of the unit's random bias.
Where the model normalises first, or changes the inputs itself, what its first layer is given
counts. Splits are compared by the gap between cumulative distributions (Kolmogorov-Smirnov), with
Massart's bound for all columns together at 99 %: those of a table's values and, since a change of
spread hardly moves these, of their distances from the training median; of images and sequences
those of each example's mean and deviation, since pixels depend on one another. Where one split
holds other shares of the classes, as a balancing sampler makes it, their distance is added to the
limit: it bounds what that alone can do to any feature. Of the ways to rescale, some examples choose
the best and all others measure it, in pairs. A lower loss counts only where the training loss falls
too or the splits differ; without training data, where being over-confident does not account for it.
Fewer than 20 examples tell neither.

When it misleads
----------------
Augmentation changes the training inputs on purpose, so images and sequences have more room than
tables. Trained without training data at hand, a checkpoint may suit inputs that are off scale: then
the scale is told but not judged.

What to do
----------
Standardise each feature or channel with the training data's mean and deviation, keep these with
the checkpoint, and use the same for validation and in use.

Source
------
LeCun, Bottou, Orr and Müller 1998, "Efficient BackProp", 4.3; Massart 1990, The Annals of
Probability 18.
"""

import math
import re

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval
from auditor.core.text import counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.input_flaws import Flaw, flaws, not_finite, shown, split_name
from auditor.observations.input_shift import Shift, shifts
from auditor.observations.inputs import InputColumns, InputStatistics, InputStatisticsOf
from auditor.observations.rescaling import Gain, Rescaled, RescaledOver, gained
from auditor.observations.targets import TargetsOf, class_mix

INPUTS = InputStatisticsOf()
VALIDATION = InputStatisticsOf(split="val")
RESCALED = RescaledOver()
TRAINING_TARGETS = TargetsOf(split="train")
VALIDATION_TARGETS = TargetsOf(split="val")

FEWEST = 20
"""Examples below which nothing is said of a difference."""

SHOWN = 20
"""Columns and places that are listed."""


@check(
    title="Inputs are on the scale that the model wants",
    failure_title="Inputs are not on the scale that the model wants",
    needs=(INPUTS,),
    wants=(VALIDATION, RESCALED, TRAINING_TARGETS, VALIDATION_TARGETS),
    limits={
        "size": Limit(
            warn=5.0,
            source="LeCun et al. 1998, Efficient BackProp, 4.3: at a root mean square of 5 the "
            "first layer's curvature is 25 times that of unit inputs",
        ),
        "feature_size": Limit(
            warn=10.0,
            source="LeCun et al. 1998, Efficient BackProp, 4.3: curvature 100 times that of a "
            "feature of unit size",
        ),
        "spread_ratio": Limit(
            warn=100.0,
            source="LeCun et al. 1998, Efficient BackProp, 4.3: the ratio of curvatures, which "
            "bounds how fast gradient descent learns, is its square",
        ),
        "signal": Limit(
            warn=0.01,
            bad="below",
            source="PyTorch's initialisation: a unit's variance over examples, as a multiple of "
            "that of its random bias",
        ),
        "shift": Limit(
            warn=0.15,
            source="gap between cumulative distributions; a mean off by one deviation gives 0.38",
        ),
        "shift_augmented": Limit(
            warn=0.35,
            source="the same, with room for augmentation: contrast doubled gives more than 0.9",
        ),
        "fall": Limit(
            warn=0.25,
            source="more than what a temperature gains on a usual network (Guo et al. 2017)",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the inputs by themselves, between the splits, and by what rescaling does."""
    inputs, other, tried = seen[INPUTS], seen.get(VALIDATION), seen.get(RESCALED)
    apart = shifts(inputs, other) if other and other.split != inputs.split else ()
    mix = class_mix(seen.get(TRAINING_TARGETS), seen.get(VALIDATION_TARGETS))
    both = (inputs, other) if apart and other else (inputs,)
    alone = [
        *(flaw for part in both for flaw in not_finite(part)),
        *(flaw for columns in inputs.inputs for flaw in flaws(columns, inputs, limits)),
    ]
    between = [flaw for shift in apart for flaw in _apart(shift, limits, mix)]
    found = [*alone, *between]
    if inputs.examples < FEWEST and not apart:
        found.append(
            Flaw(
                Verdict.INFO,
                f"Of {counted(inputs.examples, 'example')} the scale can hardly be told: {FEWEST} "
                "are needed.",
            )
        )
    if tried:
        differs = any(flaw.verdict is Verdict.WARN for flaw in between)
        found.append(_rescaling(tried, limits["fall"].warn or 0.0, differs, seen.rng))
    found.sort(key=lambda flaw: _ORDER.index(flaw.verdict))
    bad = [flaw for flaw in found if flaw.verdict in (Verdict.FAIL, Verdict.WARN)]
    sentences = [flaw.sentence for flaw in found]
    if all(flaw.verdict is Verdict.PASS for flaw in (*alone, *bad)):
        sentences.insert(0, _described(inputs))
    if missing := seen.missing(RESCALED):
        sentences.append(f"Whether it wants other inputs was not looked at: {missing}.")
    return Judgement(
        found[0].verdict if found else Verdict.PASS,
        " ".join(sentences),
        metrics=_metrics(inputs, apart, tried, limits),
        where=tuple(place for flaw in bad for place in flaw.where)[:SHOWN],
        advice=tuple(dict.fromkeys(line for flaw in bad for line in flaw.advice)),
        figures=_figures(inputs, apart, tried, limits),
    )


_ORDER = (Verdict.FAIL, Verdict.WARN, Verdict.INFO, Verdict.PASS)


def _apart(shift: Shift, limits: Limits, mix: float) -> list[Flaw]:
    """Return what is apart beyond the limit and beyond what another mix of classes allows."""
    mine, theirs = shift.input, shift.other
    rows, split = min((len(mine.sample), "training"), (len(theirs.sample), "validation"))
    if rows < FEWEST:
        return [
            Flaw(
                Verdict.INFO,
                f"Of {counted(rows, f'{split} example')} it can't be told whether training and "
                f"validation inputs differ: {FEWEST} are needed.",
            )
        ]
    limit = (limits["shift" if mine.table else "shift_augmented"].warn or 0.0) + mix
    bad = np.flatnonzero(shift.low > limit)
    bad = bad[np.argsort(-shift.distance[bad])]
    first = int(bad[0] if len(bad) else shift.distance.argmax())
    gap = f"{shift.distance[first]:.2f}"
    if not len(bad):
        if not shift.distance[first] > limit:
            return []
        return [
            Flaw(
                Verdict.PASS,
                f"Training and validation lie {gap} apart in {shift.names[first]}, which chance "
                f"may account for: {shift.settled_by(limit):,} examples of each would settle it.",
            )
        ]
    column = int(mine.compared[first % len(mine.compared)])
    return [
        Flaw(
            Verdict.WARN,
            f"Training and validation inputs differ in {len(bad):,} of {len(shift.names):,} "
            f"{'features' if mine.table else 'respects'}, "
            f"most in {shift.names[first]}: mean {mine.mean[column]:.3g} and deviation "
            f"{mine.deviation[column]:.3g} in training, {theirs.mean[column]:.3g} and "
            f"{theirs.deviation[column]:.3g} in validation (their distributions lie "
            f"{gap} apart, certainly more than {shift.low[first]:.2f}).",
            tuple(
                Place(
                    "setting", shift.names[int(i)], f"distributions {shift.distance[i]:.2f} apart"
                )
                for i in bad[:SHOWN]
            ),
            (
                step(
                    "Preprocess both splits with one function, its means and deviations taken from "
                    "the training data alone.",
                    "whole = torch.cat([inputs for inputs, _ in train_loader])\n"
                    "mean, deviation = whole.mean(0), whole.std(0).clamp_min(1e-8)\n"
                    "inputs = (inputs - mean) / deviation  # of both splits",
                ),
            ),
        )
    ]


def _rescaling(tried: Rescaled, fall: float, differs: bool, rng: np.random.Generator) -> Flaw:
    """Return what the best way to rescale gains, and what it says of the checkpoint."""
    examples = len(tried.before)
    if examples < FEWEST:
        return Flaw(
            Verdict.INFO,
            f"Whether the checkpoint wants other inputs takes {FEWEST} examples to tell, "
            f"{examples} were there.",
        )
    gain = gained(tried, fall, differs, rng)
    before, after = f"{gain.before:.4g}", f"{gain.after:.4g}"
    told = gain.before - gain.after > max(fall * gain.before, 0.05 * tried.constant)
    if gain.rival and not told:
        return Flaw(
            Verdict.PASS,
            f"None of {len(tried.tried)} ways to rescale suits the checkpoint clearly better (loss "
            f"{before} as they are; the best, {tried.best}, gives {after}).",
        )
    shares = (float(np.mean(part)) for part in (tried.right_before, tried.right_after))
    score = "accuracy {:.1%} to {:.1%}, ".format(*shares) if tried.metric == "accuracy" else ""
    measured = (
        f"its inputs {tried.best}, the validation loss falls from {before} to {after} "
        f"({score}over {examples:,} examples that did not choose this; the fall is "
        f"{gain.low:.3g} to {gain.high:.3g} at 95 %)"
    )
    if gain.rival:
        return Flaw(Verdict.PASS, f"With {measured}, {_doubt(tried, gain)}.")
    return Flaw(
        Verdict.FAIL if gain.proven else Verdict.WARN,
        f"The checkpoint wants other inputs: with {measured}.",
        (Place("setting", "data.val", f"{tried.best}: loss {after}"),),
        (
            step(
                f"Preprocess as in training. Most likely: {tried.rule} ({tried.best}). Find out "
                "what the training code did, and keep it with the checkpoint.",
                _rule(tried.rule),
            ),
        ),
    )


def _rule(rule: str) -> str:
    """Return code for "x becomes a x + b"; empty where a rule is told in another way."""
    if rule == "channels 0 and 2 change places":
        return "inputs = inputs[:, [2, 1, 0]]"
    found = _RULE.fullmatch(rule)
    if found is None:
        return ""
    scale, shift = ([float(v) for v in part.strip("()").split(", ")] for part in found.groups())
    if len(scale) == len(shift) == 1:
        return f"inputs = {scale[0]:g} * inputs + {shift[0]:g}"
    shape = ".view(-1, *[1] * (inputs.ndim - 2))"
    return (
        f"scale = {snippets.tensor(scale, 4)}{shape}\n"
        f"shift = {snippets.tensor(shift, 4)}{shape}\n"
        "inputs = scale * inputs + shift"
    )


_NUMBERS = r"\(?[-+.e\d]+(?:, [-+.e\d]+)*\)?"
_RULE = re.compile(rf"x becomes ({_NUMBERS}) x \+ ({_NUMBERS})")


def _doubt(tried: Rescaled, gain: Gain) -> str:
    """Return what else may account for a fall of the loss, with its numbers."""
    match gain.rival:
        case "constant":
            return f"but the best constant answer has {tried.constant:.4g}"
        case "chance":
            enough = f"; {gain.enough:,} examples would settle it" if gain.enough else ""
            return f"which chance may account for{enough}"
        case "accuracy":
            return "but its answers get worse"
    said = []
    if tried.metric == "accuracy":
        loss = float(np.mean(tried.tempered))
        said.append(f"dividing its outputs by {tried.temperature:.3g} instead gives {loss:.4g}")
    if len(tried.train_before):
        there = (float(np.mean(part)) for part in (tried.train_before, tried.train_after))
        said.append("the training loss goes from {:.4g} to {:.4g}".format(*there))
    rival = "a wrong confidence" if tried.metric == "accuracy" else "overfitting"
    return f"which {rival} alone may account for: {'; '.join(said) or 'no training data is given'}"


def _described(seen: InputStatistics) -> str:
    parts = [
        f"{columns.name} of {counted(columns.columns, columns.kind)}, mean "
        f"{shown(float(np.mean(columns.mean)), 1.0)} and root mean square "
        f"{math.sqrt(float(np.mean(columns.square))):.3g}" + _rescaled_first(columns, seen)
        for columns in seen.inputs
    ]
    return f"Over {seen.examples:,} {split_name(seen)} examples: {'; '.join(parts)}."


def _rescaled_first(columns: InputColumns, seen: InputStatistics) -> str:
    if columns.normalises:
        return f", which {columns.layer} normalises"
    if columns.layer or not math.isfinite(seen.first_square):
        return ""
    size = math.sqrt(seen.first_square)
    return f", which the model changes first ({seen.first_layer} is given {size:.3g})"


def _metrics(
    seen: InputStatistics, apart: tuple[Shift, ...], tried: Rescaled | None, limits: Limits
) -> tuple[Metric, ...]:
    found = []
    for columns in seen.inputs:
        square = np.asarray(columns.square)
        low, high = (math.sqrt(max(bound, 0.0)) for bound in mean_interval(square))
        value = math.sqrt(float(np.mean(square)))
        found.append(
            Metric(f"root mean square of {columns.name}", value, "", low, high, limits["size"])
        )
    far = [(float(s.distance.max()), float(s.low[s.distance.argmax()])) for s in apart]
    if far:
        distance, low = max(far)
        found.append(Metric("largest gap between the splits", distance, "", low, 1.0))
    if tried is not None:
        found += [
            Metric(name, float(np.mean(losses)), "", *mean_interval(losses))
            for name, losses in (
                ("validation loss as it is", tried.before),
                (f"validation loss, {tried.best}", tried.after),
            )
        ]
    return tuple(found)


def _figures(
    seen: InputStatistics, apart: tuple[Shift, ...], tried: Rescaled | None, limits: Limits
) -> tuple[Figure, ...]:
    each = max(1, SHOWN // max(1, len(seen.inputs)))
    rows = [(columns, int(c)) for columns in seen.inputs for c in columns.worst[:each]]
    labels = tuple(columns.named(c) for columns, c in rows)
    means = tuple(float(columns.mean[c]) for columns, c in rows)
    spreads = tuple(float(columns.deviation[c]) for columns, c in rows)
    found: list[Figure] = [
        Table(
            "Inputs, column by column",
            f"The columns furthest from mean 0 and deviation 1, {split_name(seen)} data"
            f" ({listed(sorted({columns.why for columns in seen.inputs}))}).",
            ("column", "mean", "deviation", "least", "most", "not finite"),
            tuple(
                (
                    columns.named(c),
                    float(columns.mean[c]),
                    float(columns.deviation[c]),
                    float(columns.least[c]),
                    float(columns.most[c]),
                    int(columns.lost[c]),
                )
                for columns, c in rows
            ),
        ),
        Bars(
            "Mean and deviation of the inputs",
            "Each bar is a column's mean, the bracket one deviation to either side.",
            "value",
            labels,
            means,
            low=tuple(m - s for m, s in zip(means, spreads, strict=True)),
            high=tuple(m + s for m, s in zip(means, spreads, strict=True)),
        ),
    ]
    for shift in apart:
        order = np.argsort(-shift.distance, kind="stable")[:SHOWN]
        limit = limits["shift" if shift.input.table else "shift_augmented"]
        found.append(
            Bars(
                "Training against validation inputs",
                "Largest gap between the two cumulative distributions, of a table's values or of "
                "their distances from the training median; the bracket starts at what it is at "
                "least, at 99 % for all columns together.",
                "gap",
                tuple(shift.names[int(i)] for i in order),
                tuple(float(shift.distance[i]) for i in order),
                low=tuple(float(shift.low[i]) for i in order),
                high=tuple(float(shift.distance[i]) for i in order),
                marked=tuple(bool(shift.low[i] > limit.warn) for i in order),
                guides=limit.guides(),
            )
        )
    if tried is not None:
        order = np.argsort(tried.losses, kind="stable")[:12]
        order = order[np.isfinite(np.asarray(tried.losses)[order])]
        shown = np.asarray(tried.losses, float)[order]
        found.append(
            Bars(
                "Loss with the inputs rescaled",
                "Validation loss of the checkpoint on the examples that chose, best first; the "
                "line is the loss with the inputs as they are, on the others.",
                "loss",
                tuple(tried.tried[int(i)] for i in order),
                tuple(float(loss) for loss in shown),
                guides=(Guide(float(np.mean(tried.before)), "as they are"),),
                log=bool(shown.min(initial=1.0) > 0 and shown.max() > 30 * shown.min()),
            )
        )
    return tuple(found)
