"""Training data that comes in the order of its targets.

What it does
------------
Reads the training loader once through, in the order in which it gives its batches, and measures how
far the targets of one batch differ from those of another, beside batches dealt at random.

Why it matters
--------------
Where a batch holds one class only, each step makes the model answer that class, the next ones undo
what it learnt before, and what came last in the epoch wins, in batch norm's statistics too. The
training loss looks good all along, for each batch is easy once the model has turned to its class.

How it is measured
------------------
No model is run. Each example is told by its target: its class in one-hot columns, its labels, the
share of each class among its places (tokens, pixels), or the ranks of its numbers. The share of
their variance that lies between batches is ε² = 1 - (SSW / (N - B)) / (SST / (N - 1)), over N
examples in B batches: 1 where each batch holds one target, 0 on average where batches are dealt at
random, below 0 where they are balanced. Batches of fewer than 16 examples are taken together with
those that follow. It counts where it is larger than in 99 % of several hundred random orders of the
same targets. Kish's design effect tells what it means: a batch of n examples is worth
n / (1 + (n - 1) ε²) examples drawn at random.

It warns above the first limit and fails above the second where each example has one class and
another pass gives the same order. Numbers, labels and sequences warn at most. Where another pass
gives another order (buckets of like length, a shuffle buffer that is too small), it warns above the
second limit.

Where one class alone came up in all that could be read, and validation shows others, that is held
against validation's shares: by chance it would have to happen less than once in a hundred times.

When it misleads
----------------
It judges the loader that the audit is given: if training shuffled and this one does not, give the
audit the same loader. Batches that hold few classes on purpose (samplers for metric learning), and
series that are fed in order to a model that keeps its state, look the same as a mistake. Order in
the inputs alone is not seen, nor is order that is longer than what was read.

What to do
----------
Shuffle anew in each epoch (`DataLoader(dataset, shuffle=True)`); for a stream, shuffle the files
and take a buffer that spans many classes; then train anew.

Source
------
Bottou 2012, "Stochastic Gradient Descent Tricks" (shuffle the examples); Bengio 2012, "Practical
Recommendations for Gradient-Based Training of Deep Architectures"; McCloskey & Cohen 1989,
"Catastrophic Interference in Connectionist Networks"; Kelley 1935, "An Unbiased Correlation Ratio
Measure" (ε²); Kish 1965, "Survey Sampling" (design effect).
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Heatmap, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import counted, percent
from auditor.core.verdict import Verdict
from auditor.observations.batch_order import BatchOrder, BatchOrderOver
from auditor.observations.targets import TargetsOf, TargetsSeen

ORDER = BatchOrderOver()
VAL_TARGETS = TargetsOf(split="val")

UNLIKELY = 0.01
"""Chance below which all examples of one class are no accident."""

SHOWN = 64
"""Batches in the figure, at most."""


@check(
    title="Training batches are dealt at random",
    failure_title="Training data comes in the order of its targets",
    needs=(ORDER,),
    wants=(VAL_TARGETS,),
    limits={
        "variance_between_batches": Limit(
            warn=0.2,
            fail=0.5,
            source="at 0.2 a batch of 32 is worth 4.4 random examples, at 0.5 it is worth 1.9 "
            "(Kish 1965); shuffled loaders show 0 but for chance",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how targets are dealt to batches, beside random orders of the same targets."""
    order, limit = seen[ORDER], limits["variance_between_batches"]
    if order.reason:
        return _unmeasured(order, seen.get(VAL_TARGETS))
    metric = Metric(
        "variance of the targets between batches",
        order.between,
        "share",
        limit=limit,
    )
    metrics = (
        metric,
        Metric("the same, in 99 % of random orders at most", order.chance, "share"),
        Metric("examples that a batch counts for", order.counted, "examples"),
    )
    said = (
        f"Over {counted(order.examples, 'training example')} in {len(order.means):,} batches, "
        f"{percent(max(order.between, 0.0))} % of what targets vary lies between batches; dealt at "
        f"random it would be at most {percent(max(order.chance, 0.0))} % in 99 of 100 orders."
    )
    verdict = _verdict(order, limit)
    if verdict is Verdict.PASS:
        if order.repeated and order.between <= order.chance:
            said += " The order is the same in each pass, and as good as random."
        return Judgement(verdict, said, metrics, figures=_figures(order))
    said += (
        f" {_what(order)} A batch of {order.per_batch:.0f} counts for {order.counted:.2g} examples "
        "drawn at random."
    )
    return Judgement(
        verdict,
        said,
        metrics,
        where=(Place("setting", "data.train", _note(order)),),
        advice=_advice(order),
        figures=_figures(order),
    )


def _verdict(order: BatchOrder, limit: Limit) -> Verdict:
    if order.between <= order.chance:
        return Verdict.PASS
    found = limit.verdict(order.between)
    if not order.repeated:
        return Verdict.WARN if found is Verdict.FAIL else Verdict.PASS
    return found if order.kind == "classes" else min(found, Verdict.WARN, key=_severity)


