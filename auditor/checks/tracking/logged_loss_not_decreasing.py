"""A logged loss that never fell.

What it does
------------
Reads the log of training and tells whether the loss ever came below where it began.

Why it matters
--------------
A loss that stays where it was says that nothing was learnt: a rate of nothing, frozen weights, an
optimizer that was given other parameters, targets that have nothing to do with the inputs.

How it is measured
------------------
By the log alone. Levels are medians of stretches, their errors come from the scatter of the
readings and grow with the correlation of neighbours. The loss fell where a later quarter is below
the first reading (or the middle of five, of a long curve), and beyond doubt below the level of the
first readings (one, two, four and so on, up to a quarter of all): with 99 % over all these
comparisons together. Where that is not so the check looks at how much it can have fallen from the
first quarter at most, by the upper bound of the same intervals: below the limit it warns. It fails
where every later quarter is beyond doubt higher than the first, or by a quarter higher than the
first reading. Else the noise hides what happened, the validation loss is asked in its stead, and
where that can't tell either nothing is judged. Other checks measure on the model whether it learns
(`does-not-learn-in-short-run`, `updates-not-applied`).

When it misleads
----------------
A log that begins in the middle of a run, as of one that was resumed, tells only of its end and is
not judged. Going on from a model that is good already may lower the loss by less than the limit.
Losses of adversarial training, of reinforcement learning, or with a term that is turned up while
training goes on do not fall by design.

What to do
----------
Train on one batch until it is learnt by heart; whatever keeps it from that keeps the whole run.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" (overfit one batch first); Bayley &
Hammersley 1946, "The 'effective' number of independent observations in an autocorrelated time
series".
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle
from auditor.core.text import clean_text, percent
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.log_course import (
    Gap,
    fallen,
    first_reading,
    level,
    noise_of,
    reach,
    stays_above,
    too_few,
)
from auditor.observations.log_figures import NAMES, run_figure
from auditor.observations.training_log import LoggedSeries, TrainingLogOf

LOG = TrainingLogOf()

NEEDED = 12
"""Readings of which each quarter has three, the fewest with a median of their own."""
LATE = 0.1
"""Share of its length at which a log may begin, lest it tells only of the end of a run."""

ONE_BATCH = """\
inputs, targets = next(iter(train_loader))
model.train()
for step in range(200):
    optimizer.zero_grad()
    loss = loss_fn(model(inputs), targets)
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(step, loss.item())"""
"""Training on one batch, whose loss has to come down."""


@dataclass(frozen=True)
class Course:
    """What a loss did: it "fell", "stayed", "rose", or its scatter leaves that "hidden".

    `fall` is the one told, a share of `begun`, the level of the first quarter; `most` bounds it.
    """

    name: str
    did: Literal["fell", "stayed", "rose", "hidden"]
    readings: int
    first: float
    begun: float
    ended: float
    fall: Gap
    most: float


@check(
    title="The logged loss fell",
    failure_title="The logged loss never fell",
    needs=(LOG,),
    limits={
        "fall": Limit(
            warn=0.01,
            bad="below",
            source="share of the first level: less than a hundredth is below what two seeds of one "
            "training differ by (Bouthillier et al. 2021), at the upper 99 % bound",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the loss ever came below where it began."""
    log = seen[LOG]
    held = [
        one
        for name in NAMES
        if (one := log.named(name)) is not None and len(one.finite.x) >= NEEDED
    ]
    if not held:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "train_loss", "val_loss"))
    begun, ended = float(held[0].x[0]), float(held[0].x[-1])
    if log.unit != "rows" and begun > max(LATE * ended, 1):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The log {log.source} begins at {log.at(begun)} of {ended:,.0f}: it tells only of the "
            "end of a run.",
            figures=run_figure(log),
        )
    courses = [_course(one, limits["fall"].warn or 0.0) for one in held]
    told = next((course for course in courses if course.did != "hidden"), courses[0])
    scale = abs(told.begun)
    metrics = _metrics(told, limits["fall"])
    figures = run_figure(log)
    if told.did == "fell":
        return Judgement(
            Verdict.PASS,
            f"The {told.name} fell from {told.first:.4g}, where it began, to {told.ended:.4g}, the "
            f"level of the last quarter of {told.readings:,} readings.",
            metrics,
            figures=figures,
        )
    if told.did == "hidden":
        limit, z = (limits["fall"].warn or 0.0) * scale, reach(3)
        more = examples_to_settle(
            told.readings, told.fall.value, told.fall.low(z), told.most, limit
        )
        needs = f"some {more:,} readings would" if more is not None else "more readings may"
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The scatter of {told.readings:,} readings hides whether the {told.name} fell; "
            f"{needs} tell.",
            metrics,
            figures=figures,
        )
    if told.did == "rose":
        said = (
            f"The {told.name} rose: it began at {told.first:.4g}, and no later quarter of the run "
            f"comes down to it; the last is at {told.ended:.4g}."
        )
    else:
        share = max(told.most, 0.0) / scale if scale else 0.0
        said = (
            f"The {told.name} stayed where it was over {told.readings:,} readings: it began at the "
            f"level of {told.begun:.4g}, and fell by {percent(share)} % of it at most."
        )
    return Judgement(
        Verdict.FAIL if told.did == "rose" else Verdict.WARN,
        said,
        metrics,
        where=(Place("file", clean_text(log.source), f"the {told.name} {told.did}"),),
        advice=(
            step("See whether the loop can learn one batch by heart:", ONE_BATCH),
            "Look whether the optimizer was given this model's parameters, whether they require "
            "gradients, and whether its rate is above 0.",
        ),
        figures=figures,
    )


def _course(series: LoggedSeries, limit: float) -> Course:
    values = np.asarray(series.finite.values, float)
    quarters = np.array_split(values, 4)
    noise = noise_of(values)
    gaps = [fallen(quarters[0], later, noise) for later in quarters[1:]]
    first = first_reading(values)
    begun, z = level(quarters[0]), reach(len(gaps))
    most = max(gap.high(z) for gap in gaps)
    fall = max(gaps, key=lambda gap: gap.value)
    surest = _surest_fall(values, [q for q in quarters[1:] if level(q) < first])
    did: Literal["fell", "stayed", "rose", "hidden"] = "hidden"
    if surest is not None:
        did, fall = "fell", surest
    elif most < 0 or all(stays_above(first, part, len(gaps)) for part in quarters[1:]):
        did = "rose"
    elif most < limit * abs(begun) or not values.any():
        did = "stayed"
    return Course(
        NAMES[series.name], did, len(values), first, begun, level(quarters[-1]), fall, most
    )


def _surest_fall(values: Array, later: list[Array]) -> Gap | None:
    """Return the fall from the first readings to a later quarter that is the surest, if one is."""
    noise = noise_of(values)
    sizes = [2**power for power in range(int(math.log2(max(len(values) // 4, 1))) + 1)]
    gaps = [fallen(values[:size], quarter, noise) for size in sizes for quarter in later]
    z = reach(3 * len(sizes))
    sure = [gap for gap in gaps if gap.low(z) > 0]
    return max(sure, key=lambda gap: gap.value / gap.error if gap.error else math.inf, default=None)


def _metrics(told: Course, limit: Limit) -> tuple[Metric, ...]:
    scale, z = abs(told.begun), reach(1, 0.95)
    if not scale:
        return ()
    ends = told.fall.low(z) / scale, told.fall.high(z) / scale
    name = f"fall of the {told.name} as a share of its level in the first quarter"
    return (Metric(name, told.fall.value / scale, "", *ends, limit),)
