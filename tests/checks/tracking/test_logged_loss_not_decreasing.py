import numpy as np
import pytest

from auditor.checks.tracking.logged_loss_not_decreasing import judge
from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, noise, seen


@pytest.mark.parametrize("count", [12, 40, 4000])
@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_a_loss_that_falls(judged, count: int, scatter: float) -> None:
    found = judged(judge, seen(log(train_loss=0.2 + decay(count) + noise(count, scatter))))
    assert found.verdict is Verdict.PASS
    assert found.figures


def test_one_that_falls_at_once_and_then_stays(judged) -> None:
    values = np.r_[2.3, 1.0, 0.4, 0.1 + np.abs(noise(97, 0.02))]
    assert judged(judge, seen(log(train_loss=values))).verdict is Verdict.PASS


@pytest.mark.parametrize(("count", "scatter"), [(12, 0.0), (40, 0.01), (20_000, 0.3)])
def test_one_that_stays(judged, count: int, scatter: float) -> None:
    found = judged(judge, seen(log(train_loss=2.3 + noise(count, scatter))))
    assert found.verdict is Verdict.WARN
    assert "stayed where it was" in found.summary
    assert "learn one batch by heart" in found.advice[0]


def test_one_that_rises(judged) -> None:
    found = judged(judge, seen(log(train_loss=2 + np.arange(40) / 20 + noise(40, 0.05))))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "metrics.csv"


def test_one_that_explodes_at_once_and_stays_up(judged) -> None:
    values = np.r_[1.0, 500, 90, 40, np.exp(2.6 + noise(300, 0.6))]
    found = judged(judge, seen(log(train_loss=values)))
    assert found.verdict is Verdict.FAIL
    assert "began at 1," in found.summary


def test_scatter_that_hides_it_is_no_verdict_and_says_how_many_would_do(judged) -> None:
    found = judged(judge, seen(log("steps", train_loss=2.3 + noise(60, 0.4))))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "readings would tell" in found.summary


def test_validation_is_asked_where_training_scatters(judged) -> None:
    flat = log("steps", train_loss=2.3 + noise(60, 0.4), val_loss=np.full(20, 2.31))
    found = judged(judge, seen(flat))
    assert found.verdict is Verdict.WARN
    assert "The validation loss stayed" in found.summary


def test_the_end_of_a_run_is_not_judged(judged) -> None:
    late = log(train_loss=(np.arange(80, 120), 0.3 + noise(40, 0.001)))
    found = judged(judge, seen(late))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "only of the end" in found.summary


@pytest.mark.parametrize("held", [log(train_loss=decay(11)), log(lr=decay(50))])
def test_too_little_to_tell(judged, held) -> None:
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "metrics.csv" in found.summary


def test_the_limit_is_the_one_given(judged) -> None:
    slow = seen(log(train_loss=2.3 - np.arange(40) / 4000 * 0 + noise(40, 0.02)))
    assert judged(judge, slow).verdict is Verdict.NOT_APPLICABLE
    wide = {"fall": Limit(warn=0.05, bad="below", source="test")}
    assert judged(judge, slow, wide).verdict is Verdict.WARN


@pytest.mark.parametrize("values", [np.zeros(40), -decay(40)[::-1], decay(40) - 5])
def test_losses_of_zero_and_below(judged, values) -> None:
    found = judged(judge, seen(log(train_loss=values)))
    assert found.verdict in (Verdict.PASS, Verdict.WARN)
