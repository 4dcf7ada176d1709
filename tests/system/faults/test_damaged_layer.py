"""One layer of a trained model damaged: found, and named among the healthy ones."""

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken
from tests.zoo import healthy

CHECK = "damaged-layer"


def test_a_head_that_was_not_loaded(digits: Live) -> None:
    assert digits.finding(CHECK).verdict is Verdict.PASS
    torch.manual_seed(1)
    live = broken(digits, lambda model: model.head.reset_parameters())
    found = live.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "head"
    causes = live.audited(CHECK, "trained-loss-off", "no-better-than-baseline").causes
    assert causes[0].id == CHECK
    assert "`head`" in causes[0].title


def test_units_of_a_perceptron_in_another_order() -> None:
    live = healthy("multilabel")
    names = [name for name, m in live.model.named_modules() if isinstance(m, nn.Linear)]

    def shuffle(model: nn.Module) -> None:
        layer = model.get_submodule(names[0])
        order = torch.randperm(layer.out_features, generator=torch.Generator().manual_seed(0))
        layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]

    found = broken(live, shuffle).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert found.where[0].name in names[:2]


def test_noise_in_a_recurrent_layer_of_a_reader(names: Live) -> None:
    def spoil(model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        for name, weight in model.named_parameters():
            if "weight_hh" in name:
                weight.data += 4 * weight.std() * torch.randn(weight.shape, generator=generator)

    found = broken(names, spoil).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert found.where[0].name not in ("embedding", "head")


def test_gates_in_the_order_of_another_framework(names: Live) -> None:
    def convert(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("_ih", "_hh")):
                reset, update, new = parameter.data.clone().chunk(3)
                parameter.data = torch.cat([update, reset, new])

    found = broken(names, convert).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "gates stand in another order" in found.where[0].note


def test_a_healthy_regression_and_language_model_pass(diabetes: Live, language: Live) -> None:
    for live in (diabetes, language):
        found = live.finding(CHECK)
        assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary
        assert not found.where
