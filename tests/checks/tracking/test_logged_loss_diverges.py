import math

import numpy as np
import pytest

from auditor.checks.tracking.logged_loss_diverges import judge
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, noise, seen

DOWN = decay(40) + 0.3


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
def test_a_loss_that_ends_as_no_number(judged, name: str, value: float) -> None:
    values = DOWN.copy()
    values[25:] = value
    found = judged(judge, seen(log(**{"train_loss": DOWN, name: values})))
    assert found.verdict is Verdict.FAIL
    assert "from epoch 26 to the end" in found.summary
    assert "before epoch 26" in found.advice[0]


def test_one_that_comes_back(judged) -> None:
    values = DOWN.copy()
    values[10] = math.inf
    found = judged(judge, seen(log(train_loss=values)))
    assert found.verdict is Verdict.WARN
    assert "1 of 40" in found.summary


def test_empty_cells_at_the_end_are_no_divergence(judged) -> None:
    values = np.r_[DOWN, [math.nan] * 10]
    held = log(train_loss=values, val_loss=(np.arange(1, 51), decay(50)))
    assert judged(judge, seen(held)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("back", "verdict"), [(0.2, Verdict.PASS), (0.75, Verdict.WARN), (1.6, Verdict.FAIL)]
)
def test_what_is_lost_again(judged, back: float, verdict: Verdict) -> None:
    values = np.r_[DOWN, DOWN[-1] + back * (DOWN[0] - DOWN[-1]) * np.linspace(0, 1, 10),
                   [DOWN[-1] + back * (DOWN[0] - DOWN[-1])] * 10] + noise(60, 0.02)  # fmt: skip
    found = judged(judge, seen(log(train_loss=values, lr=np.full(60, 0.1), grad_norm=values)))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert len(found.figures) == 3
        assert "0.01" in found.advice[1]


def test_a_rise_that_scatter_explains_is_none(judged) -> None:
    assert judged(judge, seen(log(train_loss=1 + noise(400, 0.8)))).verdict is Verdict.PASS


def test_a_spike_that_comes_back_is_none(judged) -> None:
    values = DOWN.copy()
    values[30] = 50
    assert judged(judge, seen(log(train_loss=values))).verdict is Verdict.PASS


def test_one_that_leaves_its_course_just_at_the_end(judged) -> None:
    values = decay(500) + 0.3 + noise(500, 0.05)
    values[-20:] = 7 + noise(20, 0.5)
    found = judged(judge, seen(log("steps", train_loss=values)))
    assert found.verdict is Verdict.FAIL, found.summary


def test_a_loss_that_only_rose(judged) -> None:
    found = judged(judge, seen(log(train_loss=2 + np.arange(40) / 5 + noise(40, 0.05))))
    assert found.verdict is Verdict.FAIL
    assert "rose from" in found.summary


@pytest.mark.parametrize("held", [log(train_loss=DOWN[:11]), log(val_loss=DOWN), log(lr=DOWN)])
def test_too_little_to_tell(judged, held) -> None:
    assert judged(judge, seen(held)).verdict is Verdict.NOT_APPLICABLE
