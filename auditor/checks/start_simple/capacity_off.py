"""A model too small to do what a linear fit does, or one that learns noise as fast as truth.

What it does
------------
Sets the number of parameters beside the number of training examples, and the error on training
data beside that on validation data. Then trains fresh copies on a few training examples, with
their own targets and with each other's.

Why it matters
--------------
A layer too narrow to let the input through can't be mended by training. A network that learns wrong
targets as fast as right ones finds nothing in the data that carries over: what it gets right in
training it has learnt by heart.

How it is measured
------------------
Up to 256 training examples, fewer where they hold more than 4,096 targets together (tokens,
pixels), but 64. Fresh copies, without dropout, are trained on them by Adam for 150 steps, at the
best of 1e-3, 3e-3 and 1e-2. Too small: a linear model fits the same examples better than each copy.
Copies are then trained for up to 600 steps at each rate. It counts where the linear model is still
ahead by 10 % of a constant's error with 99 % confidence (paired over the examples) and the pace of
the loss would not close the gap in as many steps again. The check then looks for the cause in what
layers take in and pass on, in the order in which they run: fewer numbers for each example than the
outputs need (C - 1 for C classes) and than the inputs hold, at a place that everything passes
(given the mean of all examples there, the copy answers alike to all). It warns where there is one,
or where the checkpoint itself, too, is that far behind a linear model on the training data; it
fails where both are so.

Too large: for each seed two copies start from the same weights and see the same batches, one with
the targets dealt to other examples; where these are not learnt, for up to 600 steps. The area under
its loss curve over that of the other, both cut off at the loss that they start from, says how much
slower it learns. Networks of many parameters that generalise can learn random targets, too (Zhang
et al. 2017), but they learn true ones faster (Arpit et al. 2017). So the check warns only where all
of this is shown: ten parameters or more for each training target, random targets learnt, less than
half as long again for them as for true ones (99 %, over eight seeds; three where a step is costly,
or where these already take twice as long with 95 % confidence), and a gap between training and
validation beyond 5 % of a constant's error (99 %). Where none of this is refuted but some is open,
it says so and what would settle it.

When it misleads
----------------
Training data that is augmented differs from pass to pass and makes the gap look small. Where parts
are frozen, fresh copies lack what those parts had learnt, so nothing is said about too small. A
model whose targets repeat its inputs is narrow on purpose; it is held against no linear model. The
quick profile's three seeds seldom show that a model is too large.

What to do
----------
Too small: let more through at the layer named. Too large: fewer units, more data, weight decay or
early stopping; and look at the labels, since right ones are learnt faster than random ones.

Source
------
Zhang, Bengio, Hardt, Recht, Vinyals 2017, "Understanding deep learning requires rethinking
generalization"; Arpit et al. 2017, "A closer look at memorization in deep networks"; Goodfellow,
Bengio, Courville 2016, "Deep Learning", section 11.4 (underfitting, overfitting); Karpathy 2019, "A
Recipe for Training Neural Networks" ("overfit", then "regularize").
"""

import math

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import geometric_interval, mean_interval
from auditor.core.text import clean_text, counted, percent
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModelsOver
from auditor.observations.by_heart import ByHeart, Gap, by_heart, gap_between
from auditor.observations.capacity import Capacity, CapacityOver, Strait
from auditor.observations.performance import PerformanceOver
from auditor.observations.shortfall import best_copy, of_checkpoint, of_copies

CAPACITY = CapacityOver()
TRAIN = PerformanceOver(split="train")
VAL = PerformanceOver(split="val")
SIMPLE = SimpleModelsOver()

EVERY = 5
"""Steps that the curves are averaged over."""

DOES = {"in": "takes in", "out": "passes on"}

LARGE = {"shown": Verdict.WARN, "open": Verdict.INFO, "refuted": Verdict.PASS}
"""What each standing of the evidence for too many parameters comes to."""

