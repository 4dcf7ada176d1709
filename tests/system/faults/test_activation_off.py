"""Activations left out, stacked, and softmax between hidden layers, in real models."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import digits

CHECK = "activation-off"


def flat(act: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 48), act(), nn.Linear(48, 32), act(), nn.Linear(32, 10)
    )


def live(build: Callable[[], nn.Module]) -> Live:
    train, val = digits(lambda x, y: (x, y))
    torch.manual_seed(0)
    optimizer = {"name": "Adam", "lr": 1e-3}
    return Live(build(), build, train, val, "cross_entropy", optimizer)


def test_a_network_without_activations_is_told_to_be_linear() -> None:
    found = live(lambda: flat(nn.Identity)).finding(CHECK)
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["1", "3"]


@pytest.mark.parametrize(
    ("act", "places"),
    [
        (lambda: nn.Sequential(nn.ReLU(), nn.Sigmoid()), ["2.1", "4.1"]),
        (lambda: nn.Softmax(dim=1), ["2", "4"]),
    ],
)
def test_what_holds_learning_back_is_named(act, places: list[str]) -> None:
    assert live(lambda: flat(act)).places(CHECK, Verdict.FAIL) == places


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.GELU, nn.Sigmoid])
def test_one_activation_of_any_kind_passes(act) -> None:
    assert live(lambda: flat(act)).finding(CHECK).verdict is Verdict.PASS


def test_without_a_factory_it_is_told_and_not_judged() -> None:
    model = live(lambda: flat(lambda: nn.Softmax(dim=1)))
    found = replace(model, factory=None).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "factory" in found.summary
