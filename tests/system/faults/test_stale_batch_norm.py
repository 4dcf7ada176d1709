"""Running statistics that do not describe the data."""

from dataclasses import replace

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, trained


def reset_statistics(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()


def test_statistics_never_updated_are_found(digits: Live) -> None:
    found = broken(digits, reset_statistics).finding("stale-batch-norm")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name.startswith("features.")


def test_statistics_of_other_inputs_are_found(digits: Live) -> None:
    def unscaled(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs * 6 + 5, target

    live = replace(digits, train=mapped(digits.train, unscaled))
    found = live.finding("stale-batch-norm")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "features.0.1"


class NormedMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)))


def test_one_dimensional_statistics_are_judged_both_ways(digits: Live) -> None:
    live = trained(NormedMLP, digits.train, digits.val, "cross_entropy", epochs=5)
    assert live.finding("stale-batch-norm").verdict is Verdict.PASS
    found = broken(live, reset_statistics).finding("stale-batch-norm")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Never updated" in found.summary
