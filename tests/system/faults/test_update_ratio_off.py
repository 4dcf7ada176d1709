"""Learning rates far from what the weights can bear."""

from dataclasses import replace

from auditor.core.verdict import Verdict
from tests.subjects import Live


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
