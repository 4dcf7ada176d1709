"""Models that can't learn a few examples, of several families; each cause is named."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, sample, trained
from tests.zoo import healthy, mlp

CHECK = "cannot-overfit-one-batch"


class Ending(nn.Module):
    """A model with something done to its output."""

    def __init__(self, model: nn.Module, end: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.end = model, end

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.model(x))


class Sequences(nn.Module):
    """A recurrent body and a head, with something done to what lies between them."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = nn.GRU(4, 12, batch_first=True)
        self.head = nn.Linear(12, 3)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.body(x)[0][:, -1]))


class Images(nn.Module):
    """A small convolution before a head that has most of the weights."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Linear(32, 10)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.body(x)).flatten(1))


class Sums(nn.Module):
    """A plain network with something done to its hidden units."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 16))
        self.head = nn.Linear(16, 3)
        self.between = between

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.between(self.body(x.flatten(1))))


def sums(classes: int) -> tuple[list, list]:
    """Return sequences, and which of a few classes their sum falls in."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(300, 8, 4, generator=generator)
    total = x.sum((1, 2))
    y = (total > 2).long() + (total > -2).long() if classes == 3 else (total > 0).long()
    rows = torch.arange(300).split(50)
    return [(x[r], y[r]) for r in rows[:4]], [(x[r], y[r]) for r in rows[4:]]


def of_sums(build: Callable[[], nn.Module], classes: int = 3) -> Live:
    train, val = sums(classes)
    adam, quick = {"name": "Adam", "lr": 5e-3}, {"profile": "quick"}
    return Live(build(), build, train, val, "cross_entropy", adam, quick)


def of_digits(build: Callable[[], nn.Module]) -> Live:
    live = sample("digits_cnn")
    adam = {"name": "Adam", "lr": 1e-2}
    return replace(live, factory=build, model=build(), optimizer=adam, options={"profile": "quick"})


FAMILIES: dict[str, Callable[[], Live]] = {
    "cnn": lambda: of_digits(partial(Images, nn.Identity())),
    "gru": lambda: of_sums(partial(Sequences, nn.Identity())),
    "mlp": lambda: sample("diabetes_mlp"),
}
"""A small subject of each family, yet to be trained."""


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


@pytest.mark.parametrize("family", ["cnn", "gru"])
def test_a_head_that_is_dead_leaves_nothing_a_gradient(family: str) -> None:
    found = rebuilt(FAMILIES[family](), dead).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "No parameter gets a gradient" in found.summary
    assert all(place.kind == "parameter" for place in found.where)


@pytest.mark.parametrize("family", ["cnn", "mlp"])
def test_weights_of_zero_are_found(family: str) -> None:
    found = rebuilt(FAMILIES[family](), zero).finding(CHECK)
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


def above_zero(h: torch.Tensor) -> torch.Tensor:
    return (h > 0).float()


@pytest.mark.parametrize(
    ("live", "cut"),
    [
        (
            lambda: of_sums(partial(Sequences, torch.Tensor.detach)),
            ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
        ),
        (lambda: of_digits(partial(Images, torch.Tensor.detach)), ["0.weight", "0.bias"]),
        (lambda: of_sums(partial(Sums, above_zero)), ["0.weight", "0.bias"]),
    ],
    ids=["gru", "cnn", "threshold"],
)
def test_a_body_without_a_gradient_is_named_whatever_is_learnt(live, cut) -> None:
    found = live().finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == [f"body.{name}" for name in cut]
    assert "though the loss hangs on them" in found.summary
    assert "body" in found.advice[0]


class Spare(nn.Module):
    """A healthy model: a head that no loss uses, a last layer of zeros and a gate of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(32, 24), nn.ReLU())
        self.more = nn.Sequential(nn.Linear(24, 24), nn.ReLU())
        self.gate = nn.Parameter(torch.zeros(1))
        self.spare, self.head = nn.Linear(24, 5), nn.Linear(24, 3)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.body(x)
        h = h + self.gate * self.more(h)
        self.spare(h)
        return self.head(h)


def test_what_is_spare_or_begins_with_zeros_is_not_cut_off() -> None:
    found = of_sums(Spare).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "gradient" not in found.summary


@pytest.fixture(scope="module")
def binary() -> Live:
    """A model that tells two classes apart, well trained."""
    train, val = sums(2)
    build = partial(nn.Sequential, nn.Flatten())
    live = trained(lambda: build(mlp(32, 16, 2)), train, val, "cross_entropy", epochs=25)
    return replace(live, options={"profile": "quick"})


def tremble(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.add_(0.01 * torch.randn_like(parameter))


def test_a_factory_that_knows_one_of_two_classes_from_the_other_is_told(binary: Live) -> None:
    assert binary.finding(CHECK).verdict is Verdict.PASS
    found = replace(binary, factory=lambda: copy.deepcopy(binary.model)).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "hands out the weights of the checkpoint" in found.summary
    assert found.where[0].name == "model.factory"
    found = replace(binary, factory=lambda: broken(binary, tremble).model).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "hands out weights that know the task" in found.summary


def test_one_set_of_weights_may_hit_on_two_classes_by_luck(binary: Live) -> None:
    other = broken(binary, tremble).model
    found = replace(binary, factory=lambda: copy.deepcopy(other)).finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "the same weights whatever the seed" in found.summary
    assert not found.where


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
