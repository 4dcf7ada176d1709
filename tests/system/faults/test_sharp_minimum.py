"""Weights that must be exact, planted in networks of many kinds, and weights that only look it."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, trained
from tests.zoo import healthy, mlp, tabular

CHECK = "sharp-minimum"


def metric(found: Finding, name: str) -> float:
    (value,) = (m.value for m in found.metrics if m.name == name)
    assert value is not None
    return value


def cancelling(linear: nn.Linear) -> None:
    """Add to all outputs of a layer one huge number, which a softmax over them does not see."""
    linear.weight += 3000 * linear.weight.std()


def test_huge_weights_that_cancel_are_found_in_a_cnn(digits: Live) -> None:
    live = broken(digits, lambda model: cancelling(model.head))
    assert live.places(CHECK, Verdict.WARN)[0] == "head"


def test_huge_weights_that_cancel_are_found_in_a_recurrent_network(names: Live) -> None:
    live = broken(names, lambda model: cancelling(model.head))
    assert live.places(CHECK, Verdict.WARN)[0] == "head"


def test_twins_of_opposite_sign_are_found_in_a_regression(diabetes: Live) -> None:
    """Two hidden units alike, of which the next layer takes a huge multiple of the difference."""

    def twins(model: nn.Module) -> None:
        first, second = model[0], model[2]
        first.weight[1], first.bias[1] = first.weight[0], first.bias[0]
        second.weight[:, 0] = 20_000 * second.weight.abs().mean()
        second.weight[:, 1] = -second.weight[:, 0]

    places = broken(diabetes, twins).places(CHECK, Verdict.WARN)
    assert places[0] in ("0", "2")


def test_an_offset_that_norms_take_away_again_is_found_in_a_transformer(language: Live) -> None:
    """Layer norms subtract the mean over features, so that a common offset changes no answer."""

    def lifted(model: nn.Module) -> None:
        model.token.weight += 1000.0

    live = broken(language, lifted)
    with torch.no_grad():
        inputs, _ = next(iter(language.train))
        whole, moved = language.model(inputs), live.model(inputs)
    assert (whole - moved).abs().max() < 0.05
    assert live.places(CHECK, Verdict.WARN)[0] == "token"


def test_inputs_far_from_zero_make_a_needle_of_what_is_trained_on_them() -> None:
    train, val, _ = tabular(load_wine(), 0)
    lifted = partial(mapped, change=lambda x, y: (x + 1000, y))
    live = healthy("wine_mlp", 0)
    model = copy.deepcopy(live.model)
    with torch.no_grad():
        first = model[0]
        first.bias -= 1000 * first.weight.sum(dim=1)
    far = replace(live, model=model, train=lifted(train), val=lifted(val))
    assert far.places(CHECK, Verdict.WARN)[0] == "0"


@pytest.mark.parametrize(
    ("name", "factor"), [("wine_mlp", 1e-3), ("wine_mlp", 1e3), ("plain_cnn", 1e3)]
)
def test_rescaling_that_changes_no_answer_is_no_fault(name: str, factor: float) -> None:
    """Dinh et al. 2017: W1 times a, W2 over a is the same network, as sharp as one likes."""
    live = healthy(name, 0)

    def rescaled(model: nn.Module) -> None:
        layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        layers[0].weight *= factor
        layers[0].bias *= factor
        layers[1].weight /= factor

    before, after = live.finding(CHECK), broken(live, rescaled).finding(CHECK)
    assert before.verdict is after.verdict is Verdict.PASS
    eigenvalue = "largest eigenvalue of the Hessian"
    assert metric(after, eigenvalue) > 1e4 * metric(before, eigenvalue)
    for judged in ("lost to a random change of 1 %", "lost to the worst change of length 0.02"):
        assert metric(after, judged) == pytest.approx(metric(before, judged), rel=0.02, abs=1e-4)


@pytest.mark.parametrize("batch", [8, 116])
def test_neither_small_nor_large_batches_are_a_fault(batch: int) -> None:
    train, val, features = tabular(load_wine(), 0)
    x, y = (torch.cat(part) for part in zip(*train, strict=True))
    batches = list(zip(x.split(batch), y.split(batch), strict=True))
    build: Callable[[], nn.Module] = partial(mlp, features, 32, 32, 3)
    live = trained(build, batches, val, "cross_entropy", epochs=batch)
    assert live.finding(CHECK).verdict is Verdict.PASS


def test_a_model_that_has_learnt_nothing_has_nothing_to_lose(digits: Live) -> None:
    assert digits.factory is not None
    torch.manual_seed(0)
    found = replace(digits, model=digits.factory()).finding(CHECK)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "nothing was learnt" in found.summary
