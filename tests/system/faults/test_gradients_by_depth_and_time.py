"""Gradients lost or grown at one layer, and through time, in models of four families."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken
from tests.zoo import Attentive, healthy


class Factor(nn.Module):
    """Scales by a constant, as a forgotten temperature or a unit conversion does."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


def before(model: nn.Module, name: str, factor: float) -> None:
    """Put a factor before a layer of the model."""
    home, _, short = name.rpartition(".")
    parent = model.get_submodule(home)
    setattr(parent, short, nn.Sequential(Factor(factor), getattr(parent, short)))


@pytest.mark.parametrize(
    ("factor", "check"), [(1e-6, "vanishing-gradients"), (1e6, "exploding-gradients")]
)
@pytest.mark.parametrize(
    ("family", "layer"),
    [("digits", "head"), ("diabetes", "2"), ("names", "head"), ("language", "head")],
)
def test_the_one_layer_that_scales_is_named(
    request, family: str, layer: str, factor: float, check: str
) -> None:
    live: Live = request.getfixturevalue(family)
    model = copy.deepcopy(live.model)
    before(model, layer, factor)
    found = replace(live, model=model, factory=None, optimizer=None).finding(check)
    assert found.verdict is Verdict.FAIL, found.summary
    assert any(place.name.startswith(layer) for place in found.where), found.where
    assert found.advice


@pytest.mark.parametrize("factor", [1e6, 1e-6, 1e-30])
def test_a_loss_in_other_units_changes_nothing(diabetes: Live, factor: float) -> None:
    def scaled(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return factor * functional.mse_loss(outputs, target)

    checks = ("vanishing-gradients", "exploding-gradients")
    plain = replace(diabetes, loss=lambda o, t: functional.mse_loss(o, t))
    first, second = (live.audited(*checks) for live in (plain, replace(diabetes, loss=scaled)))
    for one, other in zip(first.findings, second.findings, strict=True):
        assert one.verdict is other.verdict is Verdict.PASS
        relative = [m for m in one.metrics if m.unit == "times"]
        assert relative
        for mine, theirs in zip(one.metrics, other.metrics, strict=True):
            if mine.unit == "times" and mine.value is not None:
                assert theirs.value == pytest.approx(mine.value, rel=1e-3)


def test_a_layer_of_far_too_small_weights_is_named_in_attention(digits: Live) -> None:
    def starve(model: nn.Module) -> None:
        attend = model.encoder.layers[1].self_attn
        attend.out_proj.weight.mul_(1e-8)
        attend.out_proj.bias.zero_()

    live = broken(healthy("transformer"), starve)
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert any("layers.1.self_attn" in place.name for place in found.where)


def test_a_zero_initialised_branch_waits_for_its_first_step(digits: Live) -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = Attentive().requires_grad_(False)
            self.down = nn.Linear(64, 4, bias=False)
            self.up = nn.Linear(4, 10, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + self.up(self.down(x.flatten(1)))

    torch.manual_seed(0)
    live = replace(digits, model=Adapted(), factory=None, optimizer=None)
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.INFO, found.summary
    assert "down.weight" in found.summary


class Sequence(nn.Module):
    """Answers from the last of many states."""

    def __init__(self, kind: str, forget: float = 0.0) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(4, 16, batch_first=True)
        self.head = nn.Linear(16, 3)
        if forget:
            with torch.no_grad():
                self.rnn.bias_ih_l0[16:32] = forget

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Loop(nn.Module):
    """A cell written out, whose recurrent weights keep or change the length of the state."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.enter, self.step = nn.Linear(4, 16), nn.Linear(16, 16, bias=False)
        self.head = nn.Linear(16, 3)
        nn.init.orthogonal_(self.step.weight, gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(len(x), 16)
        for place in range(x.shape[1]):
            state = self.step(state) + self.enter(x[:, place])
        return self.head(state)


def sequence(build: Callable[[], nn.Module], steps: int) -> Live:
    generator = torch.Generator().manual_seed(0)
    batches = [
        (
            torch.randn(16, steps, 4, generator=generator),
            torch.randint(3, (16,), generator=generator),
        )
        for _ in range(4)
    ]
    torch.manual_seed(0)
    return Live(build(), build, batches, batches, "cross_entropy", None)


@pytest.mark.parametrize(
    ("build", "steps", "layer"),
    [
        (lambda: Sequence("RNN"), 200, "rnn"),
        (lambda: Sequence("LSTM"), 200, "rnn"),
        (lambda: Loop(0.5), 40, "step"),
    ],
    ids=["rnn", "lstm", "loop"],
)
def test_a_gradient_lost_in_time_is_found(build, steps: int, layer: str) -> None:
    found = sequence(build, steps).finding("vanishing-gradients")
    assert found.verdict is Verdict.WARN, found.summary
    assert layer in [place.name for place in found.where]
    assert f"{steps} steps" in found.summary


@pytest.mark.parametrize(
    ("build", "steps"),
    [
        (lambda: Sequence("LSTM", forget=6.0), 200),
        (lambda: Sequence("GRU"), 20),
        (lambda: Loop(1.0), 40),
    ],
    ids=["open-gates", "short", "orthogonal"],
)
def test_a_gradient_that_lasts_is_not(build, steps: int) -> None:
    record = sequence(build, steps).audited("vanishing-gradients", "exploding-gradients")
    assert [found.verdict for found in record.findings] == [Verdict.PASS, Verdict.PASS]


def test_a_gradient_grown_in_time_is_found() -> None:
    found = sequence(lambda: Loop(1.5), 50).finding("exploding-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "step" in [place.name for place in found.where]
