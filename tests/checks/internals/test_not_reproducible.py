from dataclasses import replace

import pytest

from auditor.checks.internals.not_reproducible import ANSWERS, judge
from auditor.core.verdict import Verdict
from auditor.observations.culprit import Culprit, Difference
from auditor.observations.reproducibility import Reproducibility, Unsettled

SAME = Difference(0.0, 1e-9, 5)
NONE = Difference(float("nan"), 1e-9, missing="no input is a padded sequence")
STEADY = Reproducibility(
    examples=5,
    repeated=Difference(0.0, 1e-4, 5),
    identical=True,
    cause="",
    drawing=(),
    kept=(),
    alone=SAME,
    reordered=SAME,
    padded=NONE,
    training=SAME,
    widths=0,
    shape="",
    dropouts=2,
    norms=1,
    precision="float64",
)
BLAMED = Culprit("body.drop", "Dropout", functions=("dropout",))


def unsteady(cause: str, change: float = 0.3, culprit: Culprit | None = BLAMED) -> Reproducibility:
    return replace(
        STEADY,
        identical=False,
        cause=cause,
        repeated=Difference(change, 1e-4, 5, culprit),
        drawing=(BLAMED,) if cause in ("dropout", "random") else (),
        kept=("body.drop.mean",) if cause == "state" else (),
    )


def test_equal_answers_pass(judged) -> None:
    found = judged(judge, {ANSWERS: STEADY})
    assert found.verdict is Verdict.PASS
    assert "equal bit for bit" in found.summary
    assert "2 dropout layers and 1 batch norm apart" in found.summary


@pytest.mark.parametrize(
    ("cause", "change", "verdict", "word"),
    [
        ("dropout", 0.3, Verdict.FAIL, "Dropout is on in evaluation mode"),
        ("random", 0.3, Verdict.WARN, "draws random numbers"),
        ("state", 0.3, Verdict.FAIL, "What was asked before"),
        ("kernel", 1e-6, Verdict.PASS, "order in which sums"),
    ],
)
def test_each_cause_has_its_verdict(
    judged, cause: str, change: float, verdict: Verdict, word: str
) -> None:
    found = judged(judge, {ANSWERS: unsteady(cause, change)})
    assert found.verdict is verdict
    assert word in found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "body.drop"


def test_dropout_as_a_function_gets_another_advice(judged) -> None:
    assert "training mode" in judged(judge, {ANSWERS: unsteady("dropout")}).advice[0]
    block = Culprit("block", "Block", inner=True, functions=("dropout",))
    answers = replace(unsteady("dropout"), drawing=(block,))
    assert "training=self.training" in judged(judge, {ANSWERS: answers}).advice[0]


@pytest.mark.parametrize("name", ["alone", "reordered"])
@pytest.mark.parametrize(("change", "verdict"), [(9e-10, Verdict.PASS), (2e-9, Verdict.FAIL)])
def test_company_must_make_no_difference(
    judged, name: str, change: float, verdict: Verdict
) -> None:
    told = Difference(change, 1e-9, 3, Culprit("norm", "Norm") if change > 1e-9 else None)
    found = judged(judge, {ANSWERS: replace(STEADY, **{name: told})})
    assert found.verdict is verdict
    assert [place.name for place in found.where] == (["norm"] if change > 1e-9 else [])


def test_a_lost_dimension_is_told(judged) -> None:
    found = judged(judge, {ANSWERS: replace(STEADY, shape="[] instead of [1]")})
    assert found.verdict is Verdict.PASS
    assert "another shape, [] instead of [1]" in found.summary


def test_a_batch_that_can_not_be_taken_apart(judged) -> None:
    apart = replace(NONE, missing="nodes of a graph")
    found = judged(judge, {ANSWERS: replace(STEADY, alone=apart, reordered=apart)})
    assert found.verdict is Verdict.PASS
    assert "were not compared: nodes of a graph" in found.summary


@pytest.mark.parametrize(("widths", "verdict"), [(1, Verdict.PASS), (3, Verdict.WARN)])
def test_padding_is_a_fault_where_it_varies(judged, widths: int, verdict: Verdict) -> None:
    read = Difference(0.2, 1e-9, 1, Culprit("gru", "GRU"))
    found = judged(judge, {ANSWERS: replace(STEADY, padded=read, widths=widths)})
    assert found.verdict is verdict
    assert "Padding changes answers" in found.summary
    quiet = judged(judge, {ANSWERS: replace(STEADY, padded=SAME, widths=widths)})
    assert "Padding makes no difference" in quiet.summary


@pytest.mark.parametrize("kind", ["noise", "statistics", "activation", ""])
def test_training_mode_is_explained_or_warned_of(judged, kind: str) -> None:
    other = Difference(0.2, 1e-9, 5, Culprit("scale", "Scale"), kind=kind)
    found = judged(judge, {ANSWERS: replace(STEADY, training=other)})
    assert found.verdict is (Verdict.PASS if kind else Verdict.WARN)
    assert "`scale` (Scale)" in found.summary


def test_a_training_mode_that_raises_is_told(judged) -> None:
    found = judged(judge, {ANSWERS: replace(STEADY, training=replace(NONE, missing="it raised"))})
    assert found.verdict is Verdict.PASS
    assert "Training mode was not compared: it raised." in found.summary


def test_an_infinite_difference_can_be_written(judged) -> None:
    found = judged(judge, {ANSWERS: unsteady("state", float("inf"))})
    assert found.verdict is Verdict.FAIL
    assert "not finite" in found.summary


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        (1.0, Verdict.PASS),
        (1.45, Verdict.PASS),
        (1 / 1.45, Verdict.PASS),
        (1.6, Verdict.WARN),
        (1 / 1.6, Verdict.WARN),
        (120.0, Verdict.FAIL),
    ],
)
def test_weights_that_training_mode_changes_are_named(
    judged, times: float, verdict: Verdict
) -> None:
    computed = Unsettled("head", "weight", 1.0), Unsettled("body.0", "weight", times)
    found = judged(judge, {ANSWERS: replace(STEADY, unsettled=computed)})
    assert found.verdict is verdict
    if verdict is not Verdict.PASS:
        (place,) = found.where
        assert place.name == "body.0"
        assert "until a pass in training mode" in place.note
        assert ("large" if times > 1 else "small") in place.note
