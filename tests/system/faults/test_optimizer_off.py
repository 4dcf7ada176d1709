"""Optimizers that hold training back, and states that no training can go on from."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.figure import Lines
from auditor.core.verdict import Verdict
from tests.subjects import Live, sample
from tests.zoo import Attentive, digits

CHECK = "optimizer-off"

WARN, FAIL = Verdict.WARN, Verdict.FAIL


def encoder() -> Live:
    """Return a transformer that nobody trained yet; races begin with fresh weights anyway."""
    train, val = digits(lambda x, y: (x, y))
    torch.manual_seed(0)
    return Live(Attentive(), Attentive, train, val, "cross_entropy", {"name": "Adam", "lr": 1e-3})


def subject(family: str) -> Live:
    return encoder() if family == "transformer" else sample(family)


@pytest.mark.parametrize(
    ("family", "optimizer", "verdicts", "setting"),
    [
        ("digits_cnn", {"name": "Adam", "lr": 3e-3, "eps": 1.0}, {FAIL}, "eps"),
        ("transformer", {"name": "Adam", "lr": 1e-3, "eps": 0.1}, {WARN}, "eps"),
        ("names_rnn", {"name": "Adam", "lr": 3e-3, "weight_decay": 1.0}, {WARN}, "weight_decay"),
        ("transformer", {"name": "SGD", "lr": 1e-4}, {WARN}, "lr"),
        ("diabetes_mlp", {"name": "Adadelta", "lr": 1e-3}, {WARN}, "lr"),
        (
            "diabetes_mlp",
            {"name": "Adagrad", "lr": 0.03, "initial_accumulator_value": 100.0},
            {WARN, FAIL},
            "initial_accumulator_value",
        ),
        (
            "diabetes_mlp",
            {"name": "SGD", "lr": 0.02, "momentum": 0.9, "maximize": True},
            {FAIL},
            "maximize",
        ),
        ("diabetes_mlp", {"name": "SGD", "lr": 0.01, "momentum": 0.999}, {WARN}, "momentum"),
        ("diabetes_mlp", {"name": "Adam", "lr": 3e-3, "betas": [0.999, 0.9]}, {WARN}, "betas"),
        ("diabetes_mlp", {"name": "SGD", "lr": 0.1, "weight_decay": 9.0}, {WARN}, "weight_decay"),
    ],
)  # fmt: skip
def test_a_setting_that_holds_training_back(
    family: str, optimizer: Any, verdicts: set[Verdict], setting: str
) -> None:
    found = replace(subject(family), optimizer=optimizer).finding(CHECK)
    assert found.verdict in verdicts, found.summary
    assert [place.name for place in found.where] == [f"training.optimizer.{setting}"]
    assert f"`{setting}`" in found.advice[0]
    (curves,) = [figure for figure in found.figures if isinstance(figure, Lines)]
    assert any("as declared" in series.name for series in curves.series)
    assert any("put right" in series.name for series in curves.series)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "SGD", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        {"name": "Adagrad", "lr": 0.03},
        {"name": "AdamW", "lr": 1e-5},
    ],
    ids=lambda o: o["name"],
)
def test_what_good_models_are_trained_with_is_not_blamed(optimizer: Any) -> None:
    found = replace(sample("diabetes_mlp"), optimizer=optimizer).finding(CHECK)
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary


def test_an_optimizer_of_no_known_kind_that_hardly_moves() -> None:
    class Frozen(torch.optim.Optimizer):
        """Steps along noise."""

        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.add_(torch.randn_like(p), alpha=1e-6 * group["lr"])

    live = sample("diabetes_mlp")
    model = copy.deepcopy(live.model)
    made: Any = Frozen(model.parameters(), {"lr": 0.01})
    found = replace(live, model=model, optimizer=made).finding(CHECK)
    assert found.verdict is FAIL, found.summary
    assert [place.name for place in found.where] == ["training.optimizer"]


@pytest.fixture(scope="module")
def went_on() -> Live:
    """Return a subject whose optimizer is at hand, after some more steps."""
    live = sample("diabetes_mlp")
    model = copy.deepcopy(live.model)
    optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3):
        for inputs, target in live.train:
            optimizer.zero_grad()
            functional.mse_loss(model(inputs), target).backward()
            optimizer.step()
    # Without a factory no race is held, which these tests have no need of.
    return replace(live, model=model, optimizer=optimizer, factory=None)


def spoilt(live: Live, damage: Callable[[dict[str, Any]], object], *names: str) -> Live:
    model = copy.deepcopy(live.model)
    optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-3)
    assert isinstance(live.optimizer, torch.optim.Optimizer)
    optimizer.load_state_dict(copy.deepcopy(live.optimizer.state_dict()))
    for name in names or [name for name, _ in model.named_parameters()]:
        damage(optimizer.state[model.get_parameter(name)])
    return replace(live, model=model, optimizer=optimizer)


def first_is_nan(state: dict[str, Any]) -> None:
    state["exp_avg"].view(-1)[0] = torch.nan


@pytest.mark.parametrize(
    ("damage", "verdict", "words"),
    [
        (first_is_nan, FAIL, "not finite"),
        (lambda s: s["exp_avg_sq"].zero_(), FAIL, "can't come from the same gradients"),
        (lambda s: [s[key].zero_() for key in ("exp_avg", "exp_avg_sq")], WARN, "wiped"),
        (lambda s: s["exp_avg_sq"].fill_(1e8), WARN, "exploded"),
    ],
)
def test_a_layer_whose_moments_are_spoilt(
    went_on: Live, damage: Any, verdict: Verdict, words: str
) -> None:
    found = spoilt(went_on, damage, "2.weight").finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert words in found.summary
    assert [place.name for place in found.where] == ["2.weight"]
    assert found.advice


def test_moments_that_are_all_zero_and_those_that_are_fine(went_on: Live) -> None:
    def wiped(state: dict[str, Any]) -> None:
        state["exp_avg"].zero_()
        state["exp_avg_sq"].zero_()

    found = spoilt(went_on, wiped).finding(CHECK)
    assert found.verdict is WARN
    assert "All saved moments are zero" in found.summary
    assert went_on.finding(CHECK).verdict is Verdict.INFO


def test_a_state_of_another_age(went_on: Live) -> None:
    def young(state: dict[str, Any]) -> None:
        state["step"].fill_(3)

    options = {"training": {"epochs": 20}}
    found = replace(spoilt(went_on, young), options=options).finding(CHECK)
    assert found.verdict is WARN, found.summary
    assert "counts 3 steps" in found.summary


def test_an_epsilon_that_most_moments_are_below_warns_without_a_race(went_on: Live) -> None:
    model = copy.deepcopy(went_on.model)
    optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1.0)
    for inputs, target in went_on.train:
        optimizer.zero_grad()
        functional.mse_loss(model(inputs), target).backward()
        optimizer.step()
    found = replace(went_on, model=model, optimizer=optimizer).finding(CHECK)
    assert found.verdict is WARN, found.summary
    assert [place.name for place in found.where] == ["training.optimizer.eps"]
    assert "No race was held" in found.summary


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer": None, "train": None}, "No optimizer is declared"),
        ({"model": nn.Linear(10, 1).requires_grad_(False)}, "no trainable parameters"),
    ],
)
def test_where_nothing_can_be_judged_it_says_why(change: Any, words: str) -> None:
    found = replace(sample("diabetes_mlp"), **change).finding(CHECK)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert words in found.summary


def test_without_a_declared_optimizer_it_tells_what_did_best() -> None:
    found = replace(sample("diabetes_mlp"), optimizer=None).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "AdamW at" in found.summary
    assert any(isinstance(figure, Lines) for figure in found.figures)
