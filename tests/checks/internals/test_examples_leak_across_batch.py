from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.examples_leak_across_batch import LEAK, judge
from auditor.core.layer import MODEL
from auditor.core.verdict import Verdict
from auditor.observations.batch_leak import BatchLeak
from auditor.observations.culprit import Culprit, Difference

QUIET = BatchLeak(
    moved=np.diag([0.5, 1.0, 0.2]),
    tolerance=1e-9,
    precision="float64",
    gradient=0.0,
    culprit=None,
    training=Difference(0.0, 1e-9, 3),
    norms=(),
    outputs=1,
)
MIXED = replace(
    QUIET, moved=QUIET.moved + 1e-3 * np.ones((3, 3)), culprit=Culprit("body.mix", "Mix")
)


def test_independent_examples_pass(judged) -> None:
    found = judged(judge, {LEAK: QUIET})
    assert found.verdict is Verdict.PASS
    assert "3 examples" in found.summary


@pytest.mark.parametrize(
    ("size", "verdict"), [(0.9e-9, Verdict.PASS), (1.1e-9, Verdict.FAIL), (np.inf, Verdict.FAIL)]
)
def test_rounding_is_the_limit(judged, size: float, verdict: Verdict) -> None:
    moved = QUIET.moved.copy()
    moved[2, 0] = size
    found = judged(judge, {LEAK: replace(QUIET, moved=moved)})
    assert found.verdict is verdict
    if verdict is Verdict.FAIL:
        assert "1 of 6 pairs" in found.summary
        assert "from example 0 to example 2" in found.summary


def test_the_place_and_the_pairs_are_told(judged) -> None:
    found = judged(judge, {LEAK: MIXED})
    assert [place.name for place in found.where] == ["body.mix"]
    assert "6 of 6 pairs" in found.summary
    assert found.figures[0].kind == "heatmap"


@pytest.mark.parametrize(
    ("culprit", "word"),
    [
        (Culprit("rnn", "LSTM", batch_first=False), "batch_first=True"),
        (Culprit("norm", "BatchNorm1d"), "track_running_stats=True"),
        (Culprit("norm", "Stuck, a BatchNorm2d"), "track_running_stats=True"),
        (Culprit("block", "Block", inner=True), "`block`'s own `forward`"),
        (Culprit(MODEL, "Net"), "the model's `forward`"),
        (Culprit("act", "Softmax"), "dim=0"),
        (None, "No single module"),
    ],
)
def test_advice_suits_the_place(judged, culprit: Culprit | None, word: str) -> None:
    assert word in judged(judge, {LEAK: replace(MIXED, culprit=culprit)}).advice[0]


def test_the_way_into_a_layer_is_told_in_the_sentence_and_at_the_place(judged) -> None:
    found = judged(judge, {LEAK: replace(MIXED, culprit=Culprit(MODEL, "Net", True, into="rnn"))})
    assert "in the model's own `forward` (Net), on the way into `rnn`." in found.summary
    assert found.where[0].note.endswith("on the way into `rnn`")


def test_what_may_be_time_is_warned_of(judged) -> None:
    unsure = replace(MIXED, culprit=Culprit("rnn", "LSTM", batch_first=False), unsettled=True)
    found = judged(judge, {LEAK: unsure})
    assert found.verdict is Verdict.WARN
    assert "if it is the second" in found.summary
    sure = judged(judge, {LEAK: replace(unsure, culprit=Culprit("rnn", "Softmax"))})
    assert sure.verdict is Verdict.FAIL


def test_batch_norm_is_explained(judged) -> None:
    found = judged(judge, {LEAK: replace(QUIET, norms=("a", "b"))})
    assert found.verdict is Verdict.PASS
    assert "2 batch-norm layers (a, b) mix" in found.summary


def test_what_else_training_mixes_is_told(judged) -> None:
    mixes = Difference(0.2, 1e-9, 3, Culprit("mixup", "Mixup"))
    found = judged(judge, {LEAK: replace(QUIET, training=mixes)})
    assert found.verdict is Verdict.PASS
    assert "`mixup` (Mixup)" in found.summary


def test_a_gradient_without_values_is_warned_of(judged) -> None:
    found = judged(judge, {LEAK: replace(QUIET, gradient=0.3)})
    assert found.verdict is Verdict.WARN
    assert "autograd" in found.advice[0]
    unknown = judged(judge, {LEAK: replace(QUIET, gradient=np.nan)})
    assert unknown.verdict is Verdict.PASS


def test_outputs_that_never_move_are_not_judged(judged) -> None:
    found = judged(judge, {LEAK: replace(QUIET, moved=np.zeros((3, 3)))})
    assert found.verdict is Verdict.NOT_APPLICABLE


def test_an_example_whose_own_outputs_turn_infinite_hides_no_other(judged) -> None:
    moved = QUIET.moved.copy()
    moved[0, 0], moved[2, 1] = np.inf, 0.5
    found = judged(judge, {LEAK: replace(QUIET, moved=moved)})
    assert found.verdict is Verdict.FAIL, found.summary
