"""Fresh models that do not start at chance, each for another cause, and losses of other kinds."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live, mapped, one_hot, trained
from tests.zoo import healthy, mlp

CHECK = "initial-loss-off-chance"


def initialised(live: Live, change: Callable[[nn.Module], Any]) -> Live:
    """Change what the factory hands out."""

    def build() -> nn.Module:
        assert live.factory is not None
        model = live.factory()
        with torch.no_grad():
            change(model)
        return model

    return replace(live, factory=build)


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    surprise = functional.cross_entropy(outputs, target, reduction="none")
    return ((1 - surprise.neg().exp()) ** 2 * surprise).mean()


def normal(model: nn.Module) -> None:
    for parameter in model.parameters():
        nn.init.normal_(parameter)


@pytest.mark.parametrize("name", ["residual", "wine_mlp", "cancer_logit", "names_rnn"])
def test_weights_and_biases_of_unit_deviation(name: str) -> None:
    found = initialised(healthy(name), normal).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "the model's own initialisation is too large" in found.summary
    assert "with PyTorch's own initialisation the same models start at" in found.summary
    assert len(found.figures) == 2


@pytest.mark.parametrize("name", ["plain_cnn", "residual", "cancer_logit"])
def test_inputs_from_0_to_255(name: str) -> None:
    def raw(x: Any, y: Any) -> Any:
        return (x * 0.376 + 0.305) * 255, y

    live = healthy(name)
    live = replace(live, train=mapped(live.train, raw), val=mapped(live.val, raw))
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Cause: the inputs are not normalised" in found.summary
    assert found.where[0].name == "data"


@pytest.mark.parametrize("name", ["plain_cnn", "unet", "cancer_logit"])
def test_a_last_bias_far_from_zero(name: str) -> None:
    def push(model: nn.Module) -> None:
        last = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]
        last.bias[0] = 20.0

    found = initialised(healthy(name), push).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "Cause: the last layer's bias starts far from zero" in found.summary


def test_raw_targets_of_a_regression() -> None:
    def raw(x: Any, y: Any) -> Any:
        return x, y * 7 + 152

    live = healthy("diabetes_mlp")
    live = replace(live, train=mapped(live.train, raw), val=mapped(live.val, raw))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "Cause: the targets are not standardised (mean 152, deviation 7)" in found.summary


@pytest.mark.parametrize("name", ["wine_mlp", "names_rnn"])
def test_one_hot_targets_are_judged_as_classes(name: str) -> None:
    live = one_hot(healthy(name))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "chance among" in found.summary
    found = initialised(live, normal).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(reduction="sum"), focal])
def test_a_last_bias_at_the_class_shares_is_no_fault(loss: Any) -> None:
    """Nor does any class come in each of the batches looked at."""
    live = rarely_a_class()

    def know(model: nn.Module) -> None:
        model[-1].bias.copy_(torch.tensor([0.97, 0.03]).log())

    found = initialised(replace(live, loss=loss), know).finding(CHECK)
    assert "good" not in found.summary
    assert "factory" not in " ".join(found.advice)
    learnt = replace(live, loss=loss, factory=lambda: copy.deepcopy(live.model))
    found = learnt.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "No model without training can be this good: the best constant" in found.summary


def rarely_a_class() -> Live:
    """Return a task in which three examples of a hundred are of the one class, well learnt."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1200, 8, generator=generator)
    batches = [(x, (x[:, 0] > 1.88).long()) for x in inputs.split(40)]
    live = trained(partial(mlp, 8, 16, 2), batches[:20], batches[20:], "cross_entropy", epochs=15)
    return replace(live, model=live.model.eval())


@pytest.mark.parametrize("name", ["diabetes_mlp", "autoencoder"])
def test_two_causes_at_once(name: str) -> None:
    def raw(x: Any, y: Any) -> Any:
        return x * 400, y * 3 + 1000

    live = healthy(name)
    live = replace(live, train=mapped(live.train, raw), val=mapped(live.val, raw))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "Two causes at once: the inputs are not normalised" in found.summary
    assert "and the targets are not standardised" in found.summary
    assert len(found.where) == 2


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("digits_cnn", nn.CrossEntropyLoss(reduction="sum")),
        ("wine_mlp", nn.CrossEntropyLoss(reduction="sum")),
        ("tiny_lm", lambda o, t: functional.cross_entropy(o.movedim(-1, 1), t, reduction="sum")),
    ],
)
def test_a_loss_summed_over_the_batch(name: str, loss: Any) -> None:
    found = replace(healthy(name), loss=loss).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "times what one target costs: it is summed over the batch" in found.summary
    assert found.where[0].name == "loss"


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("digits_cnn", nn.CrossEntropyLoss(label_smoothing=0.1)),
        ("digits_cnn", nn.CrossEntropyLoss(weight=torch.arange(1.0, 11.0))),
        ("digits_cnn", focal),
        ("multilabel", nn.BCEWithLogitsLoss(pos_weight=torch.tensor([3.0, 1.0, 1.0]))),
        ("diabetes_mlp", "huber_loss"),
        ("diabetes_mlp", "smooth_l1_loss"),
        ("diabetes_mlp", "l1_loss"),
        ("autoencoder", lambda o, t: ((o - t) ** 2).sum(1).mean()),
    ],
)
def test_losses_of_other_kinds_are_judged_and_fine(name: str, loss: Any) -> None:
    found = replace(healthy(name), loss=loss).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    live = initialised(replace(healthy(name), loss=loss), large)
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary


def large(model: nn.Module) -> None:
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    last.weight.mul_(300)


def test_a_large_initial_head_is_off_chance(digits: Live, names: Live) -> None:
    for live in (digits, names):

        def build(live: Live = live) -> nn.Module:
            assert live.factory is not None
            model = live.factory()
            with torch.no_grad():
                model.head.weight.mul_(60)
            return model

        found = replace(live, factory=build).finding("initial-loss-off-chance")
        assert found.verdict is Verdict.FAIL, found.summary


def test_raw_targets_are_off_chance(diabetes: Live) -> None:
    def raw(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs, target * 77 + 152

    live = replace(diabetes, train=mapped(diabetes.train, raw), val=mapped(diabetes.val, raw))
    found = live.finding("initial-loss-off-chance")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "target" in " ".join((found.summary, *found.advice))


def test_raw_inputs_are_off_chance(diabetes: Live) -> None:
    def raw(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs * 40 + 100, target

    live = replace(diabetes, train=mapped(diabetes.train, raw), val=mapped(diabetes.val, raw))
    found = live.finding("initial-loss-off-chance")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "input" in " ".join((found.summary, *found.advice))


def test_a_factory_that_hands_out_trained_weights_is_told(digits: Live) -> None:
    found = replace(digits, factory=lambda: copy.deepcopy(digits.model)).finding(
        "initial-loss-off-chance"
    )
    assert found.verdict is Verdict.WARN, found.summary
