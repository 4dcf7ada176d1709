from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.last_activation import Bare, last_module


class Ending(nn.Module):
    """A layer and whatever comes after it."""

    def __init__(self, end: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)
        self.end = end

    def forward(self, x: torch.Tensor) -> object:
        return self.end(self.fc(x))


@pytest.mark.parametrize(
    "end",
    [
        nn.Softmax(dim=1),
        nn.LogSoftmax(dim=0),
        nn.ReLU(inplace=True),
        nn.Hardtanh(),
        lambda x: x.sigmoid(),
        lambda x: torch.tanh(x),
        lambda x: functional.elu(x, inplace=True),
        lambda x: x.clamp_(0, 1),
        lambda x: torch.exp(x).reshape(-1, 1, 3).squeeze(1),
        lambda x: {"features": x.relu(), "logits": x.softmax(1)},
        lambda x: (functional.softplus(x), x.sigmoid()),
    ],
)
def test_the_last_activation_is_left_out(end: Callable[[torch.Tensor], object]) -> None:
    model, inputs = Ending(end), torch.randn(5, 8)
    wanted, bare = model.fc(inputs), Bare(model)
    outputs = bare(inputs)
    main, logits = (
        put["logits"] if isinstance(put, dict) else put[0] if isinstance(put, tuple) else put
        for put in (outputs, bare.logits)
    )
    torch.testing.assert_close(logits, wanted)
    assert not torch.allclose(main, wanted)
    (gradient,) = torch.autograd.grad(logits.sum(), model.fc.bias)
    torch.testing.assert_close(gradient, torch.full((3,), 5.0))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: x,
        lambda x: 2 * x.sigmoid(),
        lambda x: torch.cat([x[:, :1], x[:, 1:].relu()], 1),
        lambda x: x.relu().detach().clone(),
    ],
)
def test_where_no_activation_ends_the_model_nothing_is_left_out(
    end: Callable[[torch.Tensor], object],
) -> None:
    bare = Bare(Ending(end))
    bare(torch.randn(5, 8))
    assert bare.logits is None


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (nn.Sequential(nn.Linear(8, 3), nn.Sigmoid()), "1"),
        (nn.Sequential(nn.Linear(8, 3), nn.Sequential(nn.Linear(3, 3), nn.ReLU(True))), "1.1"),
        (nn.Sequential(nn.Linear(8, 3), nn.ReLU(inplace=True), nn.Identity()), "2"),
        (Ending(nn.Softmax(dim=1)), "end"),
        (Ending(torch.sigmoid), ""),
        (Ending(lambda x: {"logits": x.sigmoid()}), ""),
    ],
)
def test_the_module_that_makes_the_outputs_is_named(model: nn.Module, name: str) -> None:
    assert last_module(model, torch.randn(5, 8)) == name
    assert not any(module._forward_hooks for module in model.modules())
