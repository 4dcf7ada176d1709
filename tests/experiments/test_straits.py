"""Narrow places of small models whose narrow place anybody can see."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.straits import strait
from auditor.intake.batches import Batch
from auditor.observations.capacity import Strait

BATCH = Batch((torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)),), {}, None)


class OutOfOrder(nn.Module):
    """The head is registered first, and the narrow layer last."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body, self.squeeze = nn.Linear(2, 10), nn.Linear(64, 32), nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.squeeze(self.body(x.flatten(1))))


class Scored(nn.Module):
    """Rows are weighted by one number each, beside a wide path."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.score, self.head = nn.Linear(8, 32), nn.Linear(32, 1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.enter(x[:, 0])
        return self.head((torch.softmax(self.score(rows), 1) * rows).sum(1))


class Pooled(nn.Module):
    """What is shown is averaged before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x.mean((2, 3)))


class LastState(nn.Module):
    """The head sees a recurrent layer's last state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 2, batch_first=True), nn.Linear(2, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x[:, 0])[0][:, -1])


class Around(nn.Module):
    """A narrow layer with a shortcut around it."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.down, self.up = nn.Linear(64, 32), nn.Linear(32, 1), nn.Linear(1, 32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x.flatten(1))
        return self.head(x + self.up(self.down(x)))


class Attentive(nn.Module):
    """A transformer's layer, whose parts torch may run as one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(8, width)
        self.layer = nn.TransformerEncoderLayer(width, 1, 8, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.enter(x[:, 0])).mean(1))


class Functional(nn.Module):
    """No layer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x.flatten(1), self.weight)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 10),
    )


def constant() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Linear(1, 10))
    nn.init.zeros_(model[1].weight)
    return model


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (OutOfOrder, Strait("squeeze", "out", 2, 9, "squeeze")),
        (Pooled, Strait("body.0", "in", 1, 9, "")),
        (LastState, Strait("head", "in", 2, 9, "gru")),
        (convolutional, Strait("2", "out", 4, 9, "1")),
        (lambda: Attentive(4), Strait("head", "in", 4, 9, "layer.norm2")),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.Linear(9, 10)), None),
        (lambda: Attentive(16), None),
        (Scored, None),
        (Around, None),
        (Functional, None),
        (constant, None),  # answers alike to all in any case
    ],
)
def test_the_narrowest_place_that_everything_passes(build, expected) -> None:
    torch.manual_seed(0)
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert strait([model], BATCH, 10) == expected
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_model_of_dead_units_is_passed_over() -> None:
    alive = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Linear(1, 10))
    assert strait([constant(), alive], BATCH, 10) == Strait("1", "out", 1, 9, "1")


def test_numbers_need_all_of_themselves() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.Linear(9, 10))
    found = strait([model], BATCH, 0)
    assert found == Strait("1", "out", 9, 10, "1")


def test_inputs_of_few_numbers_are_no_narrow_place() -> None:
    model = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 10))
    assert strait([model], Batch((torch.randn(12, 3),), {}, None), 10) is None


def test_each_position_of_a_sequence_counts() -> None:
    words = Batch((torch.arange(60).reshape(12, 5) % 7,), {}, None)
    model = nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 7))
    assert strait([model], words, 7) == Strait("0", "out", 15, 30, "0")


def test_a_model_that_breaks_with_other_numbers_has_no_narrow_place() -> None:
    class Strict(OutOfOrder):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = self.squeeze(self.body(x.flatten(1)))
            if torch.equal(inner[0], inner[1]):
                raise AssertionError("examples alike")
            return self.head(inner)

    assert strait([Strict()], BATCH, 10) == Strait("head", "in", 2, 9, "")
