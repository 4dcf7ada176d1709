"""The calibration error, against its definition and against models that are calibrated."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.observations.calibration import claims, overconfidence, reliability
from auditor.observations.probabilities import Probabilities, read
from tests.predictions import drawn, predicted


def stated_of(factor: float, rows: int = 2000, classes: int = 5, seed: int = 0) -> Probabilities:
    logits, truth = drawn(rows, classes, seed=seed)
    stated = read(predicted(factor * logits, truth))
    assert not isinstance(stated, str)
    return stated


def test_bins_are_those_of_a_naive_computation() -> None:
    stated = stated_of(4.0)
    found = reliability(stated, np.random.default_rng(0))
    confidence = np.exp(stated.logs).max(axis=1)
    right = stated.logs.argmax(axis=1) == stated.decisions.truth
    edges = np.quantile(confidence, np.arange(1, 15) / 15)
    gap, place = 0.0, np.searchsorted(np.unique(edges), confidence, side="right")
    for number in np.unique(place):
        rows = place == number
        gap += rows.sum() * abs(right[rows].mean() - confidence[rows].mean())
    assert found.error == pytest.approx(gap / len(right))
    assert found.rows.sum() == len(right)


def test_two_classes_are_looked_at_by_the_second() -> None:
    stated = stated_of(1.0, classes=2)
    said, came = claims(stated)
    np.testing.assert_allclose(said, np.exp(stated.logs[:, 1]))
    np.testing.assert_array_equal(came, stated.decisions.truth)


def test_chance_is_taken_off_a_calibrated_model() -> None:
    found = [reliability(stated_of(1.0, 300, seed=s), np.random.default_rng(s)) for s in range(60)]
    plain, debiased = (
        np.mean([getattr(one, name) for one in found]) for name in ("error", "debiased")
    )
    by_chance = np.mean([one.by_chance for one in found])
    assert plain == pytest.approx(by_chance, rel=0.15)
    assert debiased < 0.6 * plain
    assert not any(one.interval(0.99)[0] > 0.05 for one in found)


def test_a_large_error_is_left_as_it_is() -> None:
    found = reliability(stated_of(0.05), np.random.default_rng(0))
    low, high = found.interval(0.95)
    assert found.debiased == pytest.approx(found.error, abs=0.003)
    assert low < found.debiased < high
    assert high - low < 0.08


def test_rows_of_one_example_count_as_one() -> None:
    logits, truth = drawn(300, 3)
    alone = read(predicted(2 * logits, truth))
    assert not isinstance(alone, str)
    many = np.repeat(np.arange(300), 20)
    stated = replace(alone.where(many), logs=alone.logs[many])
    one, twenty = (reliability(each, np.random.default_rng(0)) for each in (alone, stated))
    width = [np.subtract(*found.interval(0.95)[::-1]) for found in (one, twenty)]
    assert width[1] == pytest.approx(width[0], rel=0.2)
    np.testing.assert_allclose(twenty.sway, one.sway, rtol=0.3)


def test_the_sign_tells_over_from_underconfidence() -> None:
    assert overconfidence(stated_of(10.0)).mean() > 0.05
    assert overconfidence(stated_of(0.1)).mean() < -0.05
