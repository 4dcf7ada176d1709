import math

import numpy as np
import pytest

from auditor.checks.tracking.logged_gradient_spikes import judge
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, noise, seen

LOSS = 0.3 + decay(500, 8) + noise(500, 0.02)


def norms(count: int = 500, scatter: float = 0.3, **spikes: float) -> np.ndarray:
    values = np.exp(noise(count, scatter)) * (1 + 20 * np.exp(-np.arange(count) / 5))
    for place, times in spikes.items():
        values[int(place[1:])] *= times
    return values


@pytest.mark.parametrize("scatter", [0.05, 0.3, 0.8])
def test_norms_that_scatter_have_no_spikes(judged, scatter: float) -> None:
    held = log("steps", train_loss=LOSS, grad_norm=norms(scatter=scatter))
    assert judged(judge, seen(held)).verdict is Verdict.PASS


def test_one_or_two_without_harm_are_told(judged) -> None:
    held = log("steps", train_loss=LOSS, grad_norm=norms(s200=60, s300=80))
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.INFO
    assert "2 spikes" in found.summary
    assert "no harm" in found.summary


def test_three_come_again(judged) -> None:
    held = log("steps", train_loss=LOSS, grad_norm=norms(s200=60, s300=80, s400=40))
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.WARN
    assert "at step 301" in found.where[0].note
    assert "clip_grad_norm_(model.parameters(), 4" in found.advice[0]


def test_one_that_puts_the_loss_up(judged) -> None:
    hurt = LOSS + np.where(np.arange(500) > 250, 1.5 * np.exp(-(np.arange(500) - 250) / 60), 0)
    found = judged(judge, seen(log("steps", train_loss=hurt, grad_norm=norms(s250=200))))
    assert found.verdict is Verdict.WARN
    assert "after 1 of them the loss is up" in found.summary


def test_spikes_side_by_side_are_one(judged) -> None:
    held = log("steps", train_loss=LOSS, grad_norm=norms(s200=60, s201=50, s203=40))
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.INFO
    assert "1 spike " in found.summary


@pytest.mark.parametrize(("lost", "verdict"), [(1, Verdict.INFO), (40, Verdict.WARN)])
def test_norms_that_are_no_numbers(judged, lost: int, verdict: Verdict) -> None:
    values = norms()
    values[100 : 100 + lost] = math.inf
    found = judged(judge, seen(log("steps", train_loss=LOSS, grad_norm=values)))
    assert found.verdict is verdict
    assert f"{lost} of 500" in found.summary


@pytest.mark.parametrize("values", [np.zeros(60), np.full(60, math.nan), np.full(60, 2.0)])
def test_norms_of_nothing(judged, values) -> None:
    found = judged(judge, seen(log("steps", grad_norm=values)))
    assert found.verdict is (Verdict.WARN if np.isnan(values).any() else Verdict.PASS)


@pytest.mark.parametrize("held", [log(grad_norm=norms(49)), log(train_loss=LOSS)])
def test_too_few(judged, held) -> None:
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "gradient's norm" in found.summary
