from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.learning_rate_off import (
    CURVATURE,
    FRESH,
    SCHEDULE,
    SETTINGS,
    TRAINED,
    judge,
)
from auditor.core.request import Failed, Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.curvature import Curvature
from auditor.observations.rate_trials import RateTrials
from auditor.observations.schedule import Schedule
from auditor.observations.settings import Settings
from tests.checks.parameters.rate_trials_by_hand import arm, curve_to, trials

NOTHING = np.zeros(0)
UNKNOWN = Schedule("", "", {}, None, None, "", NOTHING, NOTHING, np.nan, np.nan, NOTHING, NOTHING)


def scheduled(name: str, *rates: float) -> Schedule:
    x = np.arange(len(rates), dtype=float)
    return Schedule(
        name, "the spec", {}, len(rates), len(rates), "epochs", x, np.asarray(rates),
        rates[0], rates[-1], NOTHING, NOTHING,
    )  # fmt: skip


def seen(
    fresh: RateTrials | None, trained: RateTrials | None, schedule: Schedule = UNKNOWN, **more: Any
) -> dict[Any, Any]:
    missing = Unavailable("no factory is given")
    return {
        FRESH: fresh if fresh is not None else missing,
        TRAINED: trained if trained is not None else Unavailable("no training data is given"),
        CURVATURE: more.get("curvature", Failed("the experiment raised")),
        SCHEDULE: schedule,
        SETTINGS: Settings(),
    }


def at(rate: float, end: float, level: float, *more: Any, start: str = "fresh") -> RateTrials:
    return trials(start, level, arm("declared", rate, end, first=level), *more)


QUIET = at(0.01, 0.1, 0.1, arm("tenth", 0.001, 0.1), start="checkpoint")


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [(0.01, Verdict.PASS), (3e-4, Verdict.PASS), (0.05, Verdict.PASS), (0.5, Verdict.INFO),
     (1e-5, Verdict.INFO)],
)  # fmt: skip
def test_without_harm_the_place_on_the_range_decides(
    judged: Any, rate: float, verdict: Verdict
) -> None:
    found = judged(judge, seen(at(rate, 0.9, 1.0), QUIET))
    assert found.verdict is verdict
    assert not found.where
    assert "0.001 to 0.033" in found.summary


def low(level: float = 0.95, gain: float = 0.1, fresh_gain: float = 0.3) -> dict[Any, Any]:
    fresh = at(1e-5, 1.0, 1.0, arm("recommended", 0.01, 1.0 - fresh_gain))
    other = arm("recommended", 0.01, level - gain)
    return seen(fresh, at(1e-5, level, level, other, start="checkpoint"))


def test_a_rate_far_too_low_is_proven_from_both_starts(judged: Any) -> None:
    found = judged(judge, low())
    assert found.verdict is Verdict.FAIL
    assert "too low" in found.summary
    assert "learnt next to nothing" in found.summary
    assert found.where[0].name == "training.optimizer.lr"
    assert found.where[0].note == "1e-05 is too low"
    assert "`lr=0.01`" in found.advice[0]
    assert judged(judge, low(level=0.5)).verdict is Verdict.WARN


def test_a_low_rate_that_did_no_harm_is_told_alone(judged: Any) -> None:
    for answers in (low(level=0.05, gain=0.01), low(fresh_gain=0.0), low(gain=-0.1)):
        found = judged(judge, answers)
        assert found.verdict is Verdict.INFO
        assert "far below" in found.summary


def test_without_a_factory_a_low_rate_is_proven_from_the_checkpoint(judged: Any) -> None:
    other = arm("recommended", 0.01, 0.7)
    found = judged(judge, seen(None, at(1e-5, 0.9, 0.9, other, start="checkpoint")))
    assert found.verdict is Verdict.WARN
    assert "Fresh" not in found.summary


def high(end: float, level: float, held: float, tenth: float, rate: float = 0.5) -> dict[Any, Any]:
    fresh = at(rate, end, 1.0, arm("recommended", 0.01, 0.7))
    return seen(fresh, at(rate, held, level, arm("tenth", rate / 10, tenth), start="checkpoint"))


@pytest.mark.parametrize(
    ("end", "level", "held", "tenth", "verdict"),
    [
        (3.0, 0.99, 3.0, 0.99, Verdict.FAIL),  # breaks fresh models; the checkpoint learnt nothing
        (3.0, 0.3, 0.9, 0.3, Verdict.FAIL),  # breaks fresh models and the checkpoint
        (0.8, 0.3, 0.3, 0.2, Verdict.WARN),  # rattles at the checkpoint
        (0.6, 0.3, 0.2, 0.1, Verdict.WARN),  # beyond the edge, and a tenth gains much
        (3.0, 0.3, 0.3, 0.3, Verdict.WARN),  # breaks fresh models, the checkpoint bears it
        (0.6, 0.3, 0.3, 0.299, Verdict.INFO),  # no harm that matters
    ],
)
def test_a_rate_too_high(
    judged: Any, end: float, level: float, held: float, tenth: float, verdict: Verdict
) -> None:
    found = judged(judge, high(end, level, held, tenth))
    assert found.verdict is verdict, found.summary
    assert ("too high" in found.summary) is (verdict is not Verdict.INFO)
    if verdict is not Verdict.INFO:
        assert found.where[0].note == "0.5 is too high"


