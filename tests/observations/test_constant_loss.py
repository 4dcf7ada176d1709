"""What one answer to all examples costs, against plain computations."""

import math

import numpy as np
import pytest

from auditor.observations.constant_loss import constant_loss
from auditor.observations.performance import Performance


def performance(classes: np.ndarray, entropy: float, loss: float) -> Performance:
    """Return results of examples with these classes, (N, targets of each)."""
    examples, each = classes.shape
    return Performance(
        metric="accuracy",
        scores=np.ones(examples),
        entropies=np.full(examples, entropy),
        losses=np.full(4, loss),
        batch_examples=np.full(4, examples / 4),
        target_example=np.repeat(np.arange(examples), each),
        target_class=classes.ravel(),
        target_count=np.ones(classes.size),
        target_values=np.zeros((examples, 0)),
        split="train",
    )


def test_of_classes_it_is_the_entropy_of_the_targets() -> None:
    classes = np.repeat([0, 1, 2], [50, 30, 20])[:, None]
    share = np.asarray([0.5, 0.3, 0.2])
    expected = -(share * np.log(share)).sum()
    assert constant_loss(performance(classes, 0.7, 0.7)) == pytest.approx(expected)


def test_of_several_labels_it_is_the_mean_of_the_entropies_of_each() -> None:
    even = np.arange(100) % 2
    rare = (np.arange(100) < 10).astype(int)
    classes = np.stack([even, 2 + rare, 4 + even], axis=1)
    expected = (2 * math.log(2) - 0.1 * math.log(0.1) - 0.9 * math.log(0.9)) / 3
    assert constant_loss(performance(classes, 0.4, 0.4)) == pytest.approx(expected)


def test_a_loss_in_other_units_has_none() -> None:
    classes = np.arange(100)[:, None] % 2
    assert math.isnan(constant_loss(performance(classes, 0.4, 4.0)))
    assert math.isnan(constant_loss(None))


def test_of_numbers_it_is_their_variance_where_the_loss_is_the_squared_error() -> None:
    values = np.linspace(0, 1, 40)[:, None]
    numbers = Performance(
        "squared error",
        np.full(40, 0.02),
        np.zeros(0),
        np.full(4, 0.02),
        np.full(4, 10),
        np.zeros(0, int),
        np.zeros(0, int),
        np.zeros(0),
        values,
        "train",
    )
    assert constant_loss(numbers) == pytest.approx(values.var())
