"""Training that goes nowhere, of several families, with the rate that would work."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, sample
from tests.system.faults.test_cannot_overfit_one_batch import (
    FAMILIES,
    dead,
    rebuilt,
    zero,
)
from tests.zoo import digits, mlp

CHECK = "does-not-learn-in-short-run"


def at(live: Live, times: float) -> Finding:
    assert live.optimizer is not None
    return replace(
        live, optimizer={**live.optimizer, "lr": live.optimizer["lr"] * times}
    ).finding(CHECK)  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rate_a_thousand_times_too_high_is_found(family: str) -> None:
    found = at(FAMILIES[family](), 1000)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert found.where[0].name == "training.optimizer.lr"
    assert "too large" in found.summary


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rate_far_too_low_is_found(family: str) -> None:
    found = at(FAMILIES[family](), 1e-5)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "too small" in found.summary
    assert "100000 times" in found.summary


@pytest.mark.parametrize(("times", "name"), [(1e-3, "AdamW"), (1e-4, "Adam")])
def test_a_rate_that_barely_moves_is_found(times: float, name: str) -> None:
    train, val = digits(lambda x, y: (x.flatten(1), y))
    build = partial(mlp, 64, 64, 10)
    live = Live(build(), build, train, val, "cross_entropy", {"name": name, "lr": 1e-3 * times})
    found = live.finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "too small" in found.summary
    assert found.where[0].name == "training.optimizer.lr"


class Denoiser(nn.Module):
    """Takes the noise off an image; its input alone is nearly the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.noise = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - self.noise(x)


def test_a_shortcut_past_the_weights_is_no_fault() -> None:
    generator = torch.Generator().manual_seed(0)
    train, val = digits(
        lambda x, y: (x.flatten(1) + 0.4 * torch.randn(len(x), 64, generator=generator),
                      x.flatten(1))
    )  # fmt: skip
    found = Live(
        Denoiser(), Denoiser, train, val, "mse_loss", {"name": "Adam", "lr": 3e-3}
    ).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.parametrize("family", ["cnn", "gru"])
def test_a_dead_head_changes_nothing(family: str) -> None:
    found = rebuilt(FAMILIES[family](), dead).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "model.factory"


@pytest.mark.parametrize("family", ["cnn", "mlp"])
def test_weights_of_zero_learn_a_constant_answer(family: str) -> None:
    found = rebuilt(FAMILIES[family](), zero).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "constant answer" in found.summary


def test_a_sum_that_diverges_is_found() -> None:
    live = sample("diabetes_mlp")
    build = lambda: mlp(10, 32, 1)  # noqa: E731
    torch.manual_seed(0)
    summed = replace(
        live,
        factory=build,
        model=build(),
        loss=nn.MSELoss(reduction="sum"),
        optimizer={"name": "SGD", "lr": 0.1, "momentum": 0.9},
    )
    found = summed.finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "training.optimizer.lr"