def test_a_rate_near_the_edge_that_beats_the_recommended_one_is_not_too_high(judged: Any) -> None:
    """A range test of few steps errs by some; a race at the rate itself does not."""
    found = judged(judge, high(0.6, 0.05, 0.3, 0.05, rate=0.2))
    assert found.verdict is Verdict.PASS, found.summary
    assert "faster than the recommended" in found.summary
    assert judged(judge, high(0.8, 0.05, 0.3, 0.05, rate=0.2)).verdict is Verdict.FAIL


def test_a_lost_loss_is_too_high(judged: Any) -> None:
    broken = arm("declared", 0.5, np.nan)
    fresh = trials("fresh", 1.0, broken, arm("recommended", 0.01, 0.7))
    found = judged(judge, seen(fresh, None))
    assert found.verdict is Verdict.FAIL
    assert "no finite loss" in found.summary


def test_a_high_rate_that_is_warmed_up_to_is_no_fault(judged: Any) -> None:
    answers = high(3.0, 0.3, 0.3, 0.3)
    found = judged(judge, {**answers, SCHEDULE: scheduled("OneCycleLR", 0.02, 0.5, 0.01)})
    assert found.verdict is Verdict.INFO
    assert "warmed up" in found.summary


def test_a_floor_without_a_schedule_is_another_finding(judged: Any) -> None:
    stopped = at(0.01, 0.5, 0.5, arm("tenth", 0.001, 0.4), start="checkpoint")
    answers = seen(at(0.01, 0.6, 1.0), stopped)
    found = judged(judge, answers)
    assert found.verdict is Verdict.WARN
    assert "has stopped falling" in found.summary
    assert "too high for the end" in found.summary
    assert "without a schedule" in found.where[0].note
    assert "CosineAnnealingLR" in found.advice[0]
    decayed = {**answers, SCHEDULE: scheduled("CosineAnnealingLR", 0.01, 0.005, 0.0001)}
    assert judged(judge, decayed).verdict is Verdict.PASS
    falling = at(0.01, 0.4, 0.5, arm("tenth", 0.001, 0.39), start="checkpoint")
    assert judged(judge, seen(at(0.01, 0.6, 1.0), falling)).verdict is Verdict.PASS
    small = at(0.01, 0.05, 0.05, arm("tenth", 0.001, 0.04), start="checkpoint")
    assert judged(judge, seen(at(0.01, 0.6, 1.0), small)).verdict is Verdict.PASS


def test_what_can_not_be_told_is_said(judged: Any) -> None:
    nothing = judged(judge, seen(None, None))
    assert nothing.verdict is Verdict.NOT_APPLICABLE
    assert "no training data is given" in nothing.summary
    alone = judged(judge, seen(None, QUIET))
    assert alone.verdict is Verdict.INFO
    assert "no factory is given" in alone.summary
    other = trials("fresh", 1.0, instead="no optimizer is declared", declared=np.nan)
    found = judged(judge, seen(other, None))
    assert found.verdict is Verdict.INFO
    assert "no optimizer is declared" in found.summary
    assert "`lr=0.01`" in found.advice[0]
    flat = trials("fresh", 1.0, arm("declared", 0.01, 1.0), range=curve_to(0.1, fall=0.0))
    found = judged(judge, seen(flat, QUIET))
    assert found.verdict is Verdict.INFO
    assert "At no rate" in found.summary


def test_the_bounds_of_curvature_are_shown(judged: Any) -> None:
    steep = Curvature(
        100.0,
        0.1,
        NOTHING,
        NOTHING,
        -1.0,
        90.0,
        80.0,
        100.0,
        500.0,
        400.0,
        600.0,
        5,
        10,
        2,
        64,
        "train",
        "m",
    )
    found = judged(judge, seen(at(0.01, 0.9, 1.0), QUIET, curvature=steep))
    values = {metric.name: metric.value for metric in found.metrics}
    assert values["2/λ"] == pytest.approx(0.02)
    assert values["(2 + 2β)/λ"] == pytest.approx(3.8 / 100)
    names = [one.name for one in found.figures[0].series]
    assert any("declared 0.01" in name for name in names)
    assert any("(2 + 2β)/λ 0.038" in name for name in names)
    assert sum("recommended" in name for name in names) == 2
    adaptive = trials("fresh", 1.0, arm("declared", 0.01, 0.9), adaptive=True, momentum=0.0)
    found = judged(judge, seen(adaptive, QUIET, curvature=steep))
    assert "it says nothing" in found.summary
    assert not any("λ" in one.name for one in found.figures[0].series)
