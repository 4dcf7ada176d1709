"""What stands between layers, on networks whose wiring is known."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.activation_trial import _is_linear, mended
from auditor.experiments.between_layers import between_layers
from auditor.intake.batches import Batch


class Two(nn.Module):
    """Two layers of equal width, and whatever comes between."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.two(self.between(self.one(x)))
        return out


def seen(model: nn.Module, *shape: int) -> list[tuple[str, str, str, tuple[str, ...]]]:
    batch = Batch((torch.randn(4, *(shape or (6,))),), {}, None)
    found = between_layers(model, batch).doubts.values()
    return [(doubt.kind, doubt.before, doubt.layer, doubt.between) for doubt in found]


@pytest.mark.parametrize(
    ("between", "kind", "names"),
    [
        (lambda x: x, "missing", ()),
        (nn.BatchNorm1d(6), "missing", ()),
        (nn.Sequential(nn.Identity(), nn.Dropout(0.5)), "missing", ()),
        (lambda x: (2 * x).reshape(4, 6), "missing", ()),
        (nn.Sequential(nn.ReLU(), nn.Sigmoid()), "stacked", ("between.0", "between.1")),
        (nn.Sequential(nn.Tanh(), nn.ReLU()), "stacked", ("between.0", "between.1")),
        (lambda x: torch.sigmoid(functional.relu(x)), "stacked", ("(relu)", "(sigmoid)")),
        (nn.Softmax(dim=1), "softmax", ("between",)),
        (lambda x: functional.softmax(x, dim=1), "softmax", ("(softmax)",)),
    ],
)
def test_what_is_odd_is_named(between, kind: str, names: tuple[str, ...]) -> None:
    assert seen(Two(between)) == [(kind, "one", "two", names)]


@pytest.mark.parametrize(
    "between",
    [
        nn.ReLU(inplace=True),
        nn.GELU(),
        nn.PReLU(),
        nn.Sequential(nn.ReLU(), nn.ReLU6()),
        nn.Sequential(nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout()),
        nn.LayerNorm(6),
        nn.Softsign(),
        lambda x: x * torch.sigmoid(x),
        lambda x: x + x.relu(),
        lambda x: torch.where(x > 0, x, 0.1 * x),
        lambda x: x.detach(),
    ],
)
def test_one_activation_or_what_is_not_known_is_no_doubt(between) -> None:
    assert seen(Two(between)) == []


def test_factors_of_a_matrix_and_channels_by_themselves_are_meant() -> None:
    assert seen(nn.Sequential(nn.Linear(6, 2), nn.Linear(2, 6))) == []
    assert seen(nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))) != []
    each = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1))
    assert seen(each, 4, 8, 8) == []
    plain = nn.Sequential(nn.Conv2d(4, 4, 3), nn.AvgPool2d(2), nn.Conv2d(4, 8, 1))
    assert seen(plain, 4, 8, 8) == [("missing", "0", "2", ())]
    pooled = nn.Sequential(nn.Conv2d(4, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 8, 1))
    assert seen(pooled, 4, 8, 8) == []


def test_a_transformer_and_a_recurrent_layer_are_left_alone() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert seen(nn.Sequential(nn.Linear(8, 8), layer, nn.Linear(8, 8)), 5, 8) == []

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter, self.rnn, self.head = nn.Linear(6, 6), nn.GRU(6, 6), nn.Linear(6, 6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.rnn(self.enter(x))[0])
            return out

    assert seen(Recurrent(), 3, 6) == []


def test_frozen_layers_are_followed_too() -> None:
    model = Two(lambda x: x)
    model.requires_grad_(False)
    assert len(seen(model)) == 1


def test_a_model_is_linear_whatever_its_constant_part() -> None:
    batch = Batch((torch.randn(4, 6),), {}, None)
    assert _is_linear(Two(lambda x: x), batch)
    assert _is_linear(Two(nn.BatchNorm1d(6)), batch)
    assert not _is_linear(Two(nn.LeakyReLU(0.99)), batch)
    assert not _is_linear(Two(lambda x: 0 * x), batch)


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x,
        nn.Sequential(nn.ReLU(), nn.Sigmoid()),
        nn.Sequential(nn.Sigmoid(), nn.Identity(), nn.Tanh()),
        lambda x: torch.sigmoid(functional.relu(x)),
        nn.Softmax(dim=1),
        lambda x: functional.softmax(x, dim=1),
    ],
)
def test_a_mended_model_has_one_rectifier_and_is_left_as_it_was(between) -> None:
    model, x = Two(between), torch.randn(4, 6)
    was = model(x)
    doubts = tuple(between_layers(model, Batch((x,), {}, None)).doubts.values())
    with mended(model, doubts):
        torch.testing.assert_close(model(x), model.two(torch.relu(model.one(x))))
    torch.testing.assert_close(model(x), was)
