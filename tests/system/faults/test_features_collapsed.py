"""Layers that make the same of all examples, or of two classes."""

from dataclasses import replace

import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken
from tests.zoo import healthy

CHECK = "features-collapsed"


def test_a_layer_after_which_nothing_varies_is_named_in_every_family(
    digits: Live, diabetes: Live, names: Live, language: Live
) -> None:
    cases = (
        (digits, lambda model: model.features[3][0].weight.zero_(), "features.3.0"),
        (diabetes, lambda model: model[2].weight.zero_(), "2"),
        (names, lambda model: model.head.weight.zero_(), "head"),
        (language, lambda model: model.norm.weight.zero_(), "norm"),
        (healthy("transformer"), lambda model: model.head.weight.zero_(), "head"),
    )
    for live, damage, name in cases:
        assert broken(live, damage).places(CHECK, Verdict.FAIL)[0] == name


def test_a_recurrent_layer_that_hears_only_the_length_is_named(names: Live) -> None:
    live = broken(names, lambda model: model.gru.weight_ih_l0.zero_())
    assert live.places(CHECK, Verdict.WARN)[0] == "gru"


def one_direction(weight: torch.Tensor) -> None:
    """Leave a weight its largest singular value alone."""
    u, s, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    weight.copy_((s[0] * u[:, :1] @ v[:1]).reshape(weight.shape))


def test_a_layer_of_one_direction_is_named_with_the_classes_it_loses(digits: Live) -> None:
    def flatten(model: nn.Module) -> None:
        one_direction(model.features[3][0].weight)

    live = broken(digits, flatten)
    places = live.places(CHECK, Verdict.FAIL)
    assert places[0] == "features.3.0"
    assert "lost" in live.finding(CHECK).summary


def test_a_recurrent_model_and_a_transformer_of_one_direction_are_found(names: Live) -> None:
    def flatten(model: nn.Module) -> None:
        one_direction(model.head.weight)

    for live in (names, healthy("transformer")):
        places = broken(live, flatten).places(CHECK, Verdict.FAIL)
        assert places[0] == "head"


def test_of_two_classes_with_one_row_the_one_never_predicted_is_named(digits: Live) -> None:
    def share(model: nn.Module) -> None:
        for rows in (model.head.weight, model.head.bias):
            rows[[3, 5]] = rows[[3, 5]].mean(dim=0, keepdim=rows.ndim > 1)

    for live in (digits, healthy("transformer")):
        found = broken(live, share).finding(CHECK)
        assert found.verdict is Verdict.WARN, found.summary
        assert [(place.name, place.note) for place in found.where] == [
            ("head", "never gives class 5")
        ]


def test_a_class_whose_row_is_broken_is_named(digits: Live) -> None:
    live = broken(digits, lambda model: model.head.bias[4].fill_(-100.0))
    found = live.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [(place.name, place.note) for place in found.where] == [("head", "never gives class 4")]


def test_a_regression_that_narrows_to_its_one_output_is_sound(diabetes: Live) -> None:
    found = broken(diabetes, lambda model: one_direction(model[2].weight)).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


class OneForAll(nn.Module):
    """Gives every step of a sequence the mean of what the inner layer makes of all steps."""

    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.spread = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, **rest: object) -> torch.Tensor:
        steps = self.inner(x, **rest)
        return self.spread(steps.mean(1, keepdim=True).expand_as(steps))


def test_steps_of_a_sequence_that_become_one_are_found(language: Live) -> None:
    def smooth(model: nn.Module) -> None:
        model.blocks[1] = OneForAll(model.blocks[1], 48)

    spread = replace(broken(language, smooth), factory=None)
    assert spread.places(CHECK, Verdict.FAIL)[0] == "blocks.1.spread"

    def smooth_rows(model: nn.Module) -> None:
        model.encoder = OneForAll(model.encoder, 32)

    rows = replace(broken(healthy("transformer"), smooth_rows), factory=None)
    assert rows.places(CHECK, Verdict.WARN)[0] == "encoder.spread"


def test_a_model_that_was_never_trained_has_not_collapsed(digits: Live, names: Live) -> None:
    for live in (digits, names, healthy("plain_cnn"), healthy("lstm")):
        torch.manual_seed(0)
        assert live.factory is not None
        fresh = replace(live, model=live.factory())
        assert fresh.finding(CHECK).verdict is Verdict.PASS
