"""Checkpoints and data whose inputs say nothing, of several families."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, mapped, sample, trained
from tests.system.faults.test_cannot_overfit_one_batch import FAMILIES, rebuilt, zero

CHECK = "ignores-its-input"


class Blinded(nn.Module):
    """A model whose inputs are multiplied by zero."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x * 0)


def shuffled() -> Callable[[Any, Any], tuple[Any, Any]]:
    generator = torch.Generator().manual_seed(0)
    return lambda x, y: (x, y[torch.randperm(len(y), generator=generator)])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_that_never_sees_its_input_is_found(family: str) -> None:
    found = rebuilt(FAMILIES[family](), Blinded).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "not used at all" in found.summary
    assert found.where[0].name == "model.factory"


def test_weights_of_zero_are_found() -> None:
    assert rebuilt(FAMILIES["gru"](), zero).finding(CHECK).verdict is Verdict.FAIL


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn", "tiny_lm"])
def test_targets_out_of_step_are_found(name: str) -> None:
    live = sample(name)
    found = replace(live, val=mapped(live.val, shuffled()), factory=None).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "data.val" in [place.name for place in found.where]


@pytest.mark.parametrize("name", ["digits_cnn", "diabetes_mlp"])
def test_inputs_of_zero_are_blamed_on_the_data(name: str) -> None:
    live = sample(name)
    lost = mapped(live.val, lambda x, y: (x * 0, y))
    found = replace(live, val=lost, factory=None).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "data.val"


def test_training_inputs_of_zero_warn_though_the_checkpoint_is_sound() -> None:
    live = sample("digits_cnn")
    lost = mapped(live.train, lambda x, y: (x * 0, y))
    found = replace(live, train=lost).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "data.train"


def test_validation_data_sorted_by_class_is_no_fault() -> None:
    live = sample("digits_cnn")
    x, y = (torch.cat(part) for part in zip(*live.val, strict=True))
    order = y.argsort()
    batches = list(zip(x[order].split(30), y[order].split(30), strict=True))
    found = replace(live, val=batches, factory=None).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary


def linear() -> Live:
    """A sound regression on six numbers."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6000, 6, generator=generator)
    y = x @ torch.randn(6, 1, generator=generator) + 0.3 * torch.randn(6000, 1, generator=generator)
    batches = list(zip(x.split(250), y.split(250), strict=True))
    build = lambda: nn.Linear(6, 1)  # noqa: E731
    return trained(build, batches[:20], batches[20:], "mse_loss", epochs=8, lr=3e-2)


@pytest.mark.parametrize("live", [lambda: sample("digits_cnn"), lambda: sample("tiny_lm"), linear])
def test_training_targets_out_of_step_warn_though_the_checkpoint_is_sound(
    live: Callable[[], Live],
) -> None:
    sound = live()
    late = mapped(sound.train, lambda x, y: (x, y.roll(1, 0)))
    found = replace(sound, train=late, factory=None).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["data.train"]


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn"])
def test_weights_that_never_arrived_are_found(name: str) -> None:
    live = sample(name)
    assert live.factory is not None
    torch.manual_seed(0)
    found = replace(live, model=live.factory(), factory=None).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert "model.checkpoint" in [place.name for place in found.where]


def rare_events(seed: int) -> Live:
    """A sound model of one case in thirteen, of which the inputs tell little."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2900, 8, generator=generator)
    y = (torch.rand(2900, generator=generator) < torch.sigmoid(0.6 * x[:, 0] - 2.6)).long()
    batches = list(zip(x.split(50), y.split(50), strict=True))
    build = lambda: nn.Linear(8, 2)  # noqa: E731
    live = trained(build, batches[:40], batches[40:], "cross_entropy", epochs=8, seed=seed)
    return replace(live, factory=None)


@pytest.mark.parametrize("seed", range(5))
def test_rare_events_that_are_hard_to_tell_are_no_fault(seed: int) -> None:
    found = rare_events(seed).finding(CHECK)
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary
    if found.verdict is Verdict.INFO:
        assert "would settle it" in found.summary
