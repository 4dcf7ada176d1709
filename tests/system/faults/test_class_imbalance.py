"""A class that is never predicted, or that training never saw, is found and named."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, one_hot, trained
from tests.zoo import PlainCNN, digits, healthy, mlp

CHECK = "class-imbalance"


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_a_class_removed_from_the_head_is_named(name: str) -> None:
    def remove(model: nn.Module) -> None:
        model.head.bias[2] = -30.0

    found = broken(healthy(name), remove).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["class 2"]
    assert "never found" in found.summary


@pytest.mark.parametrize("smoothed", [0.0, 0.1])
def test_one_hot_and_smoothed_targets_are_read_as_classes(smoothed: float) -> None:
    live = one_hot(healthy("names_rnn"), smoothed)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary

    def remove(model: nn.Module) -> None:
        model.head.bias[2] = -30.0

    found = broken(live, remove).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["class 2"]


@pytest.mark.parametrize("shares", [True, False])
def test_weights_within_a_function_that_neglect_a_class_are_told(shares: bool) -> None:
    weights = torch.tensor([1.0, 0.05])
    live = rarely(0.1, True)
    live = replace(one_hot(live) if shares else live, loss=partial(cross_entropy, weight=weights))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "a target of class 1 counts 0.05 times as much as one of class 0" in found.summary
    assert "weights class 1 down" in found.advice[0]
    weighted = replace(live, loss=partial(cross_entropy, weight=1 / weights)).finding(CHECK)
    assert weighted.verdict is Verdict.WARN, weighted.summary
    assert "counts 20 times as much" in weighted.summary


def rarely(kept: float, flat: bool) -> Live:
    """Train to tell threes from the rest in noise, a share of them left in training."""
    generator = torch.Generator().manual_seed(0)

    def noisy(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = x + 1.6 * torch.randn(x.shape, generator=generator)
        return (x.flatten(1) if flat else x), (y == 3).long()

    train, val = digits(noisy)
    thinned = [
        (x[rows], y[rows])
        for x, y in train
        for rows in [(y == 0) | (torch.rand(len(y), generator=generator) < kept)]
    ]
    build = partial(mlp, 64, 32, 2) if flat else binary_cnn
    return trained(build, thinned, val, "cross_entropy", epochs=1, lr=1e-3)


def binary_cnn() -> nn.Module:
    model = PlainCNN()
    model.head = nn.Linear(32 * 16, 2)
    return model


@pytest.mark.parametrize("flat", [True, False])
def test_a_minority_of_one_in_a_hundred_is_never_predicted(flat: bool) -> None:
    found = rarely(0.1, flat).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["class 1"]
    assert "nn.CrossEntropyLoss(weight=torch.tensor([0.5" in found.advice[0]


def test_weights_that_do_not_help_only_warn() -> None:
    live = rarely(0.1, True)
    weighted = replace(live, loss=nn.CrossEntropyLoss(weight=torch.tensor([0.5, 50.0])))
    found = weighted.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "weights it up" in found.summary


@pytest.mark.parametrize(("name", "left_out"), [("digits_cnn", 4), ("wine_mlp", 2)])
def test_a_class_that_training_never_saw_is_named(name: str, left_out: int) -> None:
    live = healthy(name)
    without = mapped(live.train, lambda x, y: (x[y != left_out], y[y != left_out]))
    found = replace(live, train=without).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == [f"class {left_out}"]


def test_a_label_that_is_never_given_is_named() -> None:
    def silence(model: nn.Module) -> None:
        [m for m in model.modules() if isinstance(m, nn.Linear)][-1].bias[1] = -100.0

    found = broken(healthy("multilabel"), silence).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["label 1 = 1"]
