"""Validation inputs turned, reordered or renumbered: found, and the way back is named."""

from collections.abc import Callable
from dataclasses import replace

import torch

from auditor.core.verdict import Verdict
from tests.subjects import Live, mapped

CHECK = "inputs-prepared-differently"


def arranged(live: Live, change: Callable[[torch.Tensor], torch.Tensor]) -> Live:
    return replace(live, val=mapped(live.val, lambda x, y: (change(x), y)))


def test_images_with_rows_and_columns_exchanged(digits: Live) -> None:
    assert digits.finding(CHECK).verdict is Verdict.PASS
    found = arranged(digits, lambda x: x.mT).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].note == "wanted with rows and columns exchanged"


def test_columns_of_a_table_in_reverse_order(diabetes: Live) -> None:
    assert diabetes.finding(CHECK).verdict is Verdict.PASS
    found = arranged(diabetes, lambda x: x.flip(1)).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert found.where[0].name == "data.val"
    assert "reverse order" in found.where[0].note or "matched" in found.where[0].note


def test_letters_numbered_one_higher(names: Live) -> None:
    assert names.finding(CHECK).verdict is Verdict.PASS

    def higher(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 0, x % 26 + 1, x)

    found = arranged(names, higher).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert "numbered one lower" in found.where[0].note


def test_blurred_images_are_told_from_those_of_training(digits: Live) -> None:
    def spoilt(x: torch.Tensor) -> torch.Tensor:
        return torch.roll(x, (3, 3), (-2, -1)) * 0.6

    found = arranged(digits, spoilt).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert "linear model tells" in found.summary
