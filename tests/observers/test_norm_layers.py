"""The settings of norms, and the order in which dropout and norms run."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.spec import AuditSettings, AuditSpec
from auditor.intake.assembly import Parts, assemble
from auditor.intake.running_statistics import keepers
from auditor.observations.norm_layers import NormLayersOf, NormSequence, NormSequenceOver
from auditor.observers.norm_layers import norm_layers
from tests.awkward import images, subject_of, vectors
from tests.observers.naive import swept


def sequence(model: nn.Module, batches: Any = None) -> NormSequence:
    batches = vectors() if batches is None else batches
    found = swept(subject_of(model, batches, "cross_entropy"), NormSequenceOver(split="train"))
    assert isinstance(found, NormSequence), found
    return found


def pairs(model: nn.Module, batches: Any = None) -> list[tuple[str, str, float]]:
    return [(p.dropout, p.norm, p.share) for p in sequence(model, batches).pairs]


class Ordered(nn.Module):
    """Registers its layers in another order than it runs them in."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.norm = nn.Linear(8, 3), nn.BatchNorm1d(8)
        self.late, self.early = nn.Dropout(0.4), nn.Dropout(0.3)
        self.first = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.late(self.norm(torch.relu(self.first(self.early(x))))))


def test_order_is_that_of_running_not_of_names() -> None:
    found = sequence(Ordered())
    assert [(p.dropout, p.norm, p.share) for p in found.pairs] == [("early", "norm", 0.3)]
    assert set(found.dropouts) == {"early", "late"}
    assert [(n.layer, n.calls, n.values, n.biased) for n in found.norms] == [("norm", 1, 6, "")]


class Functional(nn.Module):
    """Drops by functions in several spellings."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm, self.other = nn.BatchNorm1d(8), nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.dropout(self.a(x), 0.2, self.training)
        x = functional.dropout(x, p=0.6, training=False)
        x = self.norm(functional.dropout(x, p=0.1, training=self.training))
        x = self.other(self.b(functional.dropout(x, training=self.training, inplace=True)))
        return self.c(x)


def test_dropout_called_as_a_function_is_seen() -> None:
    assert pairs(Functional()) == [
        ("dropout()", "norm", 0.2),
        ("dropout(), call 2", "norm", 0.1),
        ("dropout(), call 3", "other", 0.5),
    ]


class Mask(nn.Module):
    """A dropout of the user's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x * torch.empty_like(x).bernoulli_(0.5) / 0.5


def test_a_mask_drawn_by_the_model_is_seen() -> None:
    ((name, norm, share),) = pairs(nn.Sequential(Mask(), nn.BatchNorm1d(8), nn.Linear(8, 3)))
    assert (name, norm) == ("0.bernoulli()", "1")
    assert math.isnan(share)


class Branches(nn.Module):
    """Dropout on one side of a sum, through a shortcut, and through another kind of norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop = nn.Conv2d(3, 3, 3, padding=1), nn.Dropout2d(0.5)
        self.norm, self.after = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.group, self.behind = nn.GroupNorm(1, 3), nn.BatchNorm2d(3)
        self.inner = nn.Dropout(0.25)
        self.head = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop(self.conv(x))
        x = self.after(torch.cat([self.norm(x), x], 1)[:, 3:])
        x = self.behind(self.group(self.inner(x)))
        return self.head(x.mean((2, 3)))


def test_dropout_is_followed_through_sums_and_cut_off_by_norms() -> None:
    assert pairs(Branches(), images()) == [("drop", "norm", 0.5), ("drop", "after", 0.5)]


def test_dropout_inside_recurrent_layers_is_seen() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(8, 8, num_layers=2, dropout=0.3, batch_first=True)
            self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(self.rnn(x[:, None])[0][:, -1]))

    assert pairs(Net()) == [("rnn", "norm", 0.3)]


def test_dropout_of_no_share_is_none() -> None:
    found = sequence(nn.Sequential(nn.Dropout(0.0), nn.BatchNorm1d(8), nn.Linear(8, 3)))
    assert found.dropouts == found.pairs == ()


def test_biases_calls_and_values() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bare = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1, bias=False)
            self.norm, self.other, self.head = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.other(self.bare(self.norm(self.conv(x))))
            return self.head(self.other(x).mean((2, 3)))

    found = sequence(Net(), images()).norms
    assert [(n.layer, n.calls, n.biased) for n in found] == [("norm", 1, "conv"), ("other", 2, "")]
    assert [n.values for n in found] == [6 * 36, 6 * 36]


class Frozen(nn.Module):
    """Batch norm that is frozen for good, as torchvision has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.running_mean) / self.running_var.sqrt()


class Own(nn.BatchNorm1d):
    """A subclass that stays in training mode."""

    def train(self, mode: bool = True) -> "Own":
        return super().train(True)


class Still(nn.BatchNorm1d):
    """A subclass that stays in evaluation mode."""

    def train(self, mode: bool = True) -> "Still":
        return super().train(False)


def all_kinds() -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm1d(8, momentum=None, affine=False),
        nn.SyncBatchNorm(8, eps=1e-3),
        nn.InstanceNorm1d(8, track_running_stats=True),
        nn.InstanceNorm1d(8),
        nn.BatchNorm1d(8, track_running_stats=False),
        Frozen(8),
        Own(8),
        Still(8),
    )


def test_kinds_and_settings() -> None:
    model = all_kinds()
    with torch.no_grad():
        model[1].weight[:3], model[1].weight[3:5] = 0.0, -1.0
        model[1].running_var[:2], model[1].running_var[2] = 1e-9, -1.0
        model[1].num_batches_tracked.fill_(7)
    parts = Parts(name="kinds", model=model)
    found = norm_layers(
        NormLayersOf(), assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    )
    rows = {layer.layer: layer for layer in found.layers}
    assert [name for name, _ in keepers(model)] == ["0", "1", "2", "5", "6", "7"]
    assert set(rows) == {str(n) for n in range(8)}
    assert rows["0"].momentum is None
    assert not rows["0"].scales
    assert rows["0"].untouched
    second = rows["1"]
    assert (second.kind, second.eps, second.updates) == ("SyncBatchNorm", 1e-3, 7.0)
    assert (second.zeros, second.negatives) == (3, 2)
    assert (second.constant, second.impossible, second.untouched) == (2, 1, False)
    assert [name for name, row in rows.items() if not row.running] == ["3", "4"]
    assert [name for name, row in rows.items() if row.awake] == ["6"]
    assert [name for name, row in rows.items() if row.frozen] == ["7"]
    assert rows["5"].untouched
    assert math.isnan(rows["5"].updates)


def test_a_checkpoint_alone_tells_most() -> None:
    weights = {f"net.{key}": value for key, value in nn.BatchNorm1d(4).state_dict().items()}
    bare = SimpleNamespace(model=None, checkpoint=SimpleNamespace(weights=weights))
    found = norm_layers(NormLayersOf(), bare)  # type: ignore[arg-type]
    (layer,) = found.layers
    assert not found.modes
    assert (layer.layer, layer.channels, layer.updates, layer.untouched) == ("net", 4, 0.0, True)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 8])
def test_a_second_batch_changes_nothing(size: int) -> None:
    torch.manual_seed(size)
    batches = [(torch.randn(size, 8), torch.randint(3, (size,))) for _ in range(2)]
    one = sequence(Ordered(), batches)
    assert one.merge(sequence(Functional())) is one
    assert one.examples == size
