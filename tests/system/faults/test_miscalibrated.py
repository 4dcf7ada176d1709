"""Logits at the wrong scale are found, with their direction and the factor."""

from dataclasses import replace
from functools import partial

import pytest
from torch import Tensor, nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, one_hot, trained
from tests.zoo import digits, healthy, mlp


def head(model: nn.Module) -> nn.Module:
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)][-1]


def scaled(live: Live, factor: float) -> Live:
    def damage(model: nn.Module) -> None:
        for parameter in head(model).parameters():
            parameter.mul_(factor)

    return broken(live, damage)


def temperature(found: Finding) -> float:
    (heat,) = (metric.value for metric in found.metrics if metric.name == "best temperature")
    assert heat is not None
    return heat


@pytest.mark.parametrize("name", ["names_rnn", "cancer_mlp", "multilabel", "tiny_lm", "unet"])
@pytest.mark.parametrize("factor", [20.0, 1 / 20])
def test_a_factor_on_the_logits_is_found(name: str, factor: float) -> None:
    live = healthy(name)
    before = temperature(live.finding("miscalibrated"))
    found = scaled(live, factor).finding("miscalibrated")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert temperature(found) == pytest.approx(factor * before, rel=0.01)
    way = "overconfident" if factor > 1 else "underconfident"
    assert way in found.where[0].note
    assert way in found.summary
    assert found.advice[0].startswith("Divide the logits by")


@pytest.mark.parametrize("smoothed", [0.0, 0.1])
def test_one_hot_and_smoothed_targets_are_read_as_classes(smoothed: float) -> None:
    live = one_hot(healthy("names_rnn"), smoothed)
    found = live.finding("miscalibrated")
    assert found.verdict is Verdict.PASS, found.summary
    found = scaled(live, 20).finding("miscalibrated")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary


@pytest.mark.parametrize("epochs", [3, 12])
def test_a_network_taught_smoothed_labels_is_not_blamed_for_them(epochs: int) -> None:
    def smoothed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1), 0.9 * functional.one_hot(y, 10) + 0.01

    train, val = digits(smoothed)
    live = trained(partial(mlp, 64, 64, 10), train, val, "cross_entropy", epochs=epochs)
    found = live.finding("miscalibrated")
    assert found.verdict is Verdict.PASS, found.summary


def test_an_accurate_network_sure_of_its_few_mistakes_is_found() -> None:
    found = scaled(healthy("digits_cnn"), 30).finding("miscalibrated")
    assert found.verdict is Verdict.WARN, found.summary
    assert "on its mistakes" in found.summary


class Sharp(nn.Module):
    """Puts out the logarithms of probabilities that are far too sure."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return (20 * self.body(x)).log_softmax(-1)


def test_log_probabilities_are_read_as_they_are() -> None:
    live = healthy("names_rnn")
    found = replace(live, model=Sharp(live.model), loss="nll_loss").finding("miscalibrated")
    assert found.verdict is Verdict.FAIL, found.summary
    assert temperature(found) == pytest.approx(20, rel=0.2)
