"""A loss that is that of a constant, has the wrong sign, or contradicts accuracy is found."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import broken, one_hot
from tests.zoo import healthy

CHECK = "trained-loss-off"


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn", "tiny_lm", "autoencoder", "unet"])
def test_untrained_models_have_the_loss_of_a_constant(name: str) -> None:
    live = healthy(name)
    assert live.factory is not None
    torch.manual_seed(1)
    found = replace(live, model=live.factory()).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "model.checkpoint"


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes_mlp", "names_rnn", "cancer_logit"])
def test_constant_answers_have_the_loss_of_a_constant(name: str) -> None:
    def silence(model: nn.Module) -> None:
        last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
        last.weight.zero_()

    found = broken(healthy(name), silence).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_swapped_classes_are_worse_than_a_constant(name: str) -> None:
    turned = broken(
        healthy(name), lambda model: model.head.weight.copy_(model.head.weight.roll(1, 0))
    )
    assert turned.finding(CHECK).verdict is Verdict.FAIL


@pytest.mark.parametrize("smoothed", [0.0, 0.1])
def test_one_hot_and_smoothed_targets_are_read_as_classes(smoothed: float) -> None:
    live = one_hot(healthy("names_rnn"), smoothed)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    turned = broken(live, lambda model: model.head.weight.copy_(model.head.weight.roll(1, 0)))
    assert turned.finding(CHECK).verdict is Verdict.FAIL


def backwards(outputs: Tensor, target: Tensor) -> Tensor:
    return -functional.cross_entropy(outputs, target)


def backwards_error(outputs: Tensor, target: Tensor) -> Tensor:
    return -functional.mse_loss(outputs, target)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("digits_cnn", backwards), ("names_rnn", backwards), ("autoencoder", backwards_error)],
)
def test_a_loss_of_the_wrong_sign_is_found(name: str, loss: object) -> None:
    task = "regression" if name == "autoencoder" else "multiclass"
    found = replace(healthy(name), loss=loss, options={"task": task}).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].note == "has the wrong sign"


@pytest.mark.parametrize("name", ["names_rnn", "multilabel"])
def test_sure_mistakes_contradict_the_accuracy(name: str) -> None:
    def sharpen(model: nn.Module) -> None:
        last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
        for parameter in last.parameters():
            parameter.mul_(30)

    found = broken(healthy(name), sharpen).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "contradicts the accuracy" in found.summary
    assert "wrong answers" in found.summary


class Twice(nn.Module):
    """Ends in a softmax."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).softmax(-1)


def test_a_softmax_before_the_loss_contradicts_the_accuracy() -> None:
    live = healthy("digits_cnn")
    found = replace(live, model=Twice(live.model)).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "right answers" in found.summary


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_raw_outputs_into_nll_loss_are_found(name: str) -> None:
    found = replace(healthy(name), loss="nll_loss").finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "log-probabilities" in found.summary
