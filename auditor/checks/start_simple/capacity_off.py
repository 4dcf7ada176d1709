"""A model too small to fit its data, or so large that it merely remembers it.

What it does
------------
Sets the number of parameters beside the number of training examples, and the error on training
data beside that on validation data. Then trains fresh copies on a few training examples, with
their own targets and with each other's.

Why it matters
--------------
A layer too narrow to let the input through can't be mended by training. A network that learns
wrong targets as fast as right ones finds nothing in the data that carries over to other examples:
what it gets right in training it has learnt by heart.

How it is measured
------------------
Up to 256 training examples. Fresh copies, without dropout, are trained on them by Adam for 150
steps, at the best of 1e-3, 3e-3 and 1e-2. Too small: a linear model fits the same examples better
than each copy. Copies are then trained for up to 600 steps at each rate. The check warns where the
linear model is still ahead by 10 % of a constant's error with 99 % confidence (paired over the
examples), where the pace of the loss would not close the gap in as many steps again, and where a
layer passes on fewer numbers than the output needs (C - 1 for C classes); it fails where the
checkpoint itself, too, is that far behind a linear model on the training data. Without such a layer
the cause is another than size, and it only says so.

Too large: for each seed two copies start from the same weights and see the same batches, one with
the targets dealt to other examples. The area under its loss curve over that of the other says how
much slower it learns. Networks of many parameters that generalise can learn random targets, too
(Zhang et al. 2017), but they learn true ones faster (Arpit et al. 2017). So the check warns only
where all of this is shown: ten parameters or more for each training target, random targets learnt,
less than half as long again for them as for true ones (95 % interval over eight seeds, three where
a step is costly or parameters are fewer), and a gap between training and validation beyond 5 % of a
constant's error (99 %).

When it misleads
----------------
Training data that is augmented differs from pass to pass and makes the gap look small. Where parts
are frozen, fresh copies lack what those parts had learnt, so nothing is said about too small. A
model whose targets repeat its inputs is narrow on purpose; it is held against no linear model.

What to do
----------
Too small: widen the layer named. Too large: fewer units, more data, weight decay or early stopping;
and look at the labels, since right ones are learnt faster than random ones.

Source
------
Zhang, Bengio, Hardt, Recht, Vinyals 2017, "Understanding deep learning requires rethinking
generalization"; Arpit et al. 2017, "A closer look at memorization in deep networks"; Goodfellow,
Bengio, Courville 2016, "Deep Learning", section 11.4 (underfitting, overfitting); Karpathy 2019, "A
Recipe for Training Neural Networks" ("overfit", then "regularize").
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import (
    examples_to_settle,
    geometric_interval,
    mean_interval,
    paired_bootstraps,
    welch_interval,
)
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModelsOver
from auditor.observations.capacity import Capacity, CapacityOver
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.targets import best_constant_score

CAPACITY = CapacityOver()
TRAIN = PerformanceOver(split="train")
VAL = PerformanceOver(split="val")
SIMPLE = SimpleModelsOver()

FEWEST = 20
"""Examples of each split below which the gap between them is not judged."""

EVERY = 5
"""Steps that the curves are averaged over."""

LEARNT = 0.5
"""Share of the constant's error below which random targets count as learnt."""


@dataclass(frozen=True)
class Gap:
    """How much larger the checkpoint's error is on validation data, in shares of a constant's.

    [low, high] is its 95 % interval, `sure` the least it is with 99 % confidence. `train` and
    `val` are the scores.
    """

    metric: str
    train: float
    val: float
    value: float
    low: float
    high: float
    sure: float


