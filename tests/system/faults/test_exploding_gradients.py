"""Gradients that grow over depth."""

from dataclasses import replace

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live


class Deep(nn.Module):
    def __init__(self, gain: float = 1.0, depth: int = 12) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        self.head = nn.Linear(64, 10)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


def test_a_large_initialisation_explodes(digits: Live) -> None:
    torch.manual_seed(0)
    live = replace(digits, model=Deep(gain=5.0), factory=lambda: Deep(gain=5.0))
    found = live.finding("exploding-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where


class Recurrent(nn.Module):
    """A recurrence written out step by step, as far as its own layer goes."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        self.step = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(8))
        self.head = nn.Linear(32, 10)
        for layer in self.step:
            nn.init.orthogonal_(layer.weight, gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.squeeze(1)
        state = self.enter(x[:, 0])
        for place, layer in enumerate(self.step):
            state = layer(state) + self.enter(x[:, place])
        return self.head(state)


def test_a_recurrence_of_large_gain_explodes(digits: Live) -> None:
    torch.manual_seed(0)
    live = replace(digits, model=Recurrent(6.0), factory=lambda: Recurrent(6.0))
    found = live.finding("exploding-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
