"""Models that a simpler one beats: untrained, hardly trained, damaged, too narrow, blind."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from sklearn.datasets import load_wine
from torch import nn

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, sample, trained
from tests.zoo import Attentive, Batches, digits, healthy, mlp, tabular

CHECK = "no-better-than-baseline"


def beaten(live: Live, verdict: Verdict = Verdict.WARN) -> Finding:
    found = live.finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert "linear model" in [place.name for place in found.where]
    assert "A linear model of" in found.summary
    assert found.advice
    return found


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_a_hardly_trained_network_is_beaten(name: str) -> None:
    live = sample(name)
    assert live.factory is not None
    hardly = trained(live.factory, live.train, live.val, "cross_entropy", epochs=1, lr=3e-4)
    found = beaten(hardly)
    assert "beats the model with its" in found.summary
    assert "network with one hidden layer" in [place.name for place in found.where]


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_an_untrained_network_is_beaten(name: str) -> None:
    live = sample(name)
    assert live.factory is not None
    torch.manual_seed(1)
    found = replace(live, model=live.factory()).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "linear model" in [place.name for place in found.where]


def test_a_language_model_without_its_weights_is_beaten_by_pairs_of_characters() -> None:
    live = sample("tiny_lm")

    def forget(model: nn.Module) -> None:
        torch.manual_seed(0)
        for parameter in model.blocks.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))

    found = broken(live, forget).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "linear model" in [place.name for place in found.where]


def lose_half(model: nn.Module) -> None:
    """Zero half of the first layer's units, as a checkpoint loaded in part leaves them."""
    first = next(m for m in model.modules() if isinstance(m, nn.Linear))
    torch.manual_seed(0)
    first.weight.copy_(first.weight[torch.randperm(len(first.weight))])


@pytest.mark.parametrize("name", ["residual", "multilabel"])
def test_weights_in_the_wrong_places_are_told(name: str) -> None:
    found = broken(healthy(name), lose_half).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "linear model" in [place.name for place in found.where]


def test_a_hidden_layer_of_one_unit_is_beaten() -> None:
    train, val, features = tabular(load_wine(), 0)
    build = partial(mlp, features, 1, 3)
    beaten(trained(build, train, val, "cross_entropy", epochs=20))


def test_a_transformer_that_knows_no_positions_is_beaten() -> None:
    torch.manual_seed(0)
    train, val = digits(lambda x, y: (x, y))
    build = partial(Attentive, blind=True)
    beaten(trained(build, train, val, "cross_entropy", epochs=10, lr=1e-3))


def test_regression_that_stopped_early_is_beaten() -> None:
    live = sample("diabetes_mlp")
    assert live.factory is not None
    beaten(
        trained(live.factory, live.train, live.val, "mse_loss", epochs=1, lr=1e-3),
    )


def noise(change: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Batches, Batches]:
    torch.manual_seed(0)
    return digits(lambda x, y: (x.flatten(1), change(y)))


def test_no_simpler_model_is_blamed_for_labels_that_are_random() -> None:
    train, val = noise(lambda y: y[torch.randperm(len(y))])
    live = trained(partial(mlp, 64, 32, 10), train, val, "cross_entropy", epochs=5)
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert not found.where


def along_a_line(count: int) -> tuple[Batches, Batches]:
    """Return two classes that a plane separates as well as anything can."""
    generator = torch.Generator().manual_seed(5)
    x, w = torch.randn(count, 12, generator=generator), torch.randn(12, generator=generator)
    y = (x @ w + 1.5 * torch.randn(count, generator=generator) > 0).long()
    batches = [(x[rows], y[rows]) for rows in torch.arange(count).split(50)]
    return batches[:20], batches[20:]


def test_parameters_of_which_nothing_comes_are_told() -> None:
    train, val = along_a_line(3000)
    live = trained(partial(mlp, 12, 4, 2), train, val, "cross_entropy", epochs=60)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "the model with its 62 is better than a linear model of 26 parameters" in found.summary
    assert "of 122 parameters is not held against the model with its 62" in found.summary
    assert not found.where


@pytest.mark.parametrize("name", ["wine_mlp", "cancer_logit", "lstm"])
def test_healthy_networks_that_a_linear_model_comes_near_raise_nothing(name: str) -> None:
    found = healthy(name, 1).finding(CHECK)
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary
    assert not found.where


def test_swapped_classes_are_worse_than_a_constant(digits: Live, names: Live) -> None:
    for live in (digits, names):
        turned = broken(live, lambda model: model.head.weight.copy_(model.head.weight.roll(1, 0)))
        found = turned.finding("no-better-than-baseline")
        assert found.verdict is Verdict.FAIL, found.summary


def test_a_constant_answer_is_no_better_than_a_constant(digits: Live, language: Live) -> None:
    for live in (digits, language):
        constant = broken(live, lambda model: model.head.weight.zero_())
        found = constant.finding("no-better-than-baseline")
        assert found.verdict is Verdict.FAIL, found.summary
