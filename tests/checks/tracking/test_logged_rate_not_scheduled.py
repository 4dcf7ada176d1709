import numpy as np
import pytest

from auditor.checks.tracking.logged_rate_not_scheduled import judge
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, schedule, seen

TO_AND_FRO = np.where(np.arange(40) % 2, 1.0, -1.0)
STAYS = np.full(40, 0.1)
CALM = 0.5 + decay(40, 8, 2.0)
RESTLESS = CALM + np.where(np.arange(40) < 20, 0, 0.4 * TO_AND_FRO)


@pytest.mark.parametrize(
    "rate", [np.linspace(0.1, 0.001, 40), 0.05 * (1 + np.cos(np.arange(40) / 13))]
)
def test_a_rate_that_comes_down(judged, rate) -> None:
    found = judged(judge, seen(log(val_loss=RESTLESS, lr=rate)))
    assert found.verdict is Verdict.PASS
    assert "came down" in found.summary


@pytest.mark.parametrize("rate", [STAYS, np.minimum(np.arange(1, 41) / 100, 0.1)])
def test_one_that_stays_without_harm_is_told(judged, rate) -> None:
    found = judged(judge, seen(log(val_loss=CALM, lr=rate)))
    assert found.verdict is Verdict.INFO
    assert "no harm" in found.summary


def test_one_that_holds_the_loss_at_a_floor(judged) -> None:
    found = judged(judge, seen(log(val_loss=RESTLESS, lr=STAYS)))
    assert found.verdict is Verdict.WARN
    assert "T_max=40" in found.advice[0]
    assert "0.01" in found.advice[1]
    assert any(metric.limit for metric in found.metrics)


def test_a_loss_that_still_falls_is_at_no_floor(judged) -> None:
    falling = 10 - np.arange(40) / 5 + 1.5 * TO_AND_FRO
    assert judged(judge, seen(log(val_loss=falling, lr=STAYS))).verdict is Verdict.INFO


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (schedule("CosineAnnealingLR", range(41), np.linspace(0.1, 0, 41), 40), Verdict.WARN),
        (schedule("cosine"), Verdict.WARN),
        (schedule("StepLR", range(41), np.full(41, 0.1), 40), Verdict.INFO),
        (schedule("ReduceLROnPlateau"), Verdict.INFO),
        (schedule("none"), Verdict.INFO),
    ],
)
def test_a_schedule_that_should_have_moved_it(judged, known, verdict: Verdict) -> None:
    found = judged(judge, seen(log(val_loss=CALM, lr=STAYS), known))
    assert found.verdict is verdict
    assert ("should have" in found.summary) == (verdict is Verdict.WARN)


@pytest.mark.parametrize(
    "held", [log(val_loss=CALM), log(lr=STAYS[:4]), log(lr=np.zeros(40), val_loss=CALM)]
)
def test_nothing_to_tell(judged, held) -> None:
    assert judged(judge, seen(held)).verdict is Verdict.NOT_APPLICABLE


def test_a_warm_up_that_the_run_did_not_outlast(judged) -> None:
    found = judged(judge, seen(log(train_loss=decay(40), lr=np.linspace(1e-5, 1e-3, 40))))
    assert found.verdict is Verdict.WARN
    assert "rose until the end" in found.summary
    restarted = np.r_[np.tile(np.linspace(0.1, 0.001, 10), 4), 0.1]
    held = log(train_loss=decay(41), lr=restarted)
    assert judged(judge, seen(held)).verdict is Verdict.INFO
