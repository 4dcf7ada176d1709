"""Inputs that are off scale, empty, or not those that the model was trained with.

What it does
------------
Looks at every feature or channel of the inputs: its mean, spread and range, whether it varies at
all, whether it holds values that are not finite, and whether training and validation data agree.
Then gives the checkpoint its inputs rescaled in the usual ways, and tells where its loss falls.

Why it matters
--------------
Layers are initialised for inputs of about zero mean and unit deviation. Larger ones saturate the
first layer, or force a learning rate too small for all the others; features of very different
spreads do that to each other. And a model that is given inputs on another scale than in training
may keep its accuracy while its loss is wrong by ten times.

How it is measured
------------------
The first layer's curvature grows with the mean square of its inputs. From a root mean square of 5
on (25 times the curvature of unit inputs) a tanh unit of PyTorch's own initialisation is flat, its
slope below a tenth, for more than half of the examples. One feature alone may reach 10. Inputs are
too small where what they add to a unit varies by less than a tenth of the unit's random bias.
Where the model normalises first, or changes the inputs itself, what its first layer is given
counts. Splits are compared by the gap between cumulative distributions (Kolmogorov-Smirnov), with
Massart's bound for all columns together at 99 %; of images and sequences by each example's mean
and deviation, since pixels depend on one another. Where one split holds other shares of the
classes, as a balancing sampler makes it, their distance is added to the limit: it bounds what that
alone can do to any feature. Of the ways to rescale, some examples choose the best and all others
measure it, in pairs. A lower loss counts only where the training loss falls too or the splits
differ; without training data, where being over-confident does not account for it.

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
from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.inputs import (
    InputColumns,
    InputStatistics,
    InputStatisticsOf,
    Shift,
    shifts,
)
from auditor.observations.rescaling import Gain, Rescaled, RescaledOver, gained
from auditor.observations.targets import TargetsOf, class_mix

INPUTS = InputStatisticsOf()
VALIDATION = InputStatisticsOf(split="val")
RESCALED = RescaledOver()
TRAINING_TARGETS = TargetsOf(split="train")
VALIDATION_TARGETS = TargetsOf(split="val")

FEWEST = 20
"""Examples below which nothing is said of a difference."""

VARIES = 100
"""Examples after which a feature that never varied does so in 3 % of examples at most."""

SHOWN = 20
"""Columns and places that are listed."""


@dataclass(frozen=True)
class Problem:
    """One thing found: how bad, in a sentence, where, and what to do."""

    verdict: Verdict
    sentence: str
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()


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
    differs = [problem for shift in apart if (problem := _differs(shift, limits, mix))]
    both = (inputs, other) if apart and other else (inputs,)
    problems = [
        *(p for part in both for p in _not_finite(part)),
        *(p for columns in inputs.inputs for p in _columns(columns, inputs, limits)),
        *differs,
    ]
    gain = None
    if tried and len(tried.before) >= FEWEST:
        gain = gained(tried, limits["fall"].warn or 0.0, bool(differs), seen.rng)
    if tried and gain:
        problems.append(_rescaling(tried, gain))
    problems.sort(key=lambda p: _ORDER.index(p.verdict))
    bad = [p for p in problems if p.verdict is not Verdict.INFO]
    verdict = bad[0].verdict if bad else Verdict.INFO if problems else Verdict.PASS
    sentences = [p.sentence for p in problems] or [_described(inputs)]
    if not gain:
        sentences.append(_no_gain(tried, seen.missing(RESCALED)))
    return Judgement(
        verdict,
        " ".join(s for s in sentences if s),
        metrics=_metrics(inputs, apart, tried, limits),
        where=tuple(place for p in bad for place in p.where)[:SHOWN],
        advice=tuple(dict.fromkeys(line for p in bad for line in p.advice)),
        figures=_figures(inputs, apart, tried, limits),
    )


_ORDER = (Verdict.FAIL, Verdict.WARN, Verdict.INFO)


def _not_finite(seen: InputStatistics) -> list[Problem]:
    found = []
    for columns in seen.inputs:
        bad = np.flatnonzero(columns.lost)
        if len(bad):
            names = [columns.named(int(c)) for c in bad]
            found.append(
                Problem(
                    Verdict.FAIL,
                    f"{counted(int(columns.lost.sum()), 'value')} of the {_split(seen)} inputs "
                    f"{'is' if columns.lost.sum() == 1 else 'are'} not finite, in {listed(names)}.",
                    tuple(
                        Place("setting", columns.named(int(c)), f"{columns.lost[c]:,} not finite")
                        for c in bad
                    ),
                    (
                        f"Fill in or leave out what is missing in {listed(names)} before the model "
                        "sees it, and tell it that it was missing by a feature of 0 and 1.",
                    ),
                )
            )
    return found


def _columns(columns: InputColumns, seen: InputStatistics, limits: Limits) -> list[Problem]:
    """Return what is wrong with one input by itself."""
    found = [p for p in (_constant(columns, seen), _scale(columns, seen, limits)) if p]
    if seen.split == "train":
        return found
    note = " Its checkpoint may suit that: without training data the scale is not judged."
    return [Problem(Verdict.INFO, p.sentence + (note if p is found[-1] else "")) for p in found]


def _constant(columns: InputColumns, seen: InputStatistics) -> Problem | None:
    bad = columns.constant
    # One of several inputs may be a mask of ones, or a state that starts at zero.
    idle = len(bad) == columns.columns and len(seen.inputs) > 1
    if not len(bad) or idle or seen.examples < VARIES:
        return None
    names = listed([columns.named(int(c)) for c in bad])
    return Problem(
        Verdict.WARN,
        f"Nothing varies in {names} over {seen.examples:,} {_split(seen)} examples.",
        tuple(
            Place("setting", columns.named(int(c)), f"always {columns.mean[c]:.4g}") for c in bad
        ),
        (
            f"Look at how {names} {'is' if len(bad) == 1 else 'are'} read: a constant tells the "
            "model nothing. Mend it or leave it out.",
        ),
    )


def _scale(columns: InputColumns, seen: InputStatistics, limits: Limits) -> Problem | None:
    """Return what is wrong with the scale of an input, the whole of it before single columns."""
    largest = limits["size"].warn or math.inf
    if columns.normalises or not np.isfinite(columns.mean).all() or len(columns.square) < 2:
        return None
    if not columns.layer and seen.first_square <= largest**2:
        return None
    size, deviation, spreading = columns.size, columns.deviation, columns.spreading
    into = f"; it goes into {columns.layer} as it is" if columns.layer else ""

    def problem(sentence: str, order: Array) -> Problem:
        places = _places(columns, order)
        return Problem(Verdict.WARN, f"{sentence}{into}.", places, (_standardise(columns),))

    if mean_interval(columns.square, 0.99)[0] > largest**2:
        many = columns.columns > 1
        counting = f", over all {columns.columns:,} {columns.kind}s" if many else ""
        return problem(
            f"{_called(columns)} is not normalised: its root mean square is {columns.whole:.3g} "
            f"(mean {_shown(float(np.mean(columns.mean)), columns.whole)}, range "
            f"{columns.least.min():.3g} to {columns.most.max():.3g}{counting}), where about 1 is "
            "wanted",
            np.argsort(-size),
        )
    big = np.argsort(-size)[: int((size > (limits["feature_size"].warn or math.inf)).sum())]
    if len(big) and not columns.pixels:
        first = int(big[0])
        names = listed([columns.named(int(c)) for c in big])
        return problem(
            f"{_called(columns)} is not normalised in {names}: mean {columns.mean[first]:.3g} and "
            f"deviation {deviation[first]:.3g} in {columns.named(first)}",
            big,
        )
    if len(spreading) > 1 and not columns.pixels:
        least, most = int(spreading[0]), int(spreading[-1])
        ratio = deviation[most] / deviation[least]
        if ratio > (limits["spread_ratio"].warn or math.inf):
            return problem(
                f"{_called(columns)} spreads {ratio:,.0f} times as wide in {columns.named(most)} "
                f"as in {columns.named(least)} (deviations {deviation[most]:.3g} and "
                f"{deviation[least]:.3g})",
                np.array([most, least]),
            )
    if 0 < columns.signal < (limits["signal"].warn or 0.0):
        return problem(
            f"{_called(columns)} hardly varies: its deviation is "
            f"{math.sqrt(float(np.square(deviation).mean())):.2g}, so a unit that sums "
            f"{columns.summed:,} of its values is moved less than by its own random bias",
            np.argsort(deviation),
        )
    return None


def _places(columns: InputColumns, order: Array) -> tuple[Place, ...]:
    return tuple(
        Place(
            "setting",
            columns.named(int(c)),
            f"mean {columns.mean[c]:.3g}, deviation {columns.deviation[c]:.3g}",
        )
        for c in order[:5]
    )


def _standardise(columns: InputColumns) -> str:
    few = columns.columns <= 4
    means, deviations = (
        ", ".join(_shown(float(v), float(s)) for v, s in zip(part, columns.size, strict=True))
        for part in (columns.mean, columns.deviation)
    )
    how = (
        f"subtract {means} and divide by {deviations}"
        if few
        else "`(x - mean) / deviation`, each column by its own of the training data"
    )
    name = "the input" if columns.name == "input" else f"{columns.name!r}"
    return f"Standardise {name} for training and validation alike: {how}."


def _differs(shift: Shift, limits: Limits, mix: float) -> Problem | None:
    """Return what is apart beyond the limit and beyond what another mix of classes allows."""
    if min(len(shift.input.sample), len(shift.other.sample)) < FEWEST:
        return None
    limit = limits["shift" if shift.input.table else "shift_augmented"]
    bad = np.flatnonzero(shift.low > (limit.warn or 0.0) + mix)
    if not len(bad):
        return None
    bad = bad[np.argsort(-shift.distance[bad])]
    first = int(bad[0])
    column = int(shift.input.compared[first % len(shift.input.compared)])
    mine, theirs = shift.input, shift.other
    return Problem(
        Verdict.WARN,
        f"Training and validation inputs differ in {len(bad):,} of {len(shift.names):,} "
        f"{'features' if mine.table else 'respects'}, "
        f"most in {shift.names[first]}: mean {mine.mean[column]:.3g} and deviation "
        f"{mine.deviation[column]:.3g} in training, {theirs.mean[column]:.3g} and "
        f"{theirs.deviation[column]:.3g} in validation (their distributions lie "
        f"{shift.distance[first]:.2f} apart, certainly more than {shift.low[first]:.2f}).",
        tuple(
            Place("setting", shift.names[int(i)], f"distributions {shift.distance[i]:.2f} apart")
            for i in bad[:SHOWN]
        ),
        (
            "Preprocess both splits with one function, its means and deviations taken from the "
            "training data alone.",
        ),
    )


def _rescaling(tried: Rescaled, gain: Gain) -> Problem:
    shares = (float(np.mean(part)) for part in (tried.right_before, tried.right_after))
    score = "accuracy {:.1%} to {:.1%}, ".format(*shares) if tried.metric == "accuracy" else ""
    return Problem(
        Verdict.FAIL if gain.proven else Verdict.WARN,
        f"The checkpoint wants other inputs: with its inputs {tried.best}, the validation loss "
        f"falls from {gain.before:.4g} to {gain.after:.4g} ({score}over "
        f"{len(tried.before):,} examples that did not choose this; the fall is "
        f"{gain.low:.3g} to {gain.high:.3g} at 95 %).",
        (Place("setting", "data.val", f"{tried.best}: loss {gain.after:.4g}"),),
        (
            f"Preprocess as in training. Most likely: {tried.rule} ({tried.best}). Find out what "
            "the training code did, and keep it with the checkpoint.",
        ),
    )


def _no_gain(tried: Rescaled | None, missing: str) -> str:
    if tried is None:
        return f"Whether it wants other inputs was not looked at: {missing}." if missing else ""
    before, after = float(np.mean(tried.before)), float(np.mean(tried.after))
    if len(tried.before) < FEWEST:
        return (
            f"Whether the checkpoint wants other inputs takes {FEWEST} examples to tell, "
            f"{len(tried.before)} were there."
        )
    if before - after > max(0.25 * before, 0.05 * tried.constant):
        return (
            f"With its inputs {tried.best} the loss is {after:.4g} instead of {before:.4g}, which "
            "chance, or a wrong confidence alone, may account for."
        )
    return (
        f"None of {len(tried.tried)} ways to rescale suits the checkpoint clearly better (loss "
        f"{before:.4g} as they are; the best, {tried.best}, gives {after:.4g})."
    )


def _described(seen: InputStatistics) -> str:
    parts = [
        f"{columns.name} of {counted(columns.columns, columns.kind)}, mean "
        f"{_shown(float(np.mean(columns.mean)), 1.0)} and root mean square "
        f"{math.sqrt(float(np.mean(columns.square))):.3g}" + _rescaled_first(columns, seen)
        for columns in seen.inputs
    ]
    return f"Over {seen.examples:,} {_split(seen)} examples: {'; '.join(parts)}."


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
            Metric("validation loss as it is", float(np.mean(tried.before))),
            Metric(f"validation loss, {tried.best}", float(np.mean(tried.after))),
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
            f"The columns furthest from mean 0 and deviation 1, {_split(seen)} data"
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
                "Largest gap between the two cumulative distributions; the bracket starts at what "
                "it is at least, at 99 % for all columns together.",
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


def _split(seen: InputStatistics) -> str:
    return "training" if seen.split == "train" else "validation"


def _called(columns: InputColumns) -> str:
    return "The input" if columns.name == "input" else f"The input {columns.name!r}"


def _shown(value: float, beside: float) -> str:
    """Return a number in three digits; what is nothing beside the other is 0."""
    return "0" if abs(value) < 1e-5 * abs(beside) else f"{value:.3g}"
