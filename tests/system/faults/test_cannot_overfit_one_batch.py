"""Models that can't learn a few examples, of several families; each cause is named."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, mapped, sample
from tests.zoo import healthy

CHECK = "cannot-overfit-one-batch"


class Ending(nn.Module):
    """A model with something done to its output."""

    def __init__(self, model: nn.Module, end: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.end = model, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.model(x))


def rebuilt(live: Live, change: Callable[[nn.Module], nn.Module | None]) -> Live:
    """Return the subject with a factory whose models are changed."""

    def build() -> nn.Module:
        assert live.factory is not None
        model = live.factory()
        return change(model) or model

    return replace(live, factory=build, model=build(), options={"profile": "quick"})


def dead(model: nn.Module) -> nn.Module:
    head = model.head
    assert isinstance(head, nn.Linear)
    nn.init.constant_(head.bias, -50.0)
    return Ending(model, torch.relu)


def zero(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.zeros_(parameter)


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_a_head_that_is_dead_leaves_nothing_a_gradient(name: str) -> None:
    found = rebuilt(sample(name), dead).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "No parameter gets a gradient" in found.summary
    assert all(place.kind == "parameter" for place in found.where)


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes_mlp"])
def test_weights_of_zero_are_found(name: str) -> None:
    found = rebuilt(sample(name), zero).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "get no gradient" in found.summary


@pytest.mark.parametrize("name", ["digits_cnn", "wine_mlp"])
def test_a_softmax_applied_twice_is_named(name: str) -> None:
    live = rebuilt(healthy(name), lambda model: Ending(model, lambda y: y.softmax(1)))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "softmax" in found.summary
    assert found.where[0].name == "loss"


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes_mlp"])
def test_inputs_of_zero_are_blamed_on_the_data(name: str) -> None:
    live = sample(name)
    blank = mapped(live.train, lambda x, y: (x * 0, y))
    found = replace(live, train=blank).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "data.train"


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)).detach())


def test_a_trunk_that_is_cut_off_is_named() -> None:
    live = replace(sample("digits_cnn"), factory=Detached, model=Detached())
    found = replace(live, options={"profile": "quick"}).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "body.0.weight"


def test_a_rate_far_too_high_is_named_with_one_that_works() -> None:
    live = sample("tiny_lm")
    wild = {"name": "AdamW", "lr": 0.3}
    found = replace(live, optimizer=wild, options={"profile": "quick"}).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "training.optimizer.lr"
    assert "smaller" in found.summary


def test_a_factory_that_knows_the_task_is_told() -> None:
    live = sample("digits_cnn")
    knowing = replace(live, factory=lambda: copy.deepcopy(live.model))
    found = knowing.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "model.factory"


def test_labels_at_random_can_be_learnt_by_heart() -> None:
    live = sample("digits_cnn")
    generator = torch.Generator().manual_seed(0)
    odd = mapped(live.train, lambda x, y: (x, y[torch.randperm(len(y), generator=generator)]))
    assert replace(live, train=odd).finding(CHECK).verdict is Verdict.PASS
