"""Activations off scale, planted in models of four families."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, mapped
from tests.zoo import healthy

CHECK = "activation-scale-off"


def times(name: str, factor: float):
    def damage(model: nn.Module) -> None:
        model.get_submodule(name).weight.mul_(factor)

    return damage


@pytest.mark.parametrize(
    ("family", "layer", "factor"),
    [
        ("digits_cnn", "features.1.0", 1000.0),
        ("plain_cnn", "body.2", 300.0),
        ("diabetes_mlp", "2", 1000.0),
        ("tiny_lm", "blocks.0.mlp.2", 1000.0),
        ("transformer", "encoder.layers.0.linear1", 300.0),
        ("names_rnn", "embedding", 3000.0),
    ],
)
def test_a_layer_that_amplifies_is_named(family: str, layer: str, factor: float) -> None:
    found = broken(healthy(family), times(layer, factor)).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert layer in [place.name for place in found.where]


@pytest.mark.parametrize(
    ("family", "layer"),
    [
        ("digits_cnn", "features.1.0"),
        ("diabetes_mlp", "2"),
        ("names_rnn", "embedding"),
        ("tiny_lm", "blocks.1.norm1"),
    ],
)
def test_a_layer_that_answers_alike_is_named(family: str, layer: str) -> None:
    def flatten(model: nn.Module) -> None:
        module = model.get_submodule(layer)
        module.weight.zero_()
        if getattr(module, "bias", None) is not None:
            module.bias.fill_(0.5)
        if isinstance(module, nn.Embedding):
            module.weight.fill_(0.5)

    assert broken(healthy(family), flatten).places(CHECK, Verdict.FAIL)[0] == layer


def test_small_weights_over_depth() -> None:
    def deep() -> nn.Module:
        layers = [m for _ in range(20) for m in (nn.Linear(64, 64, bias=False), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))

    torch.manual_seed(0)
    live = replace(healthy("plain_cnn"), model=deep(), factory=deep)
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "collapse by a factor" in found.summary
    for layer in live.model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    assert live.finding(CHECK).verdict is Verdict.PASS


def test_running_statistics_that_do_not_fit_make_the_modes_differ(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[1][1].running_var.mul_(1e3))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "features.1.1"
    assert "training mode" in found.summary


class Unscaled(nn.Module):
    """Drops units without making up for them."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (torch.rand_like(x) < 0.02) if self.training else x


def test_dropout_without_its_rescaling(diabetes: Live) -> None:
    layers = list(diabetes.model)
    live = replace(diabetes, model=nn.Sequential(*layers[:2], Unscaled(), *layers[2:]))
    assert live.places(CHECK, Verdict.WARN)[0] == "2"


@pytest.mark.parametrize("family", ["plain_cnn", "diabetes_mlp"])
def test_inputs_in_the_thousands(family: str) -> None:
    live = healthy(family)
    loud = replace(
        live,
        train=mapped(live.train, lambda x, y: (x * 1e4, y)),
        val=mapped(live.val, lambda x, y: (x * 1e4, y)),
    )
    assert "0" in loud.places(CHECK, Verdict.WARN)[0]


def test_float16_at_its_end() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)).half()
    data = [(torch.randn(20, 10).half(), torch.randn(20, 1).half()) for _ in range(6)]
    live = Live(model, None, data, data, "mse_loss", None)
    assert live.finding(CHECK).verdict is Verdict.PASS
    model[0].bias.data[3] = 5e4
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert any("float16" in place.note for place in found.where)


def test_massive_activations_and_empty_adapters_raise_nothing(language: Live) -> None:
    class Adapter(nn.Module):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base = base
            self.down = nn.Linear(48, 4, bias=False)
            self.up = nn.Linear(4, 48, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + self.up(self.down(x))

    def change(model: nn.Module) -> None:
        model.blocks[1].mlp[2] = nn.Sequential(model.blocks[1].mlp[2])
        model.blocks[0].mlp = Adapter(model.blocks[0].mlp)
        # One feature far beyond the others, which the normalisation after it bounds.
        model.blocks[0].mlp.base[2].bias[7] += 200.0

    found = broken(language, change).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "blocks.0.mlp.up" in found.summary


@pytest.mark.parametrize("family", ["diabetes_mlp", "multilabel", "autoencoder"])
def test_all_weights_ten_times_too_large_also_on_a_single_batch(family: str) -> None:
    def enlarge(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.mul_(10)

    live = broken(healthy(family), enlarge)
    assert live.finding("activation-scale-off").verdict is Verdict.WARN
    few = replace(live, train=list(live.train)[:1], val=list(live.val)[:1])
    found = few.finding("activation-scale-off")
    assert found.verdict is Verdict.WARN, found.summary
    assert replace(few, model=healthy(family).model).finding("activation-scale-off").verdict is (
        Verdict.PASS
    )
