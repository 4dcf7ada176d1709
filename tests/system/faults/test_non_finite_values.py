"""NaN and infinity in weights, activations and inputs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_weight_is_named(digits: Live, names: Live, value: float) -> None:
    for live in (digits, names):
        hurt = broken(live, lambda model: model.head.weight[0, 0].fill_(value))
        assert "head.weight" in hurt.places("non-finite-values", Verdict.FAIL)


def test_the_layer_where_activations_overflow_is_named(digits: Live, diabetes: Live) -> None:
    def blow(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(1e30)

    found = broken(diabetes, blow).finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert any(place.kind == "layer" for place in found.where)


def test_bad_inputs_are_blamed_on_the_data(digits: Live) -> None:
    def spoil(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = inputs.clone()
        inputs[-1, 0, 0, 0] = float("nan")
        return inputs, target

    found = replace(digits, val=mapped(digits.val, spoil)).finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "input" in found.summary
