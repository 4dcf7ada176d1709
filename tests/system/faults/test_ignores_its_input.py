"""Checkpoints and data whose inputs say nothing, of several families."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import mapped, sample
from tests.system.faults.test_cannot_overfit_one_batch import rebuilt, zero

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


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn", "diabetes_mlp"])
def test_a_model_that_never_sees_its_input_is_found(name: str) -> None:
    found = rebuilt(sample(name), Blinded).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "not used at all" in found.summary
    assert found.where[0].name == "model.factory"


def test_weights_of_zero_are_found() -> None:
    assert rebuilt(sample("names_rnn"), zero).finding(CHECK).verdict is Verdict.FAIL


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
    found = replace(live, val=lost).finding(CHECK)
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
    found = replace(live, val=batches).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
