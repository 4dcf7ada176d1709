from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.sees_the_future import FUTURE, judge
from auditor.core.layer import MODEL
from auditor.core.verdict import Verdict
from auditor.observations.culprit import Culprit
from auditor.observations.future_use import FutureUse

CAUSAL = FutureUse(
    relation="next",
    shift=1,
    matched=1.0,
    steps=20,
    examples=5,
    places=(0, 9, 18),
    ahead=np.zeros(3),
    touched=0.0,
    offsets=(-8, -4, -2, -1, 0),
    influence=np.array([1e-12, 0.0, 0.02, 0.4, 1.0]),
    culprit=None,
    tolerance=1e-9,
    precision="float64",
)
AHEAD = replace(
    CAUSAL,
    ahead=np.array([0.2, 0.1, 0.0]),
    touched=0.3,
    offsets=(-1, 0, 1, 2, 4),
    influence=np.array([0.4, 1.0, 0.2, 0.0, 0.0]),
    culprit=Culprit("body.attention", "MultiheadAttention"),
)


def test_a_causal_model_passes(judged) -> None:
    found = judged(judge, {FUTURE: CAUSAL})
    assert found.verdict is Verdict.PASS
    assert "inputs up to 2 steps before the last output" in found.summary


@pytest.mark.parametrize(("size", "verdict"), [(9e-10, Verdict.PASS), (2e-9, Verdict.FAIL)])
def test_rounding_is_the_limit(judged, size: float, verdict: Verdict) -> None:
    found = judged(judge, {FUTURE: replace(CAUSAL, ahead=np.array([0.0, size, 0.0]))})
    assert found.verdict is verdict


def test_the_place_and_the_reach_are_told(judged) -> None:
    found = judged(judge, {FUTURE: AHEAD})
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["body.attention"]
    assert "30 % of the outputs" in found.summary
    assert "ahead by up to 1 step." in found.summary
    every = replace(AHEAD, influence=np.array([0.4, 1.0, 0.2, 0.1, 0.1]))
    assert "as far as was tried, 4 steps" in judged(judge, {FUTURE: every}).summary


@pytest.mark.parametrize(
    ("culprit", "word"),
    [
        (Culprit("rnn", "LSTM"), "bidirectional=False"),
        (Culprit("conv", "Conv1d"), "on the left alone"),
        (Culprit("norm", "InstanceNorm1d"), "statistics over time"),
        (Culprit("pool", "AdaptiveAvgPool1d"), "statistics over time"),
        (Culprit("attend", "MultiheadAttention"), "attn_mask"),
        (Culprit("mix", "Linear"), "below the diagonal"),
        (Culprit("block", "Block", inner=True), "`block`'s `forward`"),
        (Culprit(MODEL, "Net"), "the model's `forward`"),
        (None, "Compare"),
    ],
)
def test_advice_suits_the_place(judged, culprit: Culprit | None, word: str) -> None:
    assert word in judged(judge, {FUTURE: replace(AHEAD, culprit=culprit)}).advice[0]


@pytest.mark.parametrize("use", [CAUSAL, AHEAD])
def test_targets_of_another_kind_are_told_not_judged(judged, use: FutureUse) -> None:
    found = judged(judge, {FUTURE: replace(use, relation="none", shift=0)})
    assert found.verdict is Verdict.INFO
    assert "meant to be causal" in found.summary


def test_targets_that_the_loss_moves_are_judged(judged) -> None:
    found = judged(judge, {FUTURE: replace(AHEAD, relation="inside")})
    assert found.verdict is Verdict.FAIL
    assert "the targets are the inputs themselves" in found.summary.lower()
