"""Rectified units that never fire."""

from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, broken


def test_a_dead_layer_is_named(digits: Live) -> None:
    live = broken(digits, lambda model: model.features[1][1].bias.fill_(-1e3))
    assert live.places("dead-units", Verdict.FAIL)[0] == "features.1.2"


def test_half_the_units_dead_are_found(diabetes: Live) -> None:
    def kill(model: nn.Module) -> None:
        first = next(m for m in model.modules() if isinstance(m, nn.Linear))
        first.bias[: len(first.bias) // 2 + 1] = -1e3

    assert broken(diabetes, kill).places("dead-units", Verdict.FAIL)
