"""Learning rates far from what the weights can bear."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, sample


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


LAYERS = {
    "digits_cnn": "features.1.0.weight",
    "diabetes_mlp": "2.weight",
    "names_rnn": "gru.weight_hh_l0",
    "tiny_lm": "blocks.1.mlp.0.weight",
}


@pytest.mark.parametrize("factor", [0.01, 100.0], ids=["small", "large"])
@pytest.mark.parametrize("family", LAYERS)
def test_a_layer_initialised_far_from_the_others_is_named(family: str, factor: float) -> None:
    live = sample(family)
    factory = live.factory
    assert factory is not None

    def scaled() -> nn.Module:
        model = factory()
        with torch.no_grad():
            model.get_parameter(LAYERS[family]).mul_(factor)
        return model

    found = replace(live, factory=scaled).finding("update-ratio-off")
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == [LAYERS[family]]
    assert f"`{LAYERS[family]}`" in found.advice[0]
    assert ("large" if factor > 1 else "small") in found.advice[0]
    table = next(f for f in found.figures if f.kind == "table")
    assert table.columns[-1] == "learning rate for 1e-3"


def test_the_rate_that_the_table_gives_brings_a_layer_to_the_target(diabetes: Live) -> None:
    """For SGD, whose step is proportional to the rate as long as little else changes."""
    settings = {"name": "SGD", "lr": 1e-4}
    found = replace(diabetes, optimizer=settings).finding("update-ratio-off")
    table = [f for f in found.figures if f.kind == "table"][-1]
    name, ratio, *_, rate = table.rows[0]
    again = replace(diabetes, optimizer={"name": "SGD", "lr": rate}).finding("update-ratio-off")
    row = [f for f in again.figures if f.kind == "table"][-1].rows[0]
    assert row[0] == name
    assert abs(np.log10(row[1] / 1e-3)) < abs(np.log10(ratio / 1e-3)) / 3
