"""Sums of gradients told from gradients, by numbers made by hand."""

from typing import Any

import numpy as np
import pytest

from auditor.core.verdict import Verdict
from auditor.observations.gradient_memory import GradientMemory
from auditor.observations.summed_gradients import metrics_of, said_of_sums


def memory(
    length: float = 5.0, agreed: float = 0.9, now: float = 0.1, batches: int = 16
) -> GradientMemory:
    """Return gradients of length 1 and cosine `now` with an average of `length`."""
    wobble = 1 + 0.02 * np.resize([1.0, -1.0], batches)
    return GradientMemory(
        ("a.weight", "unused"),
        np.asarray([length, 7.0]),
        np.asarray([length / agreed, 7.0]),
        np.stack([wobble, np.full(batches, np.nan)], axis=1),
        np.stack([now * length * np.sqrt(wobble), np.full(batches, np.nan)], axis=1),
    )


def test_a_sum_warns_and_a_long_one_fails() -> None:
    (said,) = said_of_sums(memory())
    assert said.verdict is Verdict.WARN
    assert "5 times as long" in said.text
    assert "0.10 and that of past gradients 0.90" in said.text
    assert "zero_grad" in said.advice
    assert said_of_sums(memory(11.0))[0].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "change",
    [
        {"length": 1.9},
        {"agreed": 0.45},
        {"now": 0.46},
        {"now": 0.9},
        {"batches": 3},
        {"length": 0.0},
    ],
)
def test_what_is_no_sum(change: dict[str, Any]) -> None:
    assert said_of_sums(memory(**change)) == ()


def test_without_a_second_moment_only_a_long_one_warns() -> None:
    assert said_of_sums(memory(9.0, agreed=np.nan)) == ()
    assert said_of_sums(memory(30.0, agreed=np.nan, now=0.6)) == ()
    (said,) = said_of_sums(memory(30.0, agreed=np.nan))
    assert said.verdict is Verdict.WARN
    assert "A loss summed over many batches" in said.text


def test_few_uneven_batches_settle_nothing() -> None:
    found = memory(3.0, batches=4)
    found.squares[0] = 30.0
    assert said_of_sums(found) == ()


def test_nothing_known_says_nothing() -> None:
    assert said_of_sums(None) == ()
    assert metrics_of(None) == ()


def test_the_length_is_told_with_its_interval() -> None:
    (metric,) = metrics_of(memory())
    assert metric.value == pytest.approx(5.0)
    assert metric.low < 5.0 < metric.high
