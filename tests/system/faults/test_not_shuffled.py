"""Training loaders that give real data in the order of its targets."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import healthy


def in_order(live: Live, **options: Any) -> Live:
    """Return the subject with its training examples sorted by target."""
    inputs, targets = (torch.cat(column) for column in zip(*live.train, strict=True))
    rank = targets.flatten(1)[:, 0].argsort() if targets.ndim > 1 else targets.argsort()
    return replace(
        live, train=DataLoader(TensorDataset(inputs[rank], targets[rank]), 32, **options)
    )


@pytest.mark.parametrize("name", ["digits", "names"])
def test_classes_one_after_another(name: str, request: pytest.FixtureRequest) -> None:
    live = request.getfixturevalue(name)
    assert in_order(live).places("not-shuffled", Verdict.FAIL) == ["data.train"]
    shuffled = in_order(live, shuffle=True).finding("not-shuffled")
    assert shuffled.verdict is Verdict.PASS, shuffled.summary


def test_a_table_by_its_classes() -> None:
    live = healthy("wine_mlp")
    assert in_order(live).places("not-shuffled", Verdict.FAIL) == ["data.train"]


def test_a_regression_from_small_to_large(diabetes: Live) -> None:
    assert in_order(diabetes).places("not-shuffled", Verdict.WARN) == ["data.train"]


def test_it_is_the_first_cause_of_what_comes_of_it(digits: Live) -> None:
    found = in_order(digits).audited("not-shuffled", "trained-loss-off", "overfitted")
    assert [cause.id for cause in found.causes][:1] == ["not-shuffled"]
