"""A run that was stopped while its loss still fell.

What it does
------------
Reads the log of training and tells whether the loss was still on its way down when it ends.

Why it matters
--------------
A model that was still getting better when training stopped is worth less than the same code and
data could give. It is the cheapest of all faults to mend.

How it is measured
------------------
By the log alone, on the validation loss where it has readings enough, else on that of training;
long curves are condensed to 60 medians. Through the last third goes Theil and Sen's line, whose
interval is made wider for correlated readings. The run was stopped early where the line falls by
more than the limit in that third, with 99 % confidence, and the last half of the third still brings
more than a third of that. The fall is a share of what the whole run gained, which counts for half
of the first level at least. A run that brings a quarter of its own gain, however little that is, in
the last third and does not slow down was stopped early too.

Of a run whose rate had come down to a tenth or less, in the log or by its schedule, this is told
and not held against it: more training would need another schedule. Whether copies of the model gain
by going on is measured by `underfitted`.

When it misleads
----------------
A loss that falls as a power of the steps, as that of large language models, always falls a little;
the limit leaves room for it. Training that had a budget is stopped early with good reason. A decay
that neither log nor checkpoint tells of makes the loss fall towards the end.

What to do
----------
Go on from the checkpoint, with the optimizer's state, until the validation loss has not come down
for several epochs.

Source
------
Prechelt 1998, "Early Stopping - But When?"; Sen 1968, JASA 63; Hamed & Rao 1998, Journal of
Hydrology 204 (trends of correlated readings).
"""

import math

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, percent
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.log_course import (
    condensed,
    ended_in_nothing,
    first_level,
    slope,
    too_few,
)
from auditor.observations.log_figures import NAMES, rate_figure, run_figure
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.training_log import LoggedSeries, TrainingLog, TrainingLogOf

LOG = TrainingLogOf()
SCHEDULE = ScheduleOf()

NEEDED = 18
"""Readings whose last third has six: with fewer no line falls with 99 % confidence."""
STILL = 0.35
"""Share of the last third's fall that its second half has to bring; a rate that comes down along a
line to nothing leaves a quarter of it, an exponential approach more than two fifths."""
STRAIGHT = 0.25
"""Share of what the run itself gained that a run brings in its last third which does not slow down;
one that comes down along a line has a third of it there."""
UNSLOWED = 0.45
"""Share of the last third's fall that its second half has to bring for that."""
SEEN = 0.03
"""Share of the whole gain that it has to be at least, to be worth the while."""
DECAYED = 0.1
"""Share of its highest at which a rate has come down."""
LEAST = 0.5
"""Share of the first level that a gain counts for at least."""

GO_ON = """\
optimizer.load_state_dict(checkpoint["optimizer"])
best, waited, patience = float("inf"), 0, 5
while waited < patience:
    train_one_epoch(model, optimizer)
    loss = validation_loss(model)
    waited = 0 if loss < best else waited + 1
    if loss < best:
        best = loss
        torch.save(model.state_dict(), "best.pt")"""
"""Going on until validation no longer gets better."""


@check(
    title="Training was not stopped while the loss still fell",
    failure_title="Training stopped too early",
    needs=(LOG,),
    wants=(SCHEDULE,),
    limits={
        "fall": Limit(
            warn=0.1,
            source="share of the whole gain in the last third, with 99 % confidence: an "
            "exponential approach that is stopped at three time constants still gains 9 % there, "
            "and has 5 % of the way before it",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the loss still fell at the end of the log."""
    log, schedule = seen[LOG], seen.get(SCHEDULE)
    series = _picked(log)
    if series is None:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "val_loss", "train_loss"))
    if ended_in_nothing(series):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The {NAMES[series.name]} ends as no number: see `logged-loss-diverges`.",
            figures=run_figure(log),
        )
    x, y, _ = condensed(series)
    third = len(x) - len(x) // 3
    span = float(x[-1] - x[third])
    middle, _, most = slope(x[third:], y[third:])
    _, *usual = slope(x[third:], y[third:], 0.95)
    fall, low = -middle * span, -most * span
    gained = max(first_level(log) - float(y[-3:].mean()), LEAST * abs(first_level(log)))
    if not gained > 0 or not math.isfinite(fall):
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The {NAMES[series.name]} gained nothing in the whole run: there is no share of it to "
            "tell.",
            figures=run_figure(log),
        )
    limit = limits["fall"]
    name = f"fall of the {NAMES[series.name]} in the last third, as a share of the gain"
    interval = (-usual[1] * span / gained, -usual[0] * span / gained)
    metrics = (Metric(name, fall / gained, "", *interval, limit),)
    own = first_level(log) - float(y[-3:].mean())
    half = _second_half(x[third:], y[third:])
    late = limit.verdict(low / gained) is not Verdict.PASS and half >= STILL * fall
    straight = low > STRAIGHT * own > 0 and half >= UNSLOWED * fall and low > SEEN * gained
    late = late or straight
    region = [("last third", float(x[third]), float(x[-1]))]
    figures = (*run_figure(log, regions=region), *rate_figure(log))
    end = log.at(float(series.x[-1]))
    if not late:
        fell = f"by {percent(fall / gained)} % of its whole gain" if fall > 0 else "no more"
        surely = ", which is not sure" if low < 0 < fall else ""
        return Judgement(
            Verdict.PASS,
            f"The {NAMES[series.name]} fell {fell} in the last third of the run, to {end}{surely}.",
            metrics,
            figures=figures,
        )
    said = (
        f"The {NAMES[series.name]} still fell when the log ends, at {end}: by {fall:.3g} in the "
        f"last third, {percent(fall / gained)} % of its whole gain (surely by "
        f"{percent(low / gained)} %)"
    )
    came_down = _came_down(log, schedule)
    if came_down:
        return Judgement(
            Verdict.INFO,
            f"{said}. {came_down}: more training needs another schedule.",
            metrics,
            figures=figures,
        )
    return Judgement(
        Verdict.WARN,
        f"{said}, and hardly slower at the end.",
        metrics,
        where=(Place("file", clean_text(log.source), f"ends at {end}, still falling"),),
        advice=(
            step("Go on from the checkpoint until validation no longer gets better:", GO_ON),
            "Let the learning rate come down over the last third of the longer run.",
        ),
        figures=figures,
    )


def _picked(log: TrainingLog) -> LoggedSeries | None:
    held = (log.named(name) for name in ("val_loss", "train_loss"))
    return next((one for one in held if one is not None and len(one.finite.x) >= NEEDED), None)


def _second_half(x: Array, y: Array) -> float:
    """Return by how much a stretch falls in its second half, by the line through that."""
    half = len(x) // 2
    middle, _, _ = slope(x[half:], y[half:])
    return -middle * float(x[-1] - x[0]) / 2


def _came_down(log: TrainingLog, schedule: Schedule | None) -> str:
    """Return that the rate had come down when the log ends, empty where it had not."""
    rate = log.named("lr")
    if rate is not None and len(rate.finite.values) > 1:
        values = np.asarray(rate.finite.values, float)
        share = float(values[-1] / values.max()) if values.max() > 0 else 1.0
        return f"The rate had come down to {share:.2g} of its highest" if share <= DECAYED else ""
    if schedule is not None and schedule.share <= DECAYED:
        return f"By its schedule the rate had come down to {schedule.share:.2g} of its highest"
    return ""
