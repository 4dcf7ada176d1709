"""What is wrong with the course that a schedule gave the learning rate, by the numbers alone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from auditor.core.advice import step
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.schedule import Schedule
from auditor.observations.settings import Settings

IDLE = 1e-3
"""Share of the highest rate below which nothing is learnt any more."""
IDLE_SHARE = 0.1
"""Share of training at such a rate from which on it is more than the tail of a decay."""
ROSE = 3.0
"""Times its least up to which a rate may rise again."""
HIGH = 0.1
"""Share of the highest rate above which the end of training is no longer a fine one."""
CYCLIC = ("CyclicLR", "CosineAnnealingWarmRestarts")
"""Schedules that are meant to raise the rate again."""
CUT = 0.9
"""Share of its steps that a schedule has to have made to have come to its end."""
NEAR = 1.5
"""Times by which two counts may differ and still be of the same thing."""


STEPPED = """\
for epoch in range(epochs):
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        loss_fn(model(inputs), targets).backward()
        optimizer.step()
    scheduler.step()"""
"""A training loop with its schedule laid out in epochs."""

STEPPED_EACH = """\
for inputs, targets in train_loader:
    optimizer.zero_grad()
    loss_fn(model(inputs), targets).backward()
    optimizer.step()
    scheduler.step()"""
"""An epoch with its schedule laid out in updates."""


@dataclass(frozen=True)
class Flaw:
    """A flaw of a schedule: its verdict, sentence, a few words for the place, and advice.

    One that has `strayed` did not take the course that is declared.
    """

    verdict: Verdict
    said: str
    note: str
    advice: tuple[str, ...]
    strayed: bool = False


def flaws_of(schedule: Schedule, settings: Settings) -> Iterator[Flaw]:
    """Yield what is wrong with a schedule that is known."""
    if schedule.name in ("", "none") and schedule.logged.size < 2:
        if schedule.last == 0:
            yield Flaw(
                Verdict.INFO,
                "The saved optimizer's rate is 0: whatever set it has come to its end.",
                "the last rate is 0",
                ("To go on from this checkpoint set a rate anew; at 0 nothing would change.",),
            )
        return
    never = _never_moved(schedule, settings)
    if never is not None:
        yield never
        return
    mixed = _mixed_up(schedule, settings) or _strayed(schedule, settings)
    shape = _shape(schedule)
    if mixed is not None:
        yield mixed
    elif shape is not None:
        yield shape
    elif schedule.name not in CYCLIC and schedule.share > 0.5 and _unfinished(schedule):
        yield _cut_short(schedule)


def _name(schedule: Schedule) -> str:
    return f"`{clean_text(schedule.name, 80)}`" if schedule.name else "the rate"


def _never_moved(schedule: Schedule, settings: Settings) -> Flaw | None:
    """Return the flaw of a scheduler whose own count says that it was never stepped."""
    if schedule.taken is None or schedule.taken > 0 or "last_epoch" not in schedule.values:
        return None
    updates, epochs = settings.updates, settings.epochs
    many = (epochs or 0) >= 2 or (updates or 0) > max(2 * settings.per_epoch, 2)
    made = f"{epochs:g} epochs" if (epochs or 0) >= 2 else f"{updates or 0:,.0f} updates"
    said = (
        f"{_name(schedule)} never moved: its saved state counts no step"
        + (f" after {made}" if many else "")
        + ", so the rate stayed what it was."
    )
    return _flaw_of_standing(said, Verdict.WARN if many else Verdict.INFO)


def _flaw_of_standing(said: str, verdict: Verdict = Verdict.WARN) -> Flaw:
    """Return the flaw of a schedule that was never stepped."""
    return Flaw(
        verdict,
        said,
        "never stepped",
        (
            step(
                "Call `scheduler.step()` in the training loop: after each epoch for schedules laid "
                "out in epochs, after each `optimizer.step()` for those laid out in updates.",
                STEPPED,
            ),
            "Look whether the scheduler was built on the optimizer that trains, and not on one "
            "that was replaced later.",
        ),
    )


def _mixed_up(schedule: Schedule, settings: Settings) -> Flaw | None:
    """Return the flaw of a schedule laid out in epochs and stepped by updates, or the reverse."""
    taken, horizon = schedule.taken, schedule.horizon
    epochs, updates = settings.epochs, settings.updates
    if not (taken and horizon and epochs and updates) or updates < NEAR**2 * epochs:
        return None
    if _alike(taken, updates) and horizon <= NEAR * epochs:
        laid, stepped, right = "epochs", "update", "once an epoch"
    elif _alike(taken, epochs) and _alike(horizon, updates):
        laid, stepped, right = "updates", "epoch", "after each `optimizer.step()`"
    else:
        return None
    share = schedule.share
    end = f" It ended at {share:.2g} of its highest rate." if math.isfinite(share) else ""
    return Flaw(
        Verdict.WARN,
        f"{_name(schedule)} is laid out for {horizon:,.0f} {laid} but was stepped once "
        f"{'an' if stepped[0] in 'aeiou' else 'a'} {stepped}, {taken:,.0f} times.{end}",
        f"laid out in {laid}, stepped once {'an' if stepped[0] in 'aeiou' else 'a'} {stepped}",
        (
            step(
                f"Call `scheduler.step()` {right}; or lay it out for {taken:,.0f} steps.",
                STEPPED if "epoch" in right else STEPPED_EACH,
            ),
        ),
    )


def _strayed(schedule: Schedule, settings: Settings) -> Flaw | None:
    """Return the flaw of a schedule that the optimizer's last rate shows was stepped otherwise.

    The rate has to be that of no step, of one an epoch, or of one an update, and not that of as
    many steps as the schedule should have made.
    """
    taken, epochs, updates = schedule.taken, settings.epochs, settings.updates
    if settings.schedule_state or not taken or not schedule.last > 0 or not schedule.x.size:
        return None
    should = _rate_after(schedule, taken)
    if any(_same(schedule.last, _rate_after(schedule, taken - late)) for late in (0, 1)):
        return None
    if not (schedule.last > NEAR * should or should > NEAR * schedule.last):
        return None
    told = {0.0: "", epochs: "once an epoch", updates: "once an update"}
    counts = [steps for steps in told if steps is not None and steps != taken]
    steps = min(counts, key=lambda steps: abs(_rate_after(schedule, steps) - schedule.last))
    if not _same(schedule.last, _rate_after(schedule, steps)):
        return None
    what = f"the optimizer ends at {schedule.last:.2g}, where the schedule comes to {should:.2g}"
    if not steps:
        never = _flaw_of_standing(f"{_name(schedule)} never moved: {what}.")
        return replace(never, strayed=True)
    right = "after each `optimizer.step()`" if steps == epochs else "once an epoch"
    return Flaw(
        Verdict.WARN,
        f"{_name(schedule)} was stepped {told[steps]}, {steps:,.0f} times, and should have been "
        f"{taken:,.0f} times: {what}.",
        f"stepped {told[steps]}, and made for {taken:,.0f} steps",
        (
            step(
                f"Call `scheduler.step()` {right}; or lay it out for {steps:,.0f} steps.",
                STEPPED if "epoch" in right else STEPPED_EACH,
            ),
        ),
        strayed=True,
    )


def _rate_after(schedule: Schedule, steps: float) -> float:
    return float(np.interp(steps, np.asarray(schedule.x), np.asarray(schedule.rates)))


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=0.02)


def _alike(one: float, other: float) -> bool:
    return other / NEAR <= one <= other * NEAR


def _shape(schedule: Schedule) -> Flaw | None:
    """Return the flaw of a course that lay idle, or rose again at its end."""
    course = schedule.course
    if course.size < 4 or not np.isfinite(course).all() or not course.max() > 0:
        return None
    top = float(course.max())
    tail = 0
    for rate in course[::-1]:
        if rate > IDLE * top:
            break
        tail += 1
    idle = tail / course.size
    if idle > IDLE_SHARE:
        return Flaw(
            Verdict.WARN,
            f"{_name(schedule)} had brought the rate to nothing when training went on: its last "
            f"{idle:.0%} were at less than {IDLE * top:.2g}, a thousandth of the highest rate.",
            f"ended at {course[-1]:.2g}, {idle:.0%} of training too early",
            _laid_out(schedule),
        )
    late = course[course.size // 2 :]
    least, last = float(late.min()), float(course[-1])
    rose = last > ROSE * max(least, IDLE * top) and last > HIGH * top
    early = float(course[: course.size // 2].max())
    if rose and (schedule.name not in CYCLIC) and least < early:
        return Flaw(
            Verdict.WARN,
            f"{_name(schedule)} raised the rate again at the end of training, from {least:.2g} to "
            f"{last:.2g}: the last updates undo what the small ones had settled.",
            f"raised from {least:.2g} to {last:.2g} at the end",
            _laid_out(schedule),
        )
    return None


def _unfinished(schedule: Schedule) -> bool:
    taken, horizon = schedule.taken or 0, schedule.horizon or 0
    return 0 < taken < CUT * horizon


def _cut_short(schedule: Schedule) -> Flaw:
    return Flaw(
        Verdict.INFO,
        f"{_name(schedule)} is laid out for {schedule.horizon:,.0f} steps and had made "
        f"{schedule.taken:,.0f}: the rate still was {schedule.share:.0%} of its highest.",
        f"stopped at {schedule.share:.0%} of its highest rate",
        _laid_out(schedule),
    )


def _laid_out(schedule: Schedule) -> tuple[str, ...]:
    if not schedule.taken:
        return ("Lay the schedule out for as many steps as training has.",)
    taken = int(schedule.taken)
    key = next((k for k in ("T_max", "total_steps", "total_iters") if k in schedule.values), "")
    code = ""
    if key and schedule.name.isidentifier():
        kind = f"torch.optim.lr_scheduler.{schedule.name}"
        top = float(schedule.course.max()) if schedule.course.size else 0.1
        most = f", max_lr={top:.3g}" if schedule.name == "OneCycleLR" else ""
        code = f"scheduler = {kind}(optimizer, {key}={taken}{most})"
    return (step(f"Lay the schedule out for the {taken:,} steps that training has.", code),)