@check(
    title="The model's size suits its data",
    failure_title="The model's size does not suit its data",
    needs=(CAPACITY,),
    wants=(TRAIN, VAL, SIMPLE),
    limits={
        "shortfall": Limit(
            warn=0.1,
            source="in shares of a constant's error; a linear model is the least that a network "
            "can stand for (Goodfellow et al. 2016, 11.2), and a tenth is far beyond what seeds "
            "differ by",
        ),
        "slowness": Limit(
            warn=1.5,
            bad="below",
            source="Arpit et al. 2017: networks that generalise learn true targets faster than "
            "random ones; less than half as long again is about as fast",
        ),
        "per_target": Limit(
            warn=10.0,
            source="Zhang et al. 2017: twice the number of examples suffices to learn any "
            "targets by heart; ten times is well beyond",
        ),
        "gap": Limit(
            warn=0.05,
            source="in shares of a constant's error; smaller gaps are found in most models that "
            "were trained to the end",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether fresh copies fit too little, or anything at all."""
    found = seen[CAPACITY]
    gap = _gap(seen.get(TRAIN), seen.get(VAL))
    slowness = found.slowness()
    slow, low, high = geometric_interval(slowness)
    verdict, small = _too_small(seen, found, limits["shortfall"])
    large, heart = _too_large(found, gap, limits)
    if large:
        verdict = Verdict.WARN
    elif verdict is Verdict.PASS and not found.true_scores.size and not len(slowness):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "Neither scores nor losses of the fresh copies can be compared: no standard metric "
            "applies, and the losses are not all positive numbers.",
        )
    summary = (
        f"{counted(found.parameters, 'trainable parameter')} for "
        f"{counted(found.targets, 'training target')}, {_round(found.per_target)} each.{small}"
        f"{_speed(found, slow, low, high)}{_gap_words(gap)}{heart}"
    )
    if found.note:
        summary += f" {found.note[0].upper()}{found.note[1:]}."
    narrow = found.narrowest()
    where: tuple[Place, ...] = ()
    if verdict is not Verdict.PASS and large:
        where = (Place("setting", "parameters", f"{_round(found.per_target)} for each target"),)
    elif verdict in (Verdict.WARN, Verdict.FAIL) and narrow is not None:
        where = (
            Place("layer", clean_text(narrow[0]), f"passes on {counted(narrow[1], 'number')}"),
        )
    return Judgement(
        verdict,
        summary,
        metrics=_metrics(found, gap, limits, (slow, low, high), slowness),
        where=where,
        advice=_advice(verdict, found, large),
        figures=_figures(found),
    )


def _too_small(seen: Seen, found: Capacity, limit: Limit) -> tuple[Verdict, str]:
    """Return the verdict on whether the model fits too little, and what is said of it."""
    copies = np.asarray(found.true_scores, float)
    linear = np.asarray(found.linear_scores, float)
    if not copies.size or not np.isfinite(copies).all():
        return Verdict.PASS, ""
    higher = found.metric == "accuracy"
    best = copies[int((copies if higher else -copies).mean(axis=1).argmax())]
    own = (
        f" Fresh copies fit {found.subset:,} training examples to {_article(found.metric)} of "
        f"{best.mean():.3g}"
    )
    if not linear.size:
        why = f" ({found.linear_missing})" if found.linear_missing else ""
        return Verdict.PASS, f"{own}; no linear model stands beside them{why}."
    rival = f"a linear model of {counted(found.linear_parameters, 'parameter')}"
    longer = np.asarray(found.longer_scores, float)
    if not longer.size:
        return Verdict.PASS, f"{own}, {rival} to {linear.mean():.3g}."
    best = longer if (longer.mean() > best.mean()) == higher else best
    ahead = linear - best if higher else best - linear
    ((sure, _),) = paired_bootstraps(ahead, np.zeros_like(ahead), seen.rng, (0.99,))
    share = sure / found.constant_error if found.constant_error > 0 else math.nan
    said = (
        f" Fresh copies fit {found.subset:,} training examples to {_article(found.metric)} of "
        f"{best.mean():.3g} at best, after up to {len(found.longer):,} steps, {rival} to "
        f"{linear.mean():.3g}"
    )
    if limit.warn is None or not share > limit.warn:
        return Verdict.PASS, f"{said}: not far apart."
    if not found.out_of_reach:
        return (
            Verdict.INFO,
            f"{said}, but their loss still falls; whether they are too small is open.",
        )
    if found.frozen:
        return Verdict.INFO, (
            f"{said}; {counted(found.frozen, 'parameter')} are frozen, so fresh copies lack what "
            "those had learnt."
        )
    narrow = found.narrowest()
    if narrow is None:
        return Verdict.INFO, (
            f"{said}. No layer is narrower than the output needs, so it is not size that holds "
            "them back: look at the gradients and at the initialisation."
        )
    said += (
        f": layer {clean_text(narrow[0])!r} passes on {counted(narrow[1], 'number')}, too few for "
        f"{found.outputs:,} outputs."
    )
    if _checkpoint_behind(seen, found, limit):
        return Verdict.FAIL, f"{said} The checkpoint itself is as far behind."
    return Verdict.WARN, said


def _checkpoint_behind(seen: Seen, found: Capacity, limit: Limit) -> bool:
    """Tell whether the checkpoint fits the training data far worse than a linear model does."""
    train, simple = seen.get(TRAIN), seen.get(SIMPLE)
    if train is None or simple is None or limit.warn is None:
        return False
    linear = np.asarray(simple.models[0].train_scores, float)
    own = np.asarray(train.scores, float)
    if len(linear) != len(own) or len(own) < FEWEST:
        return False
    ahead = linear - own if train.metric == "accuracy" else own - linear
    ((sure, _),) = paired_bootstraps(ahead, np.zeros_like(ahead), seen.rng, (0.99,))
    return sure > limit.warn * found.constant_error


def _too_large(found: Capacity, gap: Gap | None, limits: Limits) -> tuple[bool, str]:
    """Tell whether all that speaks for too many parameters is shown, and what is said of it."""
    many, slow, apart = (limits[name].warn for name in ("per_target", "slowness", "gap"))
    if many is None or slow is None or apart is None or gap is None:
        return False, ""
    if not (found.all_counted and found.per_target > many and _learnt(found) and gap.sure > apart):
        return False, ""
    slowness = found.slowness()
    times, low, high = geometric_interval(slowness)
    if high < slow:
        return True, (
            " So large a network learns this data by heart: it finds next to nothing in it that "
            "holds for other examples."
        )
    if not low < slow:
        return False, ""
    ends = (math.log(value) for value in (times, low, high, slow))
    needed = examples_to_settle(len(slowness), *ends) if times < slow else None
    settle = f"; {needed:,} seeds would settle it" if needed else ""
    return False, f" Whether they learn true targets any faster is not certain{settle}."


def _learnt(found: Capacity) -> bool:
    """Tell whether copies learnt random targets by heart."""
    error = found.error(found.random_scores)
    if not math.isnan(error):
        return error < LEARNT
    losses = np.asarray(found.random, float)
    return bool(losses.size and losses[:, -1].mean() < LEARNT * losses[:, 0].mean())


def _gap(train: Performance | None, val: Performance | None) -> Gap | None:
    """Return the gap between the splits, None where it can't be told."""
    if train is None or val is None or min(train.examples, val.examples) < FEWEST:
        return None
    own, other = np.asarray(train.scores, float), np.asarray(val.scores, float)
    higher = val.metric == "accuracy"
    best = best_constant_score(val)
    error = 1 - best if higher else best
    if not (error > 0 and np.isfinite(own).all() and np.isfinite(other).all()):
        return None
    a, b = (own, other) if higher else (other, own)
    low, high = (end / error for end in welch_interval(a, b))
    sure = welch_interval(a, b, 0.99)[0] / error
    value = float(a.mean() - b.mean()) / error
    return Gap(val.metric, float(own.mean()), float(other.mean()), value, low, high, sure)


def _article(metric: str) -> str:
    return f"{'an' if metric[0] in 'aeiou' else 'a'} {metric}"


def _speed(found: Capacity, slow: float, low: float, high: float) -> str:
    """Return how random targets are learnt."""
    if math.isnan(slow):
        return ""
    fitted = found.error(found.random_scores)
    if not _learnt(found):
        reached = (
            "" if math.isnan(fitted) else f", down to {_percent(fitted)} % of a constant's error"
        )
        return (
            f" Targets dealt at random they hardly learn in {found.random.shape[1]:,} steps"
            f"{reached}; the area under the loss is {slow:.3g} times that of true ones."
        )
    return (
        f" Targets dealt at random they learn by heart, too, which takes {slow:.3g} times as long "
        f"as true ones (95 % interval {low:.3g} to {high:.3g}, over "
        f"{counted(len(found.random), 'seed')})."
    )


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if abs(share) >= 0.1 else f"{100 * share:.2g}"


def _gap_words(gap: Gap | None) -> str:
    if gap is None:
        return ""
    return (
        f" The checkpoint's {gap.metric} is {gap.train:.3g} on training and {gap.val:.3g} on "
        f"validation data, a gap of {_percent(gap.value)} % of a constant's error (95 % interval "
        f"{_percent(gap.low)} to {_percent(gap.high)} %)."
    )


def _metrics(
    found: Capacity,
    gap: Gap | None,
    limits: Limits,
    slow: tuple[float, float, float],
    slowness: Array,
) -> tuple[Metric, ...]:
    metrics = [
        Metric("trainable parameters", found.parameters),
        Metric("training examples", found.examples),
        Metric("parameters for each training target", found.per_target, limit=limits["per_target"]),
    ]
    if len(slowness):
        metrics.append(
            Metric(
                "time to learn random targets, over that of true ones",
                slow[0],
                "",
                *slow[1:],
                limits["slowness"],
            )
        )
    if found.true_scores.size:
        best = np.asarray(found.true_scores, float).mean(axis=1)
        metrics.append(
            Metric(f"{found.metric} of fresh copies on what they fit", float(best.mean()))
        )
        random = float(np.mean(found.random_scores))
        metrics.append(Metric(f"{found.metric} of fresh copies on random targets", random))
    if found.linear_scores.size:
        linear = np.asarray(found.linear_scores, float)
        metrics.append(Metric(f"{found.metric} of a linear model there", float(linear.mean())))
    if gap is not None:
        metrics.append(
            Metric(
                "gap from training to validation, in a constant's errors",
                gap.value,
                "",
                gap.low,
                gap.high,
                limits["gap"],
            )
        )
    return tuple(metrics)


def _advice(verdict: Verdict, found: Capacity, large: bool) -> tuple[str, ...]:
    narrow = found.narrowest()
    if large:
        start = (
            f"the linear model of {counted(found.linear_parameters, 'parameter')}"
            if found.linear_parameters
            else "one hidden layer of 16 units"
        )
        return (
            f"Start again from {start} and add units only while the validation error falls: "
            f"{_round(found.per_target)} parameters for each target can learn anything by heart.",
            f"Look at {min(50, found.examples)} training examples with their targets: random ones "
            "are learnt as fast as these, so many of these may be wrong, or the inputs may not "
            "tell them apart.",
            "Keep the model from learning by heart: more data, weight decay 1e-2 with AdamW, "
            "dropout 0.5, and stop when the validation loss has not fallen for 5 epochs.",
        )
    if verdict in (Verdict.WARN, Verdict.FAIL) and narrow is not None and found.outputs:
        return (
            f"Widen layer {clean_text(narrow[0])!r} from {narrow[1]:,} to {found.outputs:,} or "
            "more, build the model afresh and train it again: weights alone can't mend it.",
            f"Then see that a fresh model fits {found.subset:,} training examples as well as a "
            f"linear model does ({found.metric} {np.mean(found.linear_scores):.3g}).",
        )
    return ()


def _figures(found: Capacity) -> tuple[Lines | Bars, ...]:
    figures: list[Lines | Bars] = []
    if found.true.size and found.random.size:
        figures.append(
            Lines(
                title="Learning true and random targets",
                caption=f"Loss of fresh copies on {found.subset:,} training examples, Adam at "
                f"{found.rate:g}: mean over {EVERY} steps and {counted(len(found.true), 'seed')}, "
                "the band from the least to the most of these. Curves far apart: the model finds "
                "something to learn. Curves that fall together: it learns by heart.",
                x_label="step",
                y_label="loss",
                series=(_curve("true targets", found.true), _curve("random targets", found.random)),
            )
        )
    if found.true_scores.size and found.linear_scores.size:
        rows = [np.asarray(found.true_scores, float).mean(axis=0)]
        names = ["fresh copies"]
        if found.longer_scores.size:
            rows.append(np.asarray(found.longer_scores, float))
            names.append("trained longer")
        rows.append(np.asarray(found.linear_scores, float))
        names.append("linear model")
        intervals = [mean_interval(row) for row in rows]
        figures.append(
            Bars(
                title="What is fitted of the same examples",
                caption=f"{found.metric.capitalize()} on the {found.subset:,} training examples "
                "that each was trained on, with its 95 % interval over them.",
                label=found.metric,
                labels=tuple(names),
                values=tuple(float(row.mean()) for row in rows),
                low=tuple(low for low, _ in intervals),
                high=tuple(high for _, high in intervals),
            )
        )
    return tuple(figures)


def _curve(name: str, losses: Array) -> Series:
    """Return the mean curve with the least and the most of the seeds, averaged over `EVERY` steps.

    Batches come around in turn, and some are harder than others.
    """
    table = np.asarray(losses, float)
    starts = np.arange(0, table.shape[1], EVERY)
    means = np.stack([table[:, start : start + EVERY].mean(axis=1) for start in starts])
    return Series(
        name,
        tuple(map(float, starts)),
        tuple(map(float, means.mean(axis=1))),
        tuple(map(float, means.min(axis=1))),
        tuple(map(float, means.max(axis=1))),
    )
