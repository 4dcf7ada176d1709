"""Hand-written backwards, detached parts, writes and edits behind autograd's back."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import PlainCNN, Recurrent, mlp

CHECK = "wrong-gradients"
Change = Callable[[torch.Tensor], torch.Tensor]


class HalfGelu(torch.autograd.Function):
    """A smooth activation whose backward forgets a factor of two."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.tanh(2 * x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(2 * x) ** 2)


class Upside(torch.autograd.Function):
    """A sine whose derivative has the wrong sign."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return -gradient * torch.cos(x)


class Rounded(torch.autograd.Function):
    """Straight-through rounding."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.round(8 * x) / 8

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class Reversed(torch.autograd.Function):
    """Gradient reversal."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return -0.1 * gradient


def written(x: torch.Tensor) -> torch.Tensor:
    y = torch.sigmoid(x)
    y.data.mul_(2)
    return y


def edited(x: torch.Tensor) -> torch.Tensor:
    y = torch.sigmoid(x)
    y += x
    return y


def unwatched(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return x * 1.5


class Layer(nn.Module):
    """A layer that changes what passes, behind the one that it holds."""

    def __init__(self, change: Change, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.change = change
        self.inner = nn.Identity() if inner is None else inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.change(self.inner(x))


def behind(live: Live, path: str, change: Change) -> Live:
    """Return the subject with a change behind one of its layers."""
    model = copy.deepcopy(live.model)
    owner, _, name = path.rpartition(".")
    parent = model.get_submodule(owner)
    setattr(parent, name, Layer(change, getattr(parent, name)))
    return replace(live, model=model, factory=None, options={"profile": "quick"})


PLACES = {
    "digits": "features.2",
    "diabetes": "0",
    "names": "embedding",
    "language": "blocks.0.attention",
}


@pytest.fixture(params=PLACES)
def family(request: pytest.FixtureRequest) -> tuple[Live, str]:
    return request.getfixturevalue(request.param), PLACES[request.param]


def found_in(family: tuple[Live, str], change: Change, verdict: Verdict) -> Finding:
    live, path = family
    found = behind(live, path, change).finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert found.where[0].name == path, found.summary
    assert found.advice
    return found


def test_a_wrong_backward(family: tuple[Live, str]) -> None:
    found = found_in(family, HalfGelu.apply, Verdict.FAIL)
    assert "gives 0.5 times its gradient: custom function HalfGelu" in found.summary
    assert any("test_wrong_gradients.py" in line for line in found.advice)


def test_a_detached_layer(family: tuple[Live, str]) -> None:
    found = found_in(family, lambda x: x.detach(), Verdict.FAIL)
    assert "stops the gradient" in found.summary
    assert "detach()" in found.where[0].note


def test_a_write_by_data(family: tuple[Live, str]) -> None:
    found = found_in(family, written, Verdict.FAIL)
    assert "mul_ through .data" in found.summary


def test_an_edit_in_place(family: tuple[Live, str]) -> None:
    found = found_in(family, edited, Verdict.FAIL)
    assert "modified by an inplace operation" in found.summary
    assert "`y += x`" in found.advice[0]


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        (Upside.apply, Verdict.FAIL, "gives its gradient the wrong sign"),
        (unwatched, Verdict.FAIL, "no_grad() around"),
        (lambda x: 1.5 * x.data, Verdict.FAIL, ".data at"),
        (lambda x: x * x.mean().item(), Verdict.FAIL, "item() at"),
        (lambda x: x + torch.sin(x).detach(), Verdict.WARN, "detach() at"),
        (Rounded.apply, Verdict.INFO, "is a step function"),
        (lambda x: x + (torch.round(x) - x).detach(), Verdict.INFO, "is a step function"),
        (lambda x: x * (x > 0), Verdict.PASS, "agree with differences"),
        (lambda x: x.half().float(), Verdict.NOT_APPLICABLE, "layer '2' computes in float16"),
    ],
    ids=[
        *("sign", "no_grad", "data", "item", "partly detached", "straight-through"),
        *("straight-through by detach", "mask", "float16"),
    ],
)
def test_kinds_in_an_mlp(diabetes: Live, change: Change, verdict: Verdict, said: str) -> None:
    found = behind(diabetes, "2", change).finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert said in found.summary
    if verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE):
        assert found.where[0].name == "2"


def test_gradient_reversal_may_be_meant(diabetes: Live) -> None:
    layers = list(copy.deepcopy(diabetes.model))
    model = nn.Sequential(*layers[:2], Layer(Reversed.apply), *layers[2:])
    found = replace(diabetes, model=model, factory=None).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "turns its gradient round, times 0.1" in found.summary
    assert any("waive" in line for line in found.advice)


class OwnForward(nn.Module):
    """Detaches in the forward of the whole model."""

    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 16), nn.Tanh()).requires_grad_(not frozen)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            states = self.body(x.flatten(1))
        return self.head(states)


def test_a_frozen_backbone_under_no_grad_is_no_fault(digits: Live) -> None:
    frozen = replace(digits, model=OwnForward(frozen=True), factory=None).finding(CHECK)
    assert frozen.verdict is Verdict.INFO, frozen.summary
    assert "training is unharmed" in frozen.summary
    trained = replace(digits, model=OwnForward(frozen=False), factory=None).finding(CHECK)
    assert trained.verdict is Verdict.FAIL, trained.summary
    assert trained.where[0].name == "OwnForward"
    assert {place.name for place in trained.where} >= {"body.0.weight", "body.0.bias"}
    assert any('["body.0.weight"' in line for line in trained.advice)


class Quantised(nn.Module):
    """Rounds straight-through in a forward that has layers before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(64, 16)
        self.after = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = self.before(x.flatten(1))
        return self.after(code + (torch.round(code) - code).detach())


def test_a_straight_through_estimator_between_layers_is_told_not_blamed(digits: Live) -> None:
    torch.manual_seed(0)
    found = replace(digits, model=Quantised(), factory=None).finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "is a step function" in found.summary


def halved(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return HalfGelu.apply(functional.cross_entropy(outputs, target))


def test_a_loss_is_named(digits: Live) -> None:
    live = replace(digits, model=mlp_of_images(), factory=None, loss=halved)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "loss"
    assert "HalfGelu" in found.summary


def mlp_of_images() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), mlp(64, 16, 10))


@pytest.mark.parametrize("model", [PlainCNN, Recurrent, mlp_of_images])
def test_fresh_models_are_right(digits: Live, model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    found = replace(digits, model=model(), factory=None).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
