"""Dropout in front of batch norm, in the order in which they run."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live, trained

CHECK = "dropout-before-batch-norm"


class MLP(nn.Module):
    """Registers its dropouts behind everything else, and runs them before batch norm."""

    def __init__(self, share: float = 0.5, spelling: str = "module") -> None:
        super().__init__()
        self.share, self.spelling = share, spelling
        self.head = nn.Linear(64, 10)
        self.norms = nn.ModuleList([nn.BatchNorm1d(64) for _ in range(2)])
        self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(2)])
        self.drops = nn.ModuleList([nn.Dropout(share) for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for layer, norm, drop in zip(self.layers, self.norms, self.drops, strict=True):
            x = torch.relu(layer(x))
            if self.spelling == "module":
                x = norm(drop(x))
            elif self.spelling == "function":
                x = norm(functional.dropout(x, self.share, self.training))
            else:  # after the norm and before the next linear layer, whose norm is then misled
                x = norm(x) if layer is self.layers[0] else drop(norm(x))
        return self.head(x)


class CNN(nn.Module):
    """Dropout between ReLU and batch norm."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 12), (12, 12)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.Dropout(share)]
            layers += [nn.BatchNorm2d(after)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(12, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Wide(nn.Module):
    """Residual blocks with dropout between their convolutions (Zagoruyko & Komodakis 2016)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, width, 3, padding=1), nn.Linear(width, 10)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.Dropout(0.3),
                    nn.Conv2d(width, width, 3, padding=1, bias=False),
                )
                for _ in range(2)
            ]
        )
        self.last = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(torch.relu(self.last(x)).mean((2, 3)))


def taught(digits: Live, build: type[nn.Module], epochs: int, *args: object) -> Live:
    train, val = digits.train, digits.val
    return trained(lambda: build(*args), train, val, "cross_entropy", epochs=epochs)


@pytest.mark.parametrize(
    ("spelling", "name"), [("module", "drops.1"), ("function", "dropout(), call 2")]
)
def test_it_is_found_in_a_perceptron(digits: Live, spelling: str, name: str) -> None:
    found = taught(digits, MLP, 6, 0.5, spelling).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["norms.1", "norms.0"]
    assert f"behind {name} (p = 0.5): variance 2." in found.where[0].note
    assert f"`{name}`" in found.advice[1]


def test_it_is_found_in_a_convolutional_network(digits: Live) -> None:
    found = taught(digits, CNN, 5).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert {place.name for place in found.where} == {"body.3", "body.7"}
    scores = {metric.name: metric.value for metric in found.metrics}
    assert scores["shift of variance at the worst layer"] > 1.5


def test_dropout_behind_the_last_norm_passes(digits: Live) -> None:
    assert digits.finding(CHECK).verdict is Verdict.PASS
    found = taught(digits, MLP, 2, 0.5, "behind").finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def test_a_shift_that_costs_nothing_is_told_alone(digits: Live) -> None:
    mild = taught(digits, MLP, 4, 0.05).finding(CHECK)
    assert mild.verdict is Verdict.INFO, mild.summary
    wide = taught(digits, Wide, 4).finding(CHECK)
    assert wide.verdict is Verdict.INFO, wide.summary
    assert wide.where[0].name in ("blocks.1.0", "last")
