"""A logged training loss that never fell.

What it does
------------
Reads the log of training and tells whether the training loss ever came below where it began.

Why it matters
--------------
A loss that stays where it was says that nothing was learnt: a rate of nothing, frozen weights, an
optimizer that was given other parameters, targets that have nothing to do with the inputs.

How it is measured
------------------
By the log alone. Levels are medians of stretches, their errors come from the scatter of the
readings and grow with the correlation of neighbours. The loss fell where the level of the first
readings (one, two, four and so on, up to a quarter of all) is beyond doubt above that of a later
quarter: 99 % over all these comparisons together. Where that is not so the check looks at how much
it can have fallen from the first quarter at most, by the upper bound of the same intervals: below
the limit it warns, and it fails where every later quarter is beyond doubt higher than the first.
Else the noise hides what happened, and nothing is judged. Other checks measure on the model whether
it learns (`does-not-learn-in-short-run`, `updates-not-applied`).

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

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle
from auditor.core.text import clean_text, percent
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.log_course import Gap, fallen, noise_of, reach, too_few
from auditor.observations.log_figures import run_figure
from auditor.observations.training_log import TrainingLogOf

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


@check(
    title="The logged training loss fell",
    failure_title="The logged training loss never fell",
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
    """Judge whether the training loss ever came below where it began."""
    log = seen[LOG]
    series = log.named("train_loss")
    if series is None or len(series.finite.x) < NEEDED:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "train_loss"))
    begun, ended = float(series.x[0]), float(series.x[-1])
    if log.unit != "rows" and begun > max(LATE * ended, 1):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{log.source} begins at {log.at(begun)} of {ended:,.0f}: it tells only of the end of "
            "a run.",
            figures=run_figure(log),
        )
    values = np.asarray(series.finite.values, float)
    quarters = np.array_split(values, 4)
    noise = noise_of(values)
    best = _surest_fall(values, quarters[1:])
    gaps = [fallen(quarters[0], later, noise) for later in quarters[1:]]
    scale = abs(float(np.median(quarters[0])))
    z = reach(len(gaps))
    most = max(gap.high(z) for gap in gaps)
    metrics = _metrics(best or max(gaps, key=lambda gap: gap.value), scale, limits["fall"])
    figures = run_figure(log)
    if best is not None:
        return Judgement(
            Verdict.PASS,
            f"The training loss fell from {float(values[0]):.4g}, its first reading, to "
            f"{float(np.median(quarters[-1])):.4g}, the level of the last quarter of "
            f"{len(values):,} readings.",
            metrics,
            figures=figures,
        )
    limit = (limits["fall"].warn or 0.0) * scale
    if not most < limit:
        middle = max(gaps, key=lambda gap: gap.value)
        more = examples_to_settle(len(values), middle.value, middle.low(z), most, limit)
        needs = f"some {more:,} readings would" if more is not None else "more readings may"
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The scatter of {len(values):,} readings hides whether the training loss fell; "
            f"{needs} tell.",
            metrics,
            figures=figures,
        )
    rose = most < 0
    level = f"it began at the level of {float(np.median(quarters[0])):.4g}"
    if rose:
        said = f"The training loss rose: {level} and no later quarter comes down to it."
    else:
        said = (
            f"The training loss stayed where it was over {len(values):,} readings: {level}, and "
            f"fell by {percent(max(most, 0.0) / scale if scale else 0.0)} % of it at most."
        )
    return Judgement(
        Verdict.FAIL if rose else Verdict.WARN,
        said,
        metrics,
        where=(Place("file", clean_text(log.source), "it rises" if rose else "it stays"),),
        advice=(
            step("See whether the loop can learn one batch by heart:", ONE_BATCH),
            "Look whether the optimizer was given this model's parameters, whether they require "
            "gradients, and whether its rate is above 0.",
        ),
        figures=figures,
    )


def _surest_fall(values: Array, later: list[Array]) -> Gap | None:
    """Return the fall from the first readings to a later quarter that is the surest, if one is."""
    noise = noise_of(values)
    sizes = [2**power for power in range(int(math.log2(max(len(values) // 4, 1))) + 1)]
    gaps = [fallen(values[:size], quarter, noise) for size in sizes for quarter in later]
    z = reach(len(gaps))
    sure = [gap for gap in gaps if gap.low(z) > 0]
    return max(sure, key=lambda gap: gap.value / gap.error if gap.error else math.inf, default=None)


def _metrics(gap: Gap, scale: float, limit: Limit) -> tuple[Metric, ...]:
    if not scale:
        return ()
    z = reach(1, 0.95)
    ends = gap.low(z) / scale, gap.high(z) / scale
    return (
        Metric("fall of the training loss", gap.value / scale, "of its first level", *ends, limit),
    )