WORST_FIRST = (Verdict.FAIL, Verdict.WARN, Verdict.INFO, Verdict.PASS)
"""Which of two verdicts counts: what is open does not pass."""


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
    gap = gap_between(seen.get(TRAIN), seen.get(VAL))
    slowness = found.slowness()
    if not found.true_scores.size and not len(slowness):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "Neither scores nor losses of the fresh copies can be compared: no standard metric "
            "applies, and the losses are not all positive numbers.",
        )
    slow, low, high = geometric_interval(slowness)
    small, fitted = _too_small(seen, found, limits["shortfall"])
    large = _too_large(found, gap, limits)
    verdict = min(small, LARGE[large.standing], key=WORST_FIRST.index)
    summary = (
        f"{counted(found.parameters, 'trainable parameter')} for "
        f"{counted(found.targets, 'training target')}, {_round(found.per_target)} each.{fitted}"
        f"{_speed(found, slow, low, high)}{_gap_words(gap)}{_heart(large)}"
    )
    if found.note:
        summary += f" {found.note[0].upper()}{found.note[1:]}."
    where: tuple[Place, ...] = ()
    if large.standing == "shown":
        where = (Place("setting", "parameters", f"{_round(found.per_target)} for each target"),)
    elif small in (Verdict.WARN, Verdict.FAIL) and found.strait is not None:
        where = (Place("layer", clean_text(found.strait.layer), _passes(found.strait)),)
    return Judgement(
        verdict,
        summary,
        metrics=_metrics(found, gap, limits, (slow, low, high), slowness),
        where=where,
        advice=_advice_large(found) if large.standing == "shown" else _advice_small(small, found),
        figures=_figures(found),
    )


def _too_small(seen: Seen, found: Capacity, limit: Limit) -> tuple[Verdict, str]:
    """Return the verdict on whether the model fits too little, and what is said of it."""
    if not found.true_scores.size or not np.isfinite(found.true_scores).all():
        return Verdict.PASS, ""
    own = (
        f" Fresh copies fit {found.subset:,} training examples to {_article(found.metric)} of "
        f"{best_copy(found).mean():.3g}"
    )
    if not found.linear_scores.size:
        why = f" ({found.linear_missing})" if found.linear_missing else ""
        return Verdict.PASS, f"{own}; no linear model stands beside them{why}."
    behind = of_copies(found, seen.rng)
    rival = f"a linear model of {counted(found.linear_parameters, 'parameter')}"
    if not found.longer_scores.size:
        return Verdict.PASS, f"{own}, {rival} to {behind.linear:.3g}."
    said = f"{own} at best, after up to {len(found.longer):,} steps, {rival} to {behind.linear:.3g}"
    if limit.warn is None or not behind.high > limit.warn:
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
    if not behind.low > limit.warn:
        needed = behind.needed(limit.warn)
        settle = f"; {needed:,} training examples would settle it" if needed else ""
        return Verdict.INFO, f"{said}: whether they are far apart is not certain{settle}."
    checkpoint = of_checkpoint(seen.get(TRAIN), seen.get(SIMPLE), found, seen.rng)
    too = checkpoint is not None and checkpoint.low > limit.warn
    itself = " The checkpoint itself is as far behind." if too else ""
    narrow = found.strait
    if narrow is None:
        return Verdict.WARN if too else Verdict.INFO, (
            f"{said}.{itself} No layer that everything passes through takes in or passes on fewer "
            "numbers than the outputs need, so which part holds them back is open."
        )
    return Verdict.FAIL if too else Verdict.WARN, (
        f"{said}: layer {clean_text(narrow.layer)!r} {_passes(narrow)} for each example, where "
        f"the outputs need {narrow.needed:,}.{itself}"
    )


def _passes(narrow: Strait) -> str:
    return f"{DOES[narrow.side]} {counted(narrow.numbers, 'number')}"


