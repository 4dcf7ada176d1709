"""Clipping that cuts every step, and gradients that leap without it."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, trained
from tests.zoo import healthy

SILENT = (Verdict.PASS, Verdict.INFO)


def clipped(live: Live, norm: float) -> Live:
    return replace(live, options={"training": {"clip_norm": norm}})


@pytest.mark.parametrize("family", ["digits_cnn", "diabetes_mlp", "names_rnn", "transformer"])
def test_a_thousandth_of_the_median_norm_cuts_every_step(family: str) -> None:
    live = healthy(family)
    medians = [m for m in live.finding("clipping-off").metrics if m.name.startswith("median norm")]
    norm = 1e-3 * max(m.value for m in medians)
    found = clipped(live, norm).finding("clipping-off")
    plain = live.optimizer["name"] == "SGD"
    assert found.verdict is (Verdict.FAIL if plain else Verdict.WARN), found.summary
    assert [place.name for place in found.where] == ["training.clip_norm"]
    assert "clip_grad_norm_" in found.advice[0]


@pytest.mark.parametrize("family", ["names_rnn", "tiny_lm"])
def test_samples_with_their_norm_are_sound(family: str) -> None:
    found = clipped(healthy(family), 1.0).finding("clipping-off")
    assert found.verdict in SILENT, found.summary


def test_a_norm_that_is_never_reached_is_told(digits: Live) -> None:
    found = clipped(digits, 1000.0).finding("clipping-off")
    assert found.verdict is Verdict.INFO
    assert "guards against next to nothing" in found.summary


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase] = nn.GRU, **options: Any) -> None:
        super().__init__()
        self.rnn = kind(1, 32, batch_first=True, **options)
        self.head = nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def series(scale: float, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return sequences and their means, one batch in eight off scale."""
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for number in range(32):
        x = torch.randn(16, 20, 1, generator=generator)
        y = 2 * x.mean(1) + 0.3 * torch.randn(16, 1, generator=generator)
        times = scale if number % 8 == 7 else 1.0
        batches.append((times * x, times * y))
    return batches


@pytest.mark.parametrize(
    "build",
    [Recurrent, partial(Recurrent, nn.RNN, nonlinearity="relu")],
    ids=["gru", "relu"],
)
@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_batches_off_scale_leap_without_clipping(build: Any, optimizer: str) -> None:
    settings = {"Adam": {"lr": 3e-3}, "SGD": {"lr": 0.02, "momentum": 0.9}}[optimizer]
    for scale, wanted in ((1.0, (Verdict.PASS,)), (300.0, (Verdict.WARN,))):
        live = trained(build, series(scale), series(1.0, 1), "mse_loss", epochs=2)
        live = replace(live, optimizer={"name": optimizer, **settings})
        found = live.finding("clipping-off")
        assert found.verdict in wanted, found.summary
    assert found.where[0].name == "training.clip_norm"
    assert "leap" in found.summary


def test_without_optimizer_or_factory_the_checkpoint_is_judged(digits: Live) -> None:
    bare = replace(digits, optimizer=None, factory=None)
    assert bare.finding("clipping-off").verdict is Verdict.PASS
    found = clipped(bare, 1e-4).finding("clipping-off")
    assert found.verdict is Verdict.WARN
    assert "There is no run from fresh weights" in found.summary
