import math

import numpy as np
import pytest

from auditor.checks.tracking.stopped_too_early import judge
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, noise, schedule, seen


@pytest.mark.parametrize("count", [18, 60, 3000])
@pytest.mark.parametrize("name", ["val_loss", "train_loss"])
@pytest.mark.parametrize(
    ("constants", "verdict"), [(1.0, Verdict.WARN), (6.0, Verdict.PASS), (20.0, Verdict.PASS)]
)
def test_where_the_way_down_ends(
    judged, name: str, count: int, constants: float, verdict: Verdict
) -> None:
    values = 0.3 + decay(count, constants) + noise(count, 0.004)
    found = judged(judge, seen(log(**{name: values})))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.WARN:
        assert found.where[0].note == f"ends at epoch {count:,}, still falling"


def test_a_run_that_has_hardly_begun(judged) -> None:
    values = 2.3 - 0.006 * np.arange(40) + noise(40, 0.001)
    assert judged(judge, seen(log(val_loss=values))).verdict is Verdict.WARN


def test_a_rate_that_came_down_explains_it(judged) -> None:
    values = 0.3 + decay(40, 1.0)
    down = log(val_loss=values, lr=np.linspace(1, 0.01, 40))
    found = judged(judge, seen(down))
    assert found.verdict is Verdict.INFO
    assert "another schedule" in found.summary
    planned = schedule("CosineAnnealingLR", range(41), np.linspace(1, 0.0, 41), 41)
    assert judged(judge, seen(log(val_loss=values), planned)).verdict is Verdict.INFO
    flat = log(val_loss=values, lr=np.full(40, 0.1))
    assert judged(judge, seen(flat, planned)).verdict is Verdict.WARN, "the log goes before it"


def test_an_annealed_run_without_its_rate_falls_and_slows_down(judged) -> None:
    done = np.cumsum(1 - np.arange(60) / 60) / 30
    values = 0.3 + 2 * np.exp(-1.5 * done) + noise(60, 0.004)
    assert judged(judge, seen(log(val_loss=values))).verdict is Verdict.PASS


def test_a_fall_that_scatter_hides_is_none(judged) -> None:
    found = judged(judge, seen(log(val_loss=0.3 + decay(18, 1.5) + noise(18, 0.5))))
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "held",
    [
        log(val_loss=decay(17)),
        log(lr=decay(50)),
        log(train_loss=np.r_[decay(30, 1), [math.nan] * 5]),
        log(train_loss=np.zeros(30)),
    ],
)
def test_nothing_to_tell(judged, held) -> None:
    assert judged(judge, seen(held)).verdict is Verdict.NOT_APPLICABLE
