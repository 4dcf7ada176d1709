"""Each check finds its fault, planted in real models of several families, and names the place."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped, sample, trained


@pytest.fixture(scope="module")
def digits() -> Live:
    return sample("digits_cnn")


@pytest.fixture(scope="module")
def diabetes() -> Live:
    return sample("diabetes_mlp")


@pytest.fixture(scope="module")
def names() -> Live:
    return sample("names_rnn")


@pytest.fixture(scope="module")
def language() -> Live:
    return sample("tiny_lm")


def places(live: Live, check: str, verdict: Verdict) -> list[str]:
    found = live.finding(check)
    assert found.verdict is verdict, found.summary
    assert found.advice
    return [place.name for place in found.where]


# no-better-than-baseline


def test_untrained_models_are_no_better_than_a_constant(digits: Live, names: Live) -> None:
    for live in (digits, names):
        assert live.factory is not None
        torch.manual_seed(1)
        found = replace(live, model=live.factory()).finding("no-better-than-baseline")
        assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary


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


# initial-loss-off-chance


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


# dead-units


def test_a_dead_layer_is_named(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[1][1].bias.fill_(-1e3))
    assert places(live, "dead-units", Verdict.FAIL)[0] == "features.1.2"


def test_half_the_units_dead_are_found(diabetes: Live) -> None:
    def kill(model: nn.Module) -> None:
        first = next(m for m in model.modules() if isinstance(m, nn.Linear))
        first.bias[: len(first.bias) // 2 + 1] = -1e3

    assert places(broken(diabetes, kill), "dead-units", Verdict.FAIL)


# vanishing-gradients


class DeepSigmoid(nn.Module):
    def __init__(self, depth: int = 14) -> None:
        super().__init__()
        self.enter = nn.Linear(64, 32)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.sigmoid(self.enter(x.flatten(1)))
        for layer in self.layers:
            x = torch.sigmoid(layer(x))
        return self.head(x)


def test_a_deep_sigmoid_stack_vanishes(digits: Live) -> None:
    live = trained(DeepSigmoid, digits.train, digits.val, "cross_entropy", epochs=1)
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert any(place.name in ("enter.weight", "layers.0.weight") for place in found.where)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)).detach())


def test_a_detached_part_is_named(digits: Live) -> None:
    live = trained(Detached, digits.train, digits.val, "cross_entropy", epochs=2)
    found = live.finding("vanishing-gradients")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert any(place.name == "body.0.weight" for place in found.where)


def test_a_dead_layer_stops_the_gradient(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[3][1].bias.fill_(-1e3))
    found = live.finding("vanishing-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "features.3" in " ".join(place.name for place in found.where)


# exploding-gradients


class Deep(nn.Module):
    def __init__(self, gain: float = 1.0, depth: int = 12) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(64, 64) for _ in range(depth))
        self.head = nn.Linear(64, 10)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight)
            with torch.no_grad():
                layer.weight.mul_(gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x)


def test_a_large_initialisation_explodes(digits: Live) -> None:
    torch.manual_seed(0)
    live = replace(digits, model=Deep(gain=5.0), factory=lambda: Deep(gain=5.0))
    found = live.finding("exploding-gradients")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where


class Recurrent(nn.Module):
    """A recurrence written out step by step, as far as its own layer goes."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        self.step = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(8))
        self.head = nn.Linear(32, 10)
        for layer in self.step:
            nn.init.orthogonal_(layer.weight, gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.squeeze(1)
        state = self.enter(x[:, 0])
        for place, layer in enumerate(self.step):
            state = layer(state) + self.enter(x[:, place])
        return self.head(state)


def test_a_recurrence_of_large_gain_explodes(digits: Live) -> None:
    torch.manual_seed(0)
    live = replace(digits, model=Recurrent(6.0), factory=lambda: Recurrent(6.0))
    found = live.finding("exploding-gradients")
    assert found.verdict is Verdict.FAIL, found.summary


# non-finite-values


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_weight_is_named(digits: Live, names: Live, value: float) -> None:
    for live in (digits, names):
        hurt = broken(live, lambda model: model.head.weight[0, 0].fill_(value))
        assert "head.weight" in places(hurt, "non-finite-values", Verdict.FAIL)


def test_the_layer_where_activations_overflow_is_named(digits: Live, diabetes: Live) -> None:
    def blow(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(1e30)

    found = broken(diabetes, blow).finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert any(place.kind == "layer" for place in found.where)


def test_bad_inputs_are_blamed_on_the_data(digits: Live) -> None:
    def spoil(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = inputs.clone()
        inputs[-1, 0, 0, 0] = float("nan")
        return inputs, target

    found = replace(digits, val=mapped(digits.val, spoil)).finding("non-finite-values")
    assert found.verdict is Verdict.FAIL, found.summary
    assert "input" in found.summary


# update-ratio-off


def test_a_learning_rate_far_too_high_is_found(digits: Live, language: Live) -> None:
    for live in (digits, language):
        assert live.optimizer is not None
        settings = {**live.optimizer, "lr": live.optimizer["lr"] * 1000}
        found = replace(live, optimizer=settings).finding("update-ratio-off")
        assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary


def test_a_learning_rate_far_too_low_is_found(digits: Live, diabetes: Live) -> None:
    for live in (digits, diabetes):
        assert live.optimizer is not None
        settings = {**live.optimizer, "lr": live.optimizer["lr"] / 1e4}
        found = replace(live, optimizer=settings).finding("update-ratio-off")
        assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary


# stale-batch-norm


def reset_statistics(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()


def test_statistics_never_updated_are_found(digits: Live) -> None:
    found = broken(digits, reset_statistics).finding("stale-batch-norm")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name.startswith("features.")


def test_statistics_of_other_inputs_are_found(digits: Live) -> None:
    def unscaled(inputs: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs * 6 + 5, target

    live = replace(digits, train=mapped(digits.train, unscaled))
    found = live.finding("stale-batch-norm")
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "features.0.1"


class NormedMLP(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.flatten(1)))


def test_one_dimensional_statistics_are_judged_both_ways(digits: Live) -> None:
    live = trained(NormedMLP, digits.train, digits.val, "cross_entropy", epochs=5)
    assert live.finding("stale-batch-norm").verdict is Verdict.PASS
    found = broken(live, reset_statistics).finding("stale-batch-norm")
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "Never updated" in found.summary
