"""Dropout left on, set too high, put on the answers, or where the network underfits."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.verdict import Verdict
from tests.subjects import Live, trained
from tests.zoo import digits as batches
from tests.zoo import healthy

CHECK = "dropout-off"


def mlp(rate: float, *last: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Dropout(rate), nn.Linear(64, 64), nn.ReLU(),
        nn.Dropout(rate), nn.Linear(64, 10), *last,
    )  # fmt: skip


class Rows(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self, layers: int, rate: float) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 32, layers, dropout=rate, batch_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x.unflatten(1, (8, 8)))[0][:, -1])


class Functional(nn.Module):
    """Drops by a function that was not told the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(functional.dropout(torch.relu(self.body(x)), 0.3))


def fitted(build: Callable[[], nn.Module], epochs: int = 8) -> Live:
    train, val = batches(lambda x, y: (x.flatten(1), y))
    live = trained(build, train, val, "cross_entropy", epochs=epochs, lr=1e-3)
    return replace(live, model=live.model.eval())


def test_a_share_to_keep_taken_for_a_rate_is_found(digits: Live) -> None:
    assert digits.factory is not None
    build = digits.factory

    def drops() -> nn.Module:
        model = build()
        model.dropout.p = 0.95
        return model

    live = trained(drops, list(digits.train), list(digits.val), "cross_entropy", epochs=5)
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert found.where[0].name == "dropout"
    assert "`p=0.05`" in found.advice[0]


def test_a_network_that_learns_nothing_through_it_fails() -> None:
    found = fitted(lambda: mlp(0.95)).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["2", "5"]
    assert "learnt nothing" in found.summary


def test_an_underfitting_network_gains_without_it() -> None:
    found = fitted(lambda: mlp(0.8)).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "underfits" in found.summary
    assert [place.name for place in found.where] == ["2", "5"]


def test_high_rates_of_recurrent_layers_are_found() -> None:
    found = fitted(lambda: Rows(2, 0.95), epochs=5).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "rnn"


def test_what_is_left_on_is_named() -> None:
    live = healthy("transformer")

    class Stays(nn.Dropout):
        def train(self, mode: bool = True) -> nn.Module:
            return super().train(True)

    model = live.model
    kept, model.encoder.layers[1].dropout = model.encoder.layers[1].dropout, Stays(0.3)
    found = replace(live, factory=None).finding(CHECK)
    model.encoder.layers[1].dropout = kept
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["encoder.layers.1.dropout"]
    found = fitted(Functional, epochs=2).finding(CHECK)
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "(model)"
    assert "training=self.training" in found.advice[0]


def test_dropout_on_the_answers_is_found() -> None:
    found = fitted(lambda: mlp(0.1, nn.Dropout(0.3)), epochs=3).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["7"]


def test_one_recurrent_layer_drops_nothing() -> None:
    with pytest.warns(UserWarning, match="dropout option"):
        found = fitted(lambda: Rows(1, 0.4), epochs=1).finding(CHECK)
    assert found.verdict is Verdict.INFO
    assert "no effect" in found.summary


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_usual_rates_are_silent(rate: float) -> None:
    found = fitted(lambda: mlp(rate)).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.parametrize(
    ("family", "verdict"),
    [
        ("digits_cnn", Verdict.PASS),
        ("diabetes_mlp", Verdict.NOT_APPLICABLE),
    ],
)
def test_healthy_models_are_silent(family: str, verdict: Verdict) -> None:
    found = healthy(family).finding(CHECK)
    assert found.verdict is verdict, found.summary
