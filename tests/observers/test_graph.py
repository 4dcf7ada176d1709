"""Depth and neighbours, read from autograd's graph, of models whose shape is known."""

import torch
from torch import nn

from auditor.observations.gradients import GradientNormsOver
from auditor.observers import graph
from tests.awkward import subject_of, vectors
from tests.observers.naive import swept

ASKED = GradientNormsOver(batches=1, split="train")


class Branched(nn.Module):
    """A short branch that runs first beside a long one, and a shortcut around the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.short = nn.Linear(8, 4), nn.Linear(4, 4)
        self.long = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        self.last, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.short(x) + self.long(x)
        return self.head(x + self.last(x))


def seen_of(model: nn.Module):
    torch.manual_seed(0)
    return swept(subject_of(model, vectors(), "cross_entropy"), ASKED)


def test_depth_is_the_longest_path_and_branches_stand_side_by_side() -> None:
    seen = seen_of(Branched())
    depth = dict(zip(seen.layers, seen.depths, strict=True))
    assert depth == {
        "stem": 1, "short": 2, "long.0": 2, "long.1": 2, "long.2": 3, "last": 4, "head": 5
    }  # fmt: skip
    weighted = dict(zip(seen.layers, seen.weighted, strict=True))
    assert [name for name, has in weighted.items() if not has] == ["long.1"]
    assert set(seen.edges) == {
        ("stem", "short"), ("stem", "long.0"), ("long.0", "long.1"), ("long.1", "long.2"),
        ("short", "last"), ("long.2", "last"), ("short", "head"), ("long.2", "head"),
        ("last", "head"),
    }  # fmt: skip
    assert seen.homes[seen.parameters.index("long.2.weight")] == "long.2"


class Looped(nn.Module):
    """A cell called again and again counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(9):
            x = torch.tanh(self.cell(x))
        return self.head(x)


def test_a_layer_that_runs_again_counts_once() -> None:
    seen = seen_of(Looped())
    assert dict(zip(seen.layers, seen.depths, strict=True)) == {"cell": 1, "head": 2}
    assert seen.edges == (("cell", "head"),)


def test_a_graph_too_large_is_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(graph, "MOST_NODES", 5)
    seen = seen_of(Branched())
    assert seen.depths == ()
    assert seen.edges == ()
    assert len(seen.layers) == 7