def _too_large(found: Capacity, gap: Gap | str, limits: Limits) -> ByHeart:
    """Return whether all that speaks for too many parameters is shown."""
    many, slow, apart = (limits[name].warn for name in ("per_target", "slowness", "gap"))
    if many is None or slow is None or apart is None:
        return ByHeart("refuted")
    return by_heart(found, gap, many, slow, apart)


def _heart(large: ByHeart) -> str:
    if large.standing == "shown":
        return (
            " So large a network learns this data by heart: it finds next to nothing in it that "
            "holds for other examples."
        )
    if large.standing == "open":
        return f" Open is whether it merely learns by heart: {'; '.join(large.open)}."
    return ""


def _article(metric: str) -> str:
    return f"{'an' if metric[0] in 'aeiou' else 'a'} {metric}"


def _speed(found: Capacity, slow: float, low: float, high: float) -> str:
    """Return how random targets are learnt."""
    if math.isnan(slow):
        return ""
    fitted = found.error(found.random_scores)
    if not found.learnt:
        reached = (
            "" if math.isnan(fitted) else f", down to {percent(fitted)} % of a constant's error"
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


def _gap_words(gap: Gap | str) -> str:
    if isinstance(gap, str):
        return ""
    return (
        f" The checkpoint's {gap.metric} is {gap.train:.3g} on training and {gap.val:.3g} on "
        f"validation data, a gap of {percent(gap.value)} % of a constant's error (95 % interval "
        f"{percent(gap.low)} to {percent(gap.high)} %)."
    )


def _metrics(
    found: Capacity,
    gap: Gap | str,
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
    if isinstance(gap, Gap):
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


def _advice_large(found: Capacity) -> tuple[str, ...]:
    start = (
        f"the linear model of {counted(found.linear_parameters, 'parameter')}"
        if found.linear_parameters
        else "one hidden layer of 16 units"
    )
    return (
        f"Start again from {start} and add units only while the validation error falls: "
        f"{_round(found.per_target)} parameters for each target can learn anything by heart.",
        step(
            f"Look at {min(50, found.examples)} training examples with their targets: random ones "
            "are learnt as fast as these, so many of these may be wrong, or the inputs may not "
            "tell them apart.",
            probes.examples_shown("train_loader"),
        ),
        step(
            "Keep the model from learning by heart: more data, weight decay 1e-2 with AdamW, "
            "dropout 0.5, and stop when the validation loss has not fallen for 5 epochs.",
            snippets.optimizer("AdamW", {"lr": 0.001, "weight_decay": 0.01}),
        ),
    )


def _advice_small(small: Verdict, found: Capacity) -> tuple[str, ...]:
    if small not in (Verdict.WARN, Verdict.FAIL):
        return ()
    linear = f"{found.metric} {np.mean(found.linear_scores):.3g}"
    fits = f"fits {found.subset:,} training examples as well as a linear model does ({linear})"
    narrow = found.strait
    if narrow is None:
        return (
            "Look first at what keeps it from learning: the gradients (`vanishing-gradients`, "
            "`dead-units`), the initialisation (`initial-loss-off-chance`), and what of the input "
            "is averaged, pooled or cut off on its way.",
            f"Else build it twice as wide and see whether it {fits}: then it was too small.",
        )
    name, source = clean_text(narrow.layer), clean_text(narrow.source)
    does = DOES[narrow.side]
    enough = f"layer {name!r} {does} {narrow.needed:,} numbers or more"
    if not source:
        widen = f"Average, pool or cut off less of the input, so that {enough}"
    elif narrow.side == "out" and source == name:
        widen = f"Widen layer {name!r}, so that it {does} {narrow.needed:,} numbers or more"
    else:
        widen = f"Widen layer {source!r}, or pool less of what it puts out, so that {enough}"
    return (
        f"{widen} for each example instead of {narrow.numbers:,}, build the model afresh and train "
        "it again: weights alone can't mend it.",
        f"Then see that a fresh model {fits}.",
    )


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