def _severity(verdict: Verdict) -> int:
    return (Verdict.PASS, Verdict.WARN, Verdict.FAIL).index(verdict)


def _what(order: BatchOrder) -> str:
    """Return in a sentence how the batches differ."""
    means = np.asarray(order.means, float)
    if order.kind == "numbers":
        widest = int(np.ptp(means, axis=0).argmax())
        low, high = (float(end) for end in (means[:, widest].min(), means[:, widest].max()))
        return (
            f"The mean rank of the targets goes from the lowest {percent(low)} % in one batch to "
            f"{percent(high)} % in another."
        )
    largest = means.max(axis=1) if order.kind != "labels" else np.maximum(means, 1 - means).max(1)
    if order.kind == "classes":
        same = float((largest > 0.95).mean())
        return (
            f"In {percent(same)} % of the batches nearly all examples are of one class."
            if same
            else f"The commonest class makes {percent(float(largest.mean()))} % of a batch on "
            f"average, and {percent(float(means.mean(axis=0).max()))} % of all examples."
        )
    return "Batches hold other targets than their neighbours."


def _note(order: BatchOrder) -> str:
    if not order.repeated:
        return "batches of like targets, in an order that changes"
    return "not shuffled: the same order of targets in each pass"


def _advice(order: BatchOrder) -> tuple[str, ...]:
    if not order.repeated:
        first = (
            "Deal the examples of a batch from all of the data: a larger shuffle buffer, or wider "
            "buckets; and shuffle the files of a stream before that."
        )
    elif order.in_order:
        size = max(1, round(order.per_batch))
        first = step(
            "Shuffle anew in each epoch:",
            f"train_loader = torch.utils.data.DataLoader(dataset, batch_size={size}, shuffle=True)",
        )
    else:
        size = max(1, round(order.per_batch))
        first = step(
            "Shuffle anew in each epoch, in the sampler or where the batches are made:",
            f"order = torch.randperm(len(dataset))\nbatches = order.split({size})",
        )
    return (
        first,
        "Train anew from fresh weights: what came last in each epoch has outweighed the rest.",
        "If training did shuffle, give the audit the loader that it used: this one does not.",
    )


def _unmeasured(order: BatchOrder, val: TargetsSeen | None) -> Judgement:
    """Judge by validation's classes where training showed one class only; else say why not."""
    if order.alone < 0 or order.whole or val is None or val.targets.kind != "classes":
        return Judgement(Verdict.NOT_APPLICABLE, order.reason)
    counts = dict(zip(val.targets.classes, val.targets.counts, strict=True))
    share = (counts.get(order.alone, 0) + 1) / (sum(counts.values()) + 1)
    if len(counts) < 2 or share**order.examples >= UNLIKELY:
        return Judgement(Verdict.NOT_APPLICABLE, order.reason)
    return Judgement(
        Verdict.FAIL,
        f"The first {counted(order.examples, 'training example')} are all of class {order.alone}, "
        f"which makes {percent(counts.get(order.alone, 0) / sum(counts.values()))} % of "
        f"validation's {len(counts)} classes: training data comes class by class.",
        where=(Place("setting", "data.train", "not shuffled: one class for many batches"),),
        advice=_advice(order),
        figures=(
            Bars(
                title="Classes in validation",
                caption=f"The first {order.examples:,} training examples are all of class "
                f"{order.alone}, the marked one.",
                label="share of targets",
                labels=tuple(f"class {c}" for c in list(counts)[:SHOWN]),
                values=tuple(n / sum(counts.values()) for n in list(counts.values())[:SHOWN]),
                marked=tuple(c == order.alone for c in list(counts)[:SHOWN]),
            ),
        ),
    )


def _figures(order: BatchOrder) -> tuple[Figure, ...]:
    """Return the mean target of batches in their order: a grid of classes, or a line."""
    means = np.asarray(order.means, float)
    shown = np.unique(np.linspace(0, len(means) - 1, min(SHOWN, len(means))).round().astype(int))
    title = "Targets from batch to batch"
    if means.shape[1] == 1 or order.kind == "numbers":
        column = int(np.ptp(means, axis=0).argmax())
        what = "mean rank of the target" if order.kind == "numbers" else "share of class 1"
        places = tuple(float(place) for place in shown)
        values = tuple(float(value) for value in means[shown, column])
        return (
            Lines(
                title,
                "Dealt at random, batches scatter about one level.",
                "batch",
                what,
                (Series(what, places, values),),
            ),
        )
    names = [str(int(label)) if label >= 0 else "" for label in np.asarray(order.labels)]
    return (
        Heatmap(
            title,
            "Share of each class in each batch. Dealt at random, all columns look alike.",
            "batch",
            "label" if order.kind == "labels" else "class",
            "share",
            tuple(tuple(float(value) for value in row) for row in means[shown].T),
            tuple(str(int(place)) for place in shown),
            tuple(names) if all(names) else (),
        ),
    )
