"""Orders of gates, found again in trained models whose weights were put in another one."""

import importlib
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.gate_orders import gate_orders, gated
from auditor.observations.gate_orders import GateOrders, GateOrdersOver, mends
from tests.awkward import TABLE, Awkward, subject_of

module: Any = importlib.import_module("auditor.experiments.gate_orders")

T = 4


class Reader(nn.Module):
    """Tells the signs of the first and the last of some numbers, (N, T, 1) to (N, 4)."""

    def __init__(self, kind: type[nn.RNNBase], layers: int = 1) -> None:
        super().__init__()
        self.memory = kind(1, 24, layers, batch_first=True, bidirectional=layers > 1)
        self.head = nn.Linear(24 * (1 + (layers > 1)), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.memory(x)[0][:, -1])
        return logits


def batches(seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    x = torch.randn(384, T, 1, generator=torch.Generator().manual_seed(seed))
    return [(r, 2 * (r[:, 0, 0] > 0).long() + (r[:, -1, 0] > 0).long()) for r in x.split(64)]


def trained(kind: type[nn.RNNBase], layers: int = 1) -> nn.Module:
    torch.manual_seed(0)
    model = Reader(kind, layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(20):
        for x, y in batches(0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


def reordered(model: nn.Module, order: tuple[int, ...]) -> None:
    with torch.no_grad():
        for parameter in model.get_submodule("memory").parameters():
            blocks = parameter.chunk(len(order))
            parameter.copy_(torch.cat([blocks[gate] for gate in order]))


def found(model: nn.Module) -> GateOrders:
    answer = gate_orders(GateOrdersOver(), subject_of(model, batches(1), "cross_entropy"))
    assert isinstance(answer, GateOrders)
    return answer


@pytest.mark.parametrize(
    ("kind", "layers", "order"),
    [(nn.GRU, 1, (1, 0, 2)), (nn.GRU, 2, (2, 0, 1)), (nn.LSTM, 1, (0, 2, 3, 1))],
)
def test_the_order_that_undoes_another_is_found(
    kind: type[nn.RNNBase], layers: int, order: tuple[int, ...]
) -> None:
    model = trained(kind, layers)
    sound = found(model)
    assert sound.tried == 0
    reordered(model, order)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = found(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert seen.layers == ("memory",)
    assert tuple(order[place] for place in seen.order) == tuple(range(len(order)))
    assert seen.tried == len(list(itertools.permutations(order))) - 1
    assert mends(seen, np.random.default_rng(0))
    # The very losses of the model as it was, on the examples that were measured.
    assert seen.after.mean() == pytest.approx(sound.before.mean(), rel=1e-5)


def test_what_two_layers_share_is_put_in_order_once() -> None:
    model = nn.ModuleList([nn.GRUCell(2, 3), nn.GRUCell(2, 3)])
    model[1].weight_hh = model[0].weight_hh
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with torch.no_grad():
        module._put(model, (("0", "1"), (1, 2, 0)))
    for parameter, old in zip(model.parameters(), before, strict=True):
        reset, update, new = old.chunk(3)
        assert torch.equal(parameter, torch.cat([update, new, reset]))


def test_a_model_that_knows_nothing_knows_as_little_in_any_order() -> None:
    torch.manual_seed(1)
    seen = found(Reader(nn.LSTM))
    assert seen.tried == 23
    assert not mends(seen, np.random.default_rng(0))


def test_layers_with_weights_of_their_own_are_known() -> None:
    model = nn.ModuleList([nn.LSTM(2, 3), nn.GRUCell(2, 3), nn.RNN(2, 3), nn.Linear(2, 3)])
    assert gated(model) == {"0": 4, "1": 3}
    assert gated(nn.utils.parametrizations.weight_norm(nn.GRUCell(2, 3), "weight_hh"))
    answer = gate_orders(GateOrdersOver(), replace(TABLE[0].subject(), model=nn.Linear(2, 2)))
    assert isinstance(answer, Unavailable)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_odd_models_are_tried_or_left_with_a_reason(case: Awkward) -> None:
    answer = gate_orders(GateOrdersOver(), case.subject())
    assert isinstance(answer, GateOrders | Unavailable)
