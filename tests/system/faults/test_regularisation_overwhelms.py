"""Weight decay far too high, and penalties forgotten in the loss."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import healthy

CHECK = "regularisation-overwhelms"
DECAY = "training.optimizer.weight_decay"


def trained_with(live: Live, steps: int, optimizer: dict[str, Any], penalty: Any = None) -> Live:
    """Return a fresh model trained with an optimizer, and what else there is in the loss."""
    torch.manual_seed(0)
    assert live.factory is not None
    model = live.factory()
    settings = {k: v for k, v in optimizer.items() if k != "name"}
    stepper = getattr(torch.optim, optimizer["name"])(model.parameters(), **settings)
    measure, left = getattr(functional, live.loss), steps
    while left > 0:
        for inputs, target in live.train:
            stepper.zero_grad()
            loss = measure(model(inputs), target)
            (loss if penalty is None else loss + penalty(model)).backward()
            stepper.step()
            left -= 1
            if not left:
                break
    return replace(live, model=model.eval(), optimizer=optimizer)


@pytest.mark.parametrize(
    ("family", "steps", "optimizer", "verdict", "worst"),
    [
        ("digits_cnn", 150, ("SGD", 0.02, 0.02), Verdict.WARN, "features.3.1.weight"),
        ("digits_cnn", 150, ("SGD", 0.02, 0.5), Verdict.FAIL, "features.3.1.weight"),
        ("diabetes_mlp", 200, ("AdamW", 5e-4, 10.0), Verdict.WARN, "0.bias"),
        ("diabetes_mlp", 200, ("AdamW", 5e-4, 100.0), Verdict.FAIL, "0.bias"),
        ("names_rnn", 150, ("AdamW", 2e-3, 10.0), Verdict.WARN, "embedding.weight"),
        ("transformer", 90, ("AdamW", 2e-3, 10.0), Verdict.FAIL, "encoder.layers.0.norm2.weight"),
    ],
)
def test_a_decay_far_too_high_is_found(family, steps, optimizer, verdict, worst) -> None:
    name, rate, decay = optimizer
    settings = {"name": name, "lr": rate, "weight_decay": decay}
    if name == "SGD":
        settings["momentum"] = 0.9
    found = trained_with(healthy(family), steps, settings).finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert (found.where[0].kind, found.where[0].name) == ("setting", DECAY)
    assert found.where[1].name == worst
    assert f"from {decay:g} to" in found.advice[0]


def size(model: nn.Module) -> torch.Tensor:
    return 0.05 * sum(p.square().sum() for p in model.parameters())


@pytest.fixture(scope="module")
def penalised(digits: Live) -> Live:
    return trained_with(digits, 150, {"name": "SGD", "lr": 0.02, "momentum": 0.9}, size)


@pytest.mark.parametrize("how", ["hidden", "term", "output"])
def test_a_penalty_in_the_loss_is_found(digits: Live, penalised: Live, how: str) -> None:
    live, model = penalised, penalised.model
    losses: dict[str, Any] = {
        "hidden": lambda o, y: functional.cross_entropy(o, y) + size(model),
        "term": {"fit": "cross_entropy", "size": lambda o, y: size(model)},
        "output": lambda o, y: functional.cross_entropy(o[0], y) + o[1],
    }
    live = replace(live, loss=losses[how])
    if how == "output":
        assert digits.factory is not None
        build: Callable[[], nn.Module] = digits.factory
        live = replace(live, model=Sized(model), factory=lambda: Sized(build()))
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    name = "loss.size" if how == "term" else "loss.<lambda>"
    assert (found.where[0].kind, found.where[0].name) == ("setting", name)
    assert "like a weight decay of 0.1" in found.summary


class Sized(nn.Module):
    """Puts out the size of its weights beside its answers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner(x), 0.05 * sum(p.square().sum() for p in self.parameters())


def test_a_decay_that_would_tear_the_checkpoint_apart_is_found(digits: Live) -> None:
    declared = {"name": "Adafactor", "lr": 0.01, "weight_decay": 5.0}
    assert replace(digits, optimizer=declared).places(CHECK, Verdict.FAIL)[0] == DECAY
    found = replace(digits, optimizer=declared, factory=None).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "without a fresh network" in found.summary


def test_what_can_not_be_proven_is_told(digits: Live) -> None:
    assert digits.optimizer is not None
    heavy = {**digits.optimizer, "weight_decay": 0.5}
    found = replace(digits, optimizer=heavy, train=None).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "no training data" in found.summary
    found = replace(digits, optimizer=None).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "no optimizer is declared or saved" in found.summary
    assert replace(digits, loss=None).finding(CHECK).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize("family", ["digits_cnn", "diabetes_mlp"])
def test_usual_decays_are_silent(family: str) -> None:
    found = healthy(family).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def test_ten_times_the_usual_does_no_proven_harm() -> None:
    usual = {"name": "AdamW", "lr": 3e-3, "weight_decay": 0.5}
    found = replace(healthy("wine_mlp"), optimizer=usual).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
