"""Features are those of all examples together, however these are batched."""

from typing import Any

import numpy as np
import pytest
import torch

from auditor.core.subject import FeatureFacts
from auditor.intake import features
from auditor.intake.batches import Batch
from auditor.intake.features import FeatureSurvey


def surveyed(inputs: Any, target: torch.Tensor, size: int = 7) -> FeatureFacts | None:
    survey = FeatureSurvey()
    for rows, wanted in zip(inputs.split(size), target.split(size), strict=True):
        survey.add(Batch((rows,), {}, wanted))
    return survey.facts()


def labels(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.long)


def test_columns_of_a_table() -> None:
    table = torch.randn(50, 3)
    found = surveyed(table, labels(50))
    assert found is not None
    assert found.names == ("feature 0", "feature 1", "feature 2")
    plain = table.double().numpy()
    np.testing.assert_allclose(found.mean, plain.mean(axis=0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.variance, plain.var(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(found.least, plain.min(axis=0))
    np.testing.assert_array_equal(found.most, plain.max(axis=0))
    np.testing.assert_array_equal(found.quantiles[:, 0], plain.min(axis=0))
    np.testing.assert_array_equal(found.quantiles[:, 100], plain.max(axis=0))
    np.testing.assert_array_equal(found.quantiles[:, 50], np.sort(plain, axis=0)[24])
    whole = surveyed(table, labels(50), size=50)
    assert whole is not None
    np.testing.assert_allclose(found.variance, whole.variance, rtol=1e-6)
    np.testing.assert_array_equal(found.quantiles, whole.quantiles)


def test_values_that_are_missing_are_counted_and_left_out() -> None:
    table = torch.randn(40, 2)
    table[3:9, 1] = torch.nan
    table[11, 1] = torch.inf
    found = surveyed(table, labels(40))
    assert found is not None
    assert found.missing.tolist() == [0, 7]
    assert found.values.tolist() == [40, 33]
    rest = table[:, 1][table[:, 1].isfinite()].double().numpy()
    np.testing.assert_allclose(found.mean[1], rest.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.variance[1], rest.var(), rtol=1e-6)
    assert np.isfinite(found.quantiles).all()


def test_a_feature_without_a_single_number() -> None:
    found = surveyed(torch.full((20, 1), torch.nan), labels(20))
    assert found is not None
    assert found.values.tolist() == [0]
    assert np.isnan(found.quantiles).all()


def test_channels_of_images() -> None:
    images = torch.randn(20, 3, 6, 6) * torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1)
    found = surveyed(images, labels(20))
    assert found is not None
    assert found.names[4:] == ("channel 2, mean", "channel 2, spread")
    np.testing.assert_allclose(found.mean[4], images[:, 2].mean(), rtol=1e-4)
    spread = images[:, 2].flatten(1).std(dim=1, correction=0).mean()
    np.testing.assert_allclose(found.mean[5], spread, rtol=1e-5)


def test_sequences_have_their_channels_last_where_these_are_few() -> None:
    found = surveyed(torch.randn(20, 30, 4), labels(20))
    assert found is not None
    assert len(found.names) == 8


def test_padding_changes_nothing_of_tokens() -> None:
    tokens = torch.randint(1, 50, (20, 24))
    tokens[:, 18:] = 0
    one, other = surveyed(tokens, labels(20)), surveyed(tokens[:, :19], labels(20))
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(one.quantiles, other.quantiles, rtol=1e-4)
    assert one.names[0] == "tokens, mean"
    np.testing.assert_allclose(one.mean[0], tokens[:, :18].double().mean(), rtol=1e-6)
    distinct = np.mean([len(set(row.tolist())) / 18 for row in tokens[:, :18]])
    np.testing.assert_allclose(one.mean[3], distinct, rtol=1e-6)


def test_wide_tables_are_drawn_from() -> None:
    found = surveyed(torch.randn(20, 784), labels(20))
    assert found is not None
    assert len(found.names) == 64
    assert found.left_out == 784 - 62
    assert found.names[-1] == "feature 783"


def test_targets_that_are_numbers_are_features_and_others_are_not() -> None:
    survey = FeatureSurvey()
    survey.add(Batch((torch.randn(8, 2),), {}, torch.randn(8)))
    assert survey.facts().names[-1] == "target"
    assert "target" not in survey.facts(with_targets=False).names


def test_named_inputs() -> None:
    survey = FeatureSurvey()
    survey.add(Batch((), {"age": torch.randn(8), "odd\u202ename": torch.randn(8, 2)}, labels(8)))
    names = survey.facts().names
    assert names[0] == "age: feature"
    assert "\u202e" not in "".join(names)


def test_tables_of_changing_width_have_only_the_features_that_stay() -> None:
    survey = FeatureSurvey()
    for width in (3, 2, 4):
        survey.add(Batch((torch.ones(5, width),), {}, labels(5)))
    found = survey.facts()
    assert found is not None
    assert found.names == ("feature 0", "feature 1")
    assert found.values.tolist() == [15, 15]


@pytest.mark.parametrize(
    "inputs",
    [torch.randn(4, 2, dtype=torch.complex64), torch.zeros(4, 0)],
    ids=["complex", "empty"],
)
def test_what_has_no_features(inputs: torch.Tensor) -> None:
    assert surveyed(inputs, labels(4)) is None


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float16, torch.bfloat16])
def test_every_type_of_number(dtype: torch.dtype) -> None:
    found = surveyed((torch.rand(30, 3, 4, 4) > 0.5).to(dtype), labels(30))
    assert found is not None
    assert len(found.names) == 6


def test_quantiles_of_many_examples_are_of_some_drawn_evenly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "KEPT", 256)
    table = torch.arange(5000.0).reshape(-1, 1)
    found = surveyed(table, labels(5000), size=77)
    assert found is not None
    assert found.values.tolist() == [5000]
    assert found.most.tolist() == [4999]
    np.testing.assert_allclose(found.quantiles[0], np.linspace(0, 5000, 101), atol=80)
