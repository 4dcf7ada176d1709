"""Saturation planted in models of four families."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, trained
from tests.zoo import digits as digit_batches
from tests.zoo import healthy

CHECK = "saturated-units"


class Squashing(nn.Module):
    """A convolution and two layers, squashed; its end puts out probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 12, 3, padding=1), nn.Tanh()
        self.fc, self.head = nn.Linear(12 * 16, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.act(self.conv(x)), 2).flatten(1)
        return torch.sigmoid(self.head(torch.sigmoid(self.fc(x))))


@pytest.fixture(scope="module")
def squashing() -> Live:
    train, val = digit_batches(lambda x, y: (x, nn.functional.one_hot(y, 10).float()))
    return trained(Squashing, train, val, "binary_cross_entropy", epochs=6)


def test_healthy_squashing_layers_raise_nothing(squashing: Live) -> None:
    found = squashing.finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "2 squashing" in found.summary


@pytest.mark.parametrize(
    ("damage", "place", "cause"),
    [
        (lambda m: m.conv.weight.mul_(1e4), "act", "weights of `conv` are too large"),
        (lambda m: m.conv.bias.fill_(30.0), "act", "`conv.bias` at 30"),
        (lambda m: m.fc.weight.mul_(1e3), "sigmoid() after fc", "weights of `fc` are too large"),
        (lambda m: m.fc.bias.fill_(-40.0), "sigmoid() after fc", "`fc.bias` at -40"),
    ],
)
def test_a_saturated_layer_and_its_cause_are_named(squashing: Live, damage, place, cause) -> None:
    found = broken(squashing, damage).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == place
    assert cause in found.summary


def test_inputs_off_scale_are_named_as_the_cause(squashing: Live) -> None:
    loud = replace(squashing, val=mapped(squashing.val, lambda x, y: (x * 1e5, y)))
    found = loud.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "`conv` is given inputs off scale" in found.summary


def test_an_mlp_of_tanhs() -> None:
    live = healthy("diabetes_mlp")
    layers = [nn.Tanh() if isinstance(m, nn.ReLU) else m for m in live.model]
    squashed = replace(live, model=nn.Sequential(*layers), factory=None)
    assert squashed.finding(CHECK).verdict is Verdict.PASS
    assert broken(squashed, lambda m: m[0].weight.mul_(1e4)).places(CHECK, Verdict.FAIL)[0] == "1"


def shut(part: str, at: slice, value: float):
    def damage(model: nn.Module) -> None:
        model.get_parameter(part)[at] = value

    return damage


@pytest.mark.parametrize(
    ("family", "bias", "at", "value", "layer"),
    [
        ("names_rnn", "gru.bias_ih_l0", slice(48, 96), 40.0, "gru"),
        ("lstm", "lstm.bias_ih_l0", slice(144, 192), -40.0, "lstm"),
        ("lstm", "lstm.bias_ih_l0", slice(0, 30), -40.0, "lstm"),
    ],
)
def test_gates_that_cut_units_off(family, bias, at, value, layer) -> None:
    found = broken(healthy(family), shut(bias, at, value)).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == layer
    assert bias in found.summary


def test_a_forget_gate_that_stays_open_is_no_fault() -> None:
    live = broken(healthy("lstm"), shut("lstm.bias_ih_l0", slice(48, 96), 40.0))
    assert live.finding(CHECK).verdict is Verdict.PASS


@pytest.mark.parametrize("family", ["names_rnn", "lstm"])
def test_recurrent_weights_too_large(family: str) -> None:
    def damage(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if "_l0" in name:
                parameter.mul_(200)

    found = broken(healthy(family), damage).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "gate" in found.summary
    assert found.advice


def test_attention_that_collapsed_to_one_key_is_named() -> None:
    def sharpen(model: nn.Module) -> None:
        model.blocks[1].attention.qkv.weight[:96].mul_(40)

    places = broken(healthy("tiny_lm"), sharpen).places(CHECK, Verdict.WARN)
    assert places == ["blocks.1.attention after qkv"]

    def all_sharp(model: nn.Module) -> None:
        for layer in model.encoder.layers:
            layer.self_attn.in_proj_weight[:64].mul_(60)

    places = broken(healthy("transformer"), all_sharp).places(CHECK, Verdict.FAIL)
    assert places == ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"]


def test_attention_that_looks_at_nothing_in_particular_is_named() -> None:
    def blind(model: nn.Module) -> None:
        model.encoder.layers[1].self_attn.in_proj_weight[:32] = 0
        model.encoder.layers[1].self_attn.in_proj_bias[:32] = 0

    live = broken(healthy("transformer"), blind)
    assert live.places(CHECK, Verdict.WARN) == ["encoder.layers.1.self_attn"]
    assert "all keys alike" in live.finding(CHECK).summary


@pytest.mark.parametrize(("family", "layer"), [("lstm", "lstm"), ("names_rnn", "gru")])
def test_recurrent_weights_ten_times_too_large(family: str, layer: str) -> None:
    def enlarge(model: nn.Module) -> None:
        for parameter in model.get_submodule(layer).parameters():
            parameter.mul_(10)

    found = broken(healthy(family), enlarge).finding("saturated-units")
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == layer


@pytest.mark.parametrize("gate", [1, 2])
def test_an_lstm_that_forgets_at_once_or_writes_always_the_same(gate: int) -> None:
    def hold(model: nn.Module) -> None:
        model.lstm.bias_ih_l0[48 * gate : 48 * (gate + 1)] = -30.0

    assert broken(healthy("lstm"), hold).places("saturated-units", Verdict.FAIL) == ["lstm"]
