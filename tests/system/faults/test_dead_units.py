"""Rectified units that never fire."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped
from tests.zoo import healthy


def test_a_dead_layer_is_named(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[1][1].bias.fill_(-1e3))
    assert live.places("dead-units", Verdict.FAIL)[0] == "features.1.2"


def test_half_the_units_dead_are_found(diabetes: Live) -> None:
    def kill(model: nn.Module) -> None:
        first = next(m for m in model.modules() if isinstance(m, nn.Linear))
        first.bias[: len(first.bias) // 2 + 1] = -1e3

    assert broken(diabetes, kill).places("dead-units", Verdict.FAIL)


@pytest.mark.parametrize(
    ("family", "layer", "bias"),
    [
        ("digits_cnn", "features.1.2", "features.1.1.bias"),
        ("plain_cnn", "body.3", "body.2.bias"),
        ("diabetes_mlp", "3", "2.bias"),
        ("tiny_lm", "blocks.0.mlp.1", "blocks.0.mlp.0.bias"),
        (
            "transformer",
            "encoder.layers.1.relu() after linear1",
            "encoder.layers.1.linear1.bias",
        ),
    ],
)
def test_a_large_negative_bias_is_named_as_the_cause(family, layer, bias) -> None:
    def push(model: nn.Module) -> None:
        parameter = model.get_parameter(bias)
        parameter[: 2 * len(parameter) // 3] = -60.0

    places = broken(healthy(family), push).places("dead-units", Verdict.FAIL)
    assert places[:2] == [layer, bias]


def test_weights_below_zero_are_told_from_biases(diabetes: Live) -> None:
    def turn(model: nn.Module) -> None:
        model[2].weight[:12] = -model[2].weight[:12].abs() - 0.2
        model[2].bias[:12] = 0.0

    found = broken(diabetes, turn).finding("dead-units")
    assert found.verdict is Verdict.FAIL
    assert "weights of `2`" in found.summary
    assert [place.kind for place in found.where] == ["layer"]


def test_a_dead_layer_starves_the_next(diabetes: Live) -> None:
    def kill(model: nn.Module) -> None:
        model[0].bias.fill_(-1e3)
        model[2].bias.copy_(-model[2].bias.abs() - 0.01)

    found = broken(diabetes, kill).finding("dead-units")
    assert [place.name for place in found.where] == ["1", "3", "0.bias"]


@pytest.mark.parametrize("family", ["diabetes_mlp", "plain_cnn"])
def test_units_that_only_training_data_wakes(family: str) -> None:
    live = healthy(family)

    def lift(model: nn.Module) -> None:
        # All units wait for something that training data has by a factor of a hundred.
        layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        layers[0].bias[: len(layers[0].bias) // 2 + 1] = -30.0

    loud = replace(broken(live, lift), train=mapped(live.train, lambda x, y: (x * 100, y)))
    found = loud.finding("dead-units")
    assert found.verdict is Verdict.WARN, found.summary
    assert "fire in training" in found.summary


def test_leaky_units_do_not_die() -> None:
    torch.manual_seed(0)
    live = healthy("diabetes_mlp")
    layers = [nn.LeakyReLU() if isinstance(m, nn.ReLU) else m for m in live.model]
    leaky = replace(live, model=nn.Sequential(*layers), factory=None)
    damaged = broken(leaky, lambda model: model[0].bias.fill_(-1e3))
    assert damaged.finding("dead-units").verdict is Verdict.NOT_APPLICABLE


def test_a_running_mean_off_the_data_is_told_from_weights(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[1][1].running_mean.add_(5))
    found = live.finding("dead-units")
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "features.1.2"
    assert "`features.1.1`: what it is given never comes past its running mean" in found.summary
