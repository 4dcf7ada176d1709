"""Gradients that fade, or are cut off."""

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, trained


class DeepSigmoid(nn.Module):
    def __init__(self, depth: int = 14) -> None:
        super().__init__()
        self.enter = nn.Linear(64, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sigmoid(self.enter(x.flatten(1)))
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def test_a_deep_sigmoid_stack_vanishes(digits: Live) -> None:
    live = trained(DeepSigmoid, digits.train, digits.val, "cross_entropy", epochs=1)
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert any(place.name in ("enter.weight", "layers.0.weight") for place in found.where)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)).detach())


def test_a_detached_part_is_named(digits: Live) -> None:
    live = trained(Detached, digits.train, digits.val, "cross_entropy", epochs=2)
    found = live.finding("vanishing-gradients")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert any(place.name == "body.0.weight" for place in found.where)


def test_a_dead_layer_stops_the_gradient(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[3][1].bias.fill_(-1e3))
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "features.3" in " ".join(place.name for place in found.where)
