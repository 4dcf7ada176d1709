from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from auditor.core.subject import FeatureFacts, TargetFacts
from auditor.intake.batches import Batch
from auditor.intake.features import FeatureSurvey
from auditor.observations.drift import of_features, of_labels, of_shares


def facts(table: Any) -> FeatureFacts:
    survey = FeatureSurvey()
    rows = torch.as_tensor(np.asarray(table, np.float32))
    survey.add(Batch((rows,), {}, torch.zeros(len(rows), dtype=torch.long)))
    found = survey.facts()
    assert found is not None
    return found


DRAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "yes or no": lambda rng, shape: rng.random(shape) < 0.3,
    "few values": lambda rng, shape: rng.integers(0, 5, shape),
    "often zero": lambda rng, shape: rng.standard_cauchy(shape) * (rng.random(shape) < 0.4),
    "constant": lambda rng, shape: np.full(shape, 3.0),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("size", [60, 400, 6000])
def test_two_samples_of_one_distribution_do_not_drift(kind: str, size: int) -> None:
    rng = np.random.default_rng(size)
    draw = DRAWS[kind]
    found = of_features(
        facts(draw(rng, (size, 32))), facts(draw(rng, (size // 2, 32))), 1 - 0.01 / 32
    )
    assert max(drift.least for drift in found) < 0.02
    assert np.median([drift.index for drift in found]) < 0.05


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda x: 2 * x, 0.3),
        (lambda x: x + 0.7, 0.3),
        (lambda x: -np.abs(x), 0.5),
        (lambda x: 0 * x, 2.0),
        (lambda x: np.where(np.arange(len(x))[:, None] % 5 == 0, np.nan, x), 0.2),
    ],
    ids=["scale", "shift", "sign", "constant", "missing"],
)
def test_drift_is_seen_and_lies_in_its_interval(change: Any, least: float) -> None:
    rng = np.random.default_rng(0)
    one, other = rng.standard_normal((3000, 1)), rng.standard_normal((3000, 1))
    (found,) = of_features(facts(one), facts(change(other)), 0.99)
    assert found.least > least
    assert found.least <= found.low <= found.index <= found.high


def test_a_constant_that_moves_is_seen() -> None:
    (found,) = of_features(facts(np.ones((300, 1))), facts(np.full((300, 1), 0.5)), 0.99)
    assert found.least > 1
    (found,) = of_features(facts(np.zeros((300, 1))), facts(np.zeros((300, 1))), 0.99)
    assert found.index == found.high == 0


def test_all_values_gone() -> None:
    (found,) = of_features(facts(np.ones((300, 1))), facts(np.full((300, 1), np.nan)), 0.99)
    assert found.least > 1
    (found,) = of_features(facts(np.full((300, 1), np.nan)), facts(np.ones((300, 1))), 0.99)
    assert found.least > 1


def test_rounding_is_no_drift() -> None:
    rng = np.random.default_rng(0)
    table = np.stack([rng.integers(0, 2, 400), rng.standard_normal(400)], axis=1)
    found = of_features(facts(table), facts(table.astype(np.float16) + 1e-5), 0.99)
    assert max(drift.least for drift in found) == 0


def test_the_index_is_what_its_formula_says() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.3, 0.3])
    found = of_shares("x", p, q, (10**6, 10**6), 0.99)
    assert found.index == pytest.approx(float(((q - p) * np.log(q / p)).sum()), rel=1e-3)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    p, q = np.array([0.25, 0.25, 0.25, 0.25]), np.array([0.4, 0.3, 0.2, 0.1])
    truth = float(((q - p) * np.log(q / p)).sum())
    held = 0
    for _ in range(200):
        one, other = rng.multinomial(500, p) / 500, rng.multinomial(500, q) / 500
        found = of_shares("x", one, other, (500, 500), 0.99)
        held += found.low <= truth <= found.high
    assert held >= 180


def labels(*counts: int, kind: str = "classes") -> TargetFacts:
    return TargetFacts(kind, sum(counts), tuple(range(len(counts))), counts)


def test_shares_of_classes() -> None:
    (same,) = of_labels(labels(100, 100, 100), labels(95, 105, 102), (300, 302), 0.99)
    (moved,) = of_labels(labels(100, 100, 100), labels(30, 70, 200), (300, 300), 0.99)
    assert same.least == 0
    assert moved.least > 0.25


def test_a_new_class_and_one_that_is_gone() -> None:
    before = labels(150, 150)
    after = replace(before, classes=(0, 2))
    (found,) = of_labels(before, after, (300, 300), 0.99)
    assert found.least > 1


def test_many_rare_classes_are_joined() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.multinomial(400, np.full(300, 1 / 300)) for _ in range(2))
    (found,) = of_labels(labels(*one), labels(*other), (400, 400), 0.99)
    assert found.least == 0


def test_targets_within_an_example_count_once() -> None:
    (many,) = of_labels(labels(5000, 5000), labels(5400, 4600), (10_000, 10_000), 0.99)
    (few,) = of_labels(labels(5000, 5000), labels(5400, 4600), (100, 100), 0.99)
    assert many.least > few.least == 0


def test_each_of_several_labels() -> None:
    before = labels(200, 100, 150, 150, kind="labels")
    after = labels(200, 100, 20, 280, kind="labels")
    first, second = of_labels(before, after, (300, 300), 0.99)
    assert first.least == 0
    assert second.least > 0.25
    assert second.name == "label 1"


def test_targets_of_different_kinds_are_not_compared() -> None:
    assert of_labels(labels(10, 10), TargetFacts("numbers", 20), (20, 20), 0.99) == []
