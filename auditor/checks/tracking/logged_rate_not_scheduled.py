"""A logged learning rate that never came down.

What it does
------------
Reads the log of training and tells whether the learning rate came down in the course of it, whether
it should have by its schedule, and whether the loss had come to a floor at which it swings.

Why it matters
--------------
A rate that is right for the beginning is too high for the end: the noise of the batches then keeps
the loss at a floor. And a schedule that is declared but never stepped fails in silence.

How it is measured
------------------
By the log. The rate came down where its last reading is below nine tenths of its highest. Where it
did not, the check warns in three cases: the declared schedule, or the one in the checkpoint, should
have moved the rate by more than a tenth by then; the rate only ever rose, and still does by a tenth
in the last third, as in a warm-up that the run did not outlast; or the loss has come to a floor. It
has where the line through its second half (Theil and Sen's, wider for correlated readings) does not
fall for sure, while it swings there by more than the limit (see `logged-loss-oscillates` for how
swings are measured). Otherwise a rate that stays is told and not held against the run: many a small
model is trained well by it. `schedule-missing-or-off` tries on copies whether a decay would help.

When it misleads
----------------
The log may hold the rate of one parameter group of several. A schedule that waits for a plateau may
never have had one, and is not expected to move the rate.

What to do
----------
Step the schedule in the loop. Without one, let the rate come down over the last third of training,
to a hundredth or less.

Source
------
Bottou, Curtis, Nocedal 2018, "Optimization Methods for Large-Scale Machine Learning", section 4.2
(the noise floor of a fixed rate); Loshchilov & Hutter 2017, "SGDR".
"""

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.log_course import condensed, of_gain, slope, too_few
from auditor.observations.log_figures import rate_figure, run_figure
from auditor.observations.log_swings import swinging
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.training_log import TrainingLog, TrainingLogOf

LOG = TrainingLogOf()
SCHEDULE = ScheduleOf()

NEEDED = 5
"""Readings of the rate of which a course can be told."""
DOWN = 0.9
"""Share of its highest below which a rate has come down."""
FALLING = ("cosine", "linear", "onecycle", "one_cycle", "poly", "exponential")
"""Words in the name of a schedule that brings the rate down from step to step."""


@check(
    title="The logged learning rate came down",
    failure_title="The logged learning rate never came down",
    needs=(LOG,),
    wants=(SCHEDULE,),
    limits={
        "swing": Limit(
            warn=0.2,
            source="share of what training gained, at the lower 99 % bound: healthy runs with a "
            "fixed rate swing by less than a tenth, so that a fifth is a floor of its making",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether the rate came down, and whether it should have."""
    log, schedule = seen[LOG], seen.get(SCHEDULE)
    rate = log.named("lr")
    if rate is None or len(rate.finite.x) < NEEDED:
        return Judgement(Verdict.NOT_APPLICABLE, too_few(log, NEEDED, "lr"))
    values = np.asarray(rate.finite.values, float)
    top, last = float(values.max()), float(values[-1])
    if not top > 0:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"The log {log.source} tells a rate of 0 throughout.",
            figures=rate_figure(log),
        )
    metrics = (Metric("last rate as a share of the highest", last / top),)
    figures = (*rate_figure(log), *run_figure(log))
    if last < DOWN * top:
        return Judgement(
            Verdict.PASS,
            f"The learning rate came down from {top:.3g}, its highest, to {last:.3g}.",
            metrics,
            figures=figures,
        )
    constant = float(values.min()) >= DOWN * top
    climbing = bool(values[2 * len(values) // 3] < DOWN * last and (np.diff(values) >= 0).all())
    course = (
        f"stayed at {last:.3g}"
        if constant
        else f"rose until the end, to {last:.3g},"
        if climbing
        else f"rose to {top:.3g} and stayed there"
    )
    said = f"The learning rate {course} over {len(values):,} readings, to {log.at(rate.x[-1])}"
    where = Place("file", clean_text(log.source), f"the rate ends at {last:.3g}, its highest")
    promised = _promised(schedule)
    if promised:
        return Judgement(
            Verdict.WARN,
            f"{said}, but {promised}.",
            metrics,
            (where,),
            (
                step(
                    "Step the scheduler in the loop, after each epoch or after each "
                    "`optimizer.step()`, as it is laid out:",
                    snippets.cosine(_epochs(log), last / 100),
                ),
                "Look whether the scheduler was built on the optimizer that trains.",
            ),
            figures,
        )
    if climbing:
        return Judgement(
            Verdict.WARN,
            f"{said}: the run was over before its warm-up.",
            metrics,
            (where,),
            (
                "Let the warm-up take a twentieth of the steps that are really made, counted as "
                "the schedule counts them: in steps or in epochs.",
                step(
                    "Then let the rate come down:",
                    snippets.cosine(_epochs(log), last / 100),
                ),
            ),
            figures,
        )
    found = swinging(log)
    floor = not isinstance(found, str) and limits["swing"].verdict(found.low) is not Verdict.PASS
    if isinstance(found, str) or not floor or _falls(log):
        return Judgement(
            Verdict.INFO, f"{said}. The log shows no harm of it.", metrics, figures=figures
        )
    swing = Metric("typical swing as a share of the gain", found.share, "", *found.interval,
                   limits["swing"])  # fmt: skip
    region = [("at its floor", found.begins, found.ends)]
    return Judgement(
        Verdict.WARN,
        f"{said}, while the {found.of} no longer falls and swings by {found.typical:.3g}, "
        f"{of_gain(found.share)}: that rate holds it at a floor.",
        (*metrics, swing),
        (where,),
        (
            step(
                "Let the rate come down to a hundredth over the run:",
                snippets.cosine(_epochs(log), last / 100),
            ),
            step(
                "Or go on from the checkpoint at a tenth of the rate:", snippets.rate_set(last / 10)
            ),
        ),
        (*rate_figure(log), *run_figure(log, regions=region)),
    )


def _promised(schedule: Schedule | None) -> str:
    """Return what a schedule should have done to the rate, empty where nothing is known of it."""
    if schedule is None or schedule.name in ("", "none"):
        return ""
    named = f"`{clean_text(schedule.name, 60)}` ({clean_text(schedule.source, 80)})"
    x, rates = np.asarray(schedule.x, float), np.asarray(schedule.rates, float)
    if x.size and schedule.taken:
        gone: Array = rates[x <= float(schedule.taken)]
        if gone.size and gone[-1] < DOWN * gone.max():
            return f"{named} should have brought it to {gone[-1]:.3g}"
        return ""
    if any(word in schedule.name.lower() for word in FALLING):
        return f"{named} should have brought it down"
    return ""


def _falls(log: TrainingLog) -> bool:
    """Tell whether the loss still falls for sure in the second half of the run."""
    held = (log.named(name) for name in ("val_loss", "train_loss"))
    series = next((one for one in held if one is not None and len(one.finite.x) > 2), None)
    if series is None:
        return False
    x, y, _ = condensed(series)
    half = len(x) // 2
    return slope(x[half:], y[half:])[2] < 0


def _epochs(log: TrainingLog) -> float:
    """Return how many epochs the run had, 20 where the log does not tell."""
    told = np.concatenate([np.floor(one.epochs[np.isfinite(one.epochs)]) for one in log.series])
    return float(told.max() - told.min() + 1) if told.size else 20.0
