from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.schedule_missing_or_off import (
    FRESH,
    SCHEDULE,
    SETTINGS,
    TRAINED,
    judge,
)
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.rate_trials import RateTrials
from auditor.observations.schedule import Schedule
from auditor.observations.settings import Settings
from tests.checks.parameters.rate_trials_by_hand import arm, trials

NOTHING = np.zeros(0)
UNKNOWN = Schedule("", "", {}, None, None, "", NOTHING, NOTHING, np.nan, np.nan, NOTHING, NOTHING)
SETTLED = Settings(epochs=30, per_epoch=40)


def course(name: str, rates: Any, taken: float, horizon: float | None, **more: Any) -> Schedule:
    rates = np.asarray(rates, float)
    values = {"last_epoch": int(taken), "T_max": horizon}
    return Schedule(
        name, "the scheduler's state", values, taken, horizon, more.get("unit", "epochs"),
        np.arange(rates.size, dtype=float), rates, float(rates[0]), float(rates[-1]),
        NOTHING, NOTHING,
    )  # fmt: skip


def cosine(steps: int, period: int) -> Any:
    return 0.05 * (1 + np.cos(np.pi * np.arange(steps + 1) / period))


QUIET = trials("checkpoint", 0.1, arm("declared", 0.01, 0.1), arm("tenth", 0.001, 0.1))
STARTED = trials("fresh", 1.0, arm("declared", 0.01, 0.7))


def seen(
    schedule: Schedule = UNKNOWN,
    fresh: RateTrials | None = STARTED,
    trained: RateTrials | None = QUIET,
    settings: Settings = SETTLED,
) -> dict[Any, Any]:
    missing = Unavailable("no training data is given")
    return {
        FRESH: fresh if fresh is not None else missing,
        TRAINED: trained if trained is not None else missing,
        SCHEDULE: schedule,
        SETTINGS: settings,
    }


def test_none_is_needed(judged: Any) -> None:
    found = judged(judge, seen())
    assert found.verdict is Verdict.PASS
    assert "No decay is called for" in found.summary
    assert "No warm-up is called for" in found.summary


def test_a_sound_schedule_passes(judged: Any) -> None:
    found = judged(judge, seen(course("CosineAnnealingLR", cosine(30, 30), 30, 30)))
    assert found.verdict is Verdict.PASS
    assert "`CosineAnnealingLR` was used" in found.summary
    assert found.figures[0].title == "The course of the learning rate"


def test_a_scheduler_that_was_never_stepped(judged: Any) -> None:
    still = course("StepLR", [0.1], 0, 10)
    found = judged(judge, seen(still))
    assert found.verdict is Verdict.WARN
    assert "never moved" in found.summary
    assert found.where[0].note == "never stepped"
    assert "`scheduler.step()`" in found.advice[0]
    unsure = judged(judge, seen(still, settings=Settings(epochs=1, per_epoch=40)))
    assert unsure.verdict is Verdict.INFO


@pytest.mark.parametrize(
    ("taken", "horizon", "verdict", "words"),
    [
        (1200, 30, Verdict.WARN, "laid out for 30 epochs but was stepped once an update"),
        (30, 1200, Verdict.WARN, "laid out for 1,200 updates but was stepped once an epoch"),
        (30, 30, Verdict.PASS, "was used"),
        (12, 30, Verdict.INFO, "had made 12"),
        (26, 30, Verdict.PASS, "was used"),
    ],
)
def test_steps_of_other_units(
    judged: Any, taken: int, horizon: int, verdict: Verdict, words: str
) -> None:
    rates = cosine(max(taken, horizon), horizon)
    found = judged(judge, seen(course("CosineAnnealingLR", rates, taken, horizon)))
    assert found.verdict is verdict, found.summary
    assert words in found.summary


def test_a_rate_that_rose_again(judged: Any) -> None:
    found = judged(judge, seen(course("CosineAnnealingLR", cosine(30, 16), 30, 16)))
    assert found.verdict is Verdict.WARN
    assert "raised the rate again" in found.summary
    assert "T_max=30" in found.advice[0]
    slightly = judged(judge, seen(course("CosineAnnealingLR", cosine(30, 27), 30, 27)))
    assert slightly.verdict is Verdict.PASS
    meant = course("CosineAnnealingWarmRestarts", cosine(30, 16), 30, 16)
    assert judged(judge, seen(meant)).verdict is Verdict.PASS


@pytest.mark.parametrize(("idle", "verdict"), [(2, Verdict.PASS), (10, Verdict.WARN)])
def test_a_rate_that_came_to_nothing_too_early(judged: Any, idle: int, verdict: Verdict) -> None:
    rates = np.append(np.linspace(0.1, 0.001, 31 - idle), np.zeros(idle))
    found = judged(judge, seen(course("PolynomialLR", rates, 30, 30 - idle)))
    assert found.verdict is verdict, found.summary
    assert ("brought the rate to nothing" in found.summary) is (verdict is Verdict.WARN)


def floor(held: float = 0.5, tenth: float = 0.4, level: float = 0.5) -> RateTrials:
    return trials("checkpoint", level, arm("declared", 0.01, held), arm("tenth", 0.001, tenth))


