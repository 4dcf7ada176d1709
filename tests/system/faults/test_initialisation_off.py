"""Starts at zero, all alike, too large and too small, in real models; and those that are meant."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live
from tests.zoo import wine_mlp

CHECK = "initialisation-off"


def started(start: Callable[[nn.Module], object]) -> Live:
    live = wine_mlp(0)
    assert live.factory is not None
    build = live.factory

    def factory() -> nn.Module:
        model = build()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear):
                    start(module)
        return model

    return replace(live, factory=factory, options={"training": {"epochs": 15}})


@pytest.mark.parametrize(
    ("start", "note"),
    [
        (lambda m: nn.init.zeros_(m.weight), "starts at zero"),
        (lambda m: nn.init.constant_(m.weight, 0.05), "all values start at 0.05"),
        (lambda m: m.weight.mul_(0.01), "starts 0.01"),
    ],
)
def test_an_unsound_start_is_told_by_its_tensors(start, note: str) -> None:
    found = started(start).finding(CHECK)
    assert found.verdict in (Verdict.WARN, Verdict.FAIL), found.summary
    assert {place.name for place in found.where} == {"0.weight", "2.weight", "4.weight"}
    assert found.where[0].note.startswith(note)


def test_a_head_that_starts_at_zero_on_purpose_is_no_fault() -> None:
    def head(module: nn.Module) -> None:
        if module.out_features == 3:
            nn.init.zeros_(module.weight)

    found = started(head).finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary


@pytest.mark.parametrize("start", [lambda m: m, lambda m: nn.init.kaiming_normal_(m.weight)])
def test_usual_starts_pass(start) -> None:
    assert started(start).finding(CHECK).verdict is Verdict.PASS
