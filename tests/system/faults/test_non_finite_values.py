"""NaN and infinity in weights, activations and inputs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped
from tests.zoo import TRAINED, healthy


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


class Standardising(nn.Module):
    """Divides each example by its own deviation, which is 0 for a constant one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(1, x.ndim))
        return self.inner(x / x.std(axes, keepdim=True))


@pytest.mark.parametrize("family", ["digits", "diabetes", "lstm", "transformer"])
def test_one_example_of_many_is_found_and_described(request, family: str) -> None:
    live: Live = healthy(family) if family in TRAINED else request.getfixturevalue(family)
    batches = [(x.clone(), y) for x, y in live.val]
    at, row = 1, 3
    batches[at][0][row] = 0.25
    number = sum(len(x) for x, _ in batches[:at]) + row
    hurt = replace(
        live, model=Standardising(live.model), val=batches, train=None, factory=None, optimizer=None
    )
    found = hurt.finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert f"Example {number} of the validation data (batch {at}) makes it alone" in found.summary
    assert "its input is 0.25 throughout" in found.summary
    assert str(number) in [place.name for place in found.where if place.kind == "example"]


class Long(nn.Module):
    """Adds the length of its features, which has no slope where they are all zero."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(10, 8, bias=False), nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.enter(x))
        return self.head(x + x.square().sum(1, keepdim=True).sqrt())


def test_a_gradient_that_breaks_behind_finite_values_is_placed_and_traced(diabetes: Live) -> None:
    torch.manual_seed(0)
    train = [(x.clone(), y) for x, y in diabetes.train]
    train[2][0][5] = 0.0
    number = sum(len(x) for x, _ in train[:2]) + 5
    hurt = replace(diabetes, model=Long(), factory=None, optimizer=None, train=train)
    found = hurt.finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "back to `enter`" in found.summary
    assert f"Example {number} of the training data" in found.summary
    assert "enter.weight" in [place.name for place in found.where]


class Masked(nn.Module):
    """Scores with minus infinity where attention must not look, seen from outside."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps = x.shape[1]
        scores = x @ x.transpose(1, 2)
        return scores.masked_fill(torch.ones(steps, steps).triu(1).bool(), -torch.inf)


class Causal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enter, self.scores, self.head = nn.Linear(8, 16), Masked(), nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x.squeeze(1))
        return self.head((self.scores(x).softmax(-1) @ x).mean(1))


def test_a_mask_of_minus_infinity_is_no_fault(digits: Live) -> None:
    torch.manual_seed(0)
    live = replace(digits, model=Causal(), factory=None, optimizer=None)
    found = live.finding("non-finite-values")
    assert found.verdict is Verdict.PASS, found.summary
    assert "Minus infinity" in found.summary