def test_a_noise_floor_calls_for_decay(judged: Any) -> None:
    found = judged(judge, seen(trained=floor()))
    assert found.verdict is Verdict.WARN
    assert "A decay is called for" in found.summary
    assert "0.01 is too high for the end" in found.where[0].note
    assert "`lr=0.001`" in found.advice[1]
    for answer in (floor(held=0.35), floor(tenth=0.49), floor(0.05, 0.04, 0.05), floor(2, 1.5, 2)):
        assert judged(judge, seen(trained=answer)).verdict is Verdict.PASS
    done = course("CosineAnnealingLR", cosine(30, 30), 30, 30)
    assert judged(judge, seen(done, trained=floor())).verdict is Verdict.PASS
    never = course("CosineAnnealingLR", [0.1], 0, 30)
    notes = [place.note for place in judged(judge, seen(never, trained=floor())).where]
    assert len(notes) == 2


def start(end: float, ramp: float | None, peak: float = 1.5) -> RateTrials:
    arms = [arm("declared", 0.01, end, peak=peak)]
    if ramp is not None:
        arms.append(arm("ramp", 0.01, ramp))
    return trials("fresh", 1.0, *arms)


@pytest.mark.parametrize(
    ("end", "ramp", "peak", "verdict", "words"),
    [
        (1.2, 0.7, 1.5, Verdict.WARN, "A warm-up is called for"),
        (np.nan, 0.7, 1.5, Verdict.WARN, "no longer finite"),
        (0.7, 0.65, 1.5, Verdict.PASS, "no harm is shown"),
        (1.2, 1.3, 1.5, Verdict.PASS, "a ramp to it does not help"),
        (1.2, None, 1.5, Verdict.PASS, "was not tried"),
        (0.7, None, 1.04, Verdict.PASS, "No warm-up is called for"),
    ],
)
def test_warm_up(
    judged: Any, end: float, ramp: float | None, peak: float, verdict: Verdict, words: str
) -> None:
    found = judged(judge, seen(fresh=start(end, ramp, peak)))
    assert found.verdict is verdict, found.summary
    assert words in found.summary
    if verdict is Verdict.WARN:
        assert "LinearLR" in found.advice[0]


def test_a_warm_up_that_was_there_is_no_fault(judged: Any) -> None:
    warmed = course("OneCycleLR", [0.001, 0.01, 0.0001], 2, 2, unit="updates")
    found = judged(judge, seen(warmed, fresh=start(1.2, 0.7)))
    assert found.verdict is Verdict.PASS
    assert "well placed" in found.summary


def test_what_can_not_be_told_is_said(judged: Any) -> None:
    nothing = judged(judge, seen(fresh=None, trained=None))
    assert nothing.verdict is Verdict.NOT_APPLICABLE
    assert "no training data is given" in nothing.summary
    undeclared = trials("fresh", 1.0, instead="no optimizer is declared")
    found = judged(judge, seen(fresh=undeclared, trained=None))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no optimizer is declared" in found.summary
    done = course("CosineAnnealingLR", cosine(30, 30), 30, 30)
    found = judged(judge, seen(done, fresh=None, trained=None))
    assert found.verdict is Verdict.INFO
    ended = replace(UNKNOWN, first=0.1, last=0.0)
    found = judged(judge, seen(ended, fresh=None, trained=None))
    assert found.verdict is Verdict.INFO
    assert "rate is 0" in found.summary


def test_a_logged_course_is_judged_and_drawn(judged: Any) -> None:
    x = np.arange(40.0)
    logged = np.where(x < 20, 0.1, 0.0)
    found = judged(
        judge, seen(replace(UNKNOWN, logged_x=x, logged=logged, log_source="metrics.csv"))
    )
    assert found.verdict is Verdict.WARN
    assert found.figures[0].series[0].name == "as logged"


def declared(name: str, rates: Any, taken: float, last: float) -> Schedule:
    """Return a schedule that only the spec tells of, and the rate that the optimizer ended at."""
    made = course(name, rates, taken, taken)
    return replace(made, values={"T_max": taken}, source="the spec", last=last)


WARMED = np.minimum(1.0, np.linspace(0.01, 3.0, 31)) * 0.1


def test_the_optimizer_still_has_the_rate_that_the_schedule_begins_with(judged: Any) -> None:
    found = judged(judge, seen(declared("LinearLR", WARMED, 30, last=0.001)))
    assert found.verdict is Verdict.WARN
    assert "never moved: the optimizer ends at 0.001, where the schedule comes to 0.1" in (
        found.summary
    )
    assert "was used" not in found.summary
    assert found.where[0].note == "never stepped"


def test_the_optimizer_has_the_rate_of_one_step_an_epoch(judged: Any) -> None:
    rates = cosine(1200, 1200)
    slow = declared("CosineAnnealingLR", rates, 1200, last=float(rates[30]))
    ended = judged(judge, seen(declared("CosineAnnealingLR", rates, 1200, last=float(rates[-1]))))
    found = judged(judge, seen(slow))
    assert ended.verdict is Verdict.PASS
    assert found.verdict is Verdict.WARN
    assert "stepped once an epoch, 30 times, and should have been 1,200 times" in found.summary


@pytest.mark.parametrize("last", [0.1, 0.09, 0.07, float("nan"), 0.0])
def test_a_rate_that_the_schedule_may_have_come_to(judged: Any, last: float) -> None:
    """Where it ends, near it, that of no step that was likely taken, or not known."""
    found = judged(judge, seen(declared("LinearLR", WARMED, 30, last=last)))
    assert found.verdict is Verdict.PASS
