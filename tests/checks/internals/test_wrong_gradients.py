import math
from dataclasses import replace

import pytest

from auditor.checks.internals.wrong_gradients import GRADIENTS, judge
from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from auditor.observations.culprits import Culprit, Sign
from auditor.observations.gradient_check import Checked, GradientCheck

DETACH = Sign("detach", "detach()", "net.py:7", "return x.detach()")
FUNCTION = Sign("function", "Square", "net.py:3")


def tensor(name: str = "a.weight", error: float = 1e-9, **changes: object) -> Checked:
    made = Checked(
        name=name,
        kind="parameter",
        elements=12,
        coordinates=4,
        probes=5,
        decided=5,
        kinks=0,
        error=error,
        analytic=1.0,
        numeric=1.0 - error,
        factor=math.nan,
        along=error,
    )
    return replace(made, **changes)


def seen(*tensors: Checked, **changes: object) -> GradientCheck:
    made = GradientCheck(
        tensors=tensors or (tensor(),),
        frozen=(),
        training=None,
        no_training="",
        forward=1e-15,
        no_forward="",
        culprits=(),
        loss=0.5,
        noise=1e-16,
        examples=2,
        passes=60,
    )
    return replace(made, **changes)


def culprit(kind: str = "wrong", *signs: Sign, **changes: object) -> Culprit:
    made = Culprit("body.1", "Odd", "module", kind, ("input",), 0.5, math.nan, True, False, False)
    return replace(made, signs=signs, **changes)


CUT = {"analytic": 0.0, "numeric": 0.3}


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (1e-9, Verdict.PASS),
        (9e-5, Verdict.PASS),
        (2e-4, Verdict.WARN),
        (9e-3, Verdict.WARN),
        (2e-2, Verdict.FAIL),
        (math.inf, Verdict.FAIL),
    ],
)
def test_cs231ns_scale(judged, error: float, verdict: Verdict) -> None:
    found = judged(judge, {GRADIENTS: seen(tensor(), tensor("b.weight", error))})
    assert found.verdict is verdict
    assert [place.name for place in found.where] == (
        [] if verdict is Verdict.PASS else ["b.weight"]
    )


def test_what_was_not_compared_is_told(judged) -> None:
    found = judged(judge, {GRADIENTS: seen(no_training="it would take too long")})
    assert "Training mode was not compared: it would take too long." in found.summary


def test_limits_can_be_others(judged) -> None:
    limits = {"relative_error": Limit(warn=1e-12, fail=1e-10)}
    assert judged(judge, {GRADIENTS: seen()}, limits).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("guilty", "verdict", "said"),
    [
        (culprit("wrong", FUNCTION), Verdict.FAIL, "custom function Square at net.py:3"),
        (culprit("scaled", FUNCTION, factor=0.5), Verdict.FAIL, "gives 0.5 times its gradient"),
        (culprit("scaled", FUNCTION, factor=-1.0), Verdict.FAIL, "the wrong sign"),
        (culprit("scaled", FUNCTION, factor=-1.0, identity=True), Verdict.WARN, "turns its"),
        (culprit("scaled", FUNCTION, factor=0.5, identity=True), Verdict.FAIL, "0.5 times"),
        (culprit("wrong", DETACH), Verdict.WARN, "detach() at net.py:7"),
        (culprit("wrong", DETACH, FUNCTION), Verdict.FAIL, "Square"),
        (culprit("cut", DETACH), Verdict.FAIL, "stops the gradient of its input"),
        (culprit("wrong", Sign("write", "mul_ through .data")), Verdict.FAIL, "mul_"),
        (culprit("surrogate", FUNCTION), Verdict.INFO, "is a step function"),
        (culprit("wrong", library=True), Verdict.INFO, "by design"),
        (culprit("wrong", FUNCTION, part="loss"), Verdict.FAIL, "The loss gives a wrong gradient"),
    ],
)
def test_kinds_are_told_apart(judged, guilty: Culprit, verdict: Verdict, said: str) -> None:
    found = judged(judge, {GRADIENTS: seen(tensor(error=0.5), culprits=(guilty,))})
    assert found.verdict is verdict
    assert said in found.summary
    assert found.where[0].name == ("loss" if guilty.part == "loss" else "body.1")


def test_a_part_that_is_meant_does_not_excuse_another(judged) -> None:
    both = (culprit("surrogate", FUNCTION), culprit("cut", DETACH, module="head"))
    found = judged(judge, {GRADIENTS: seen(tensor(error=0.5), culprits=both)})
    assert found.verdict is Verdict.FAIL
    assert "net.py:7" in " ".join(found.advice)


def test_a_tensor_without_any_gradient_is_no_partial_stop(judged) -> None:
    rows = (tensor(error=1.0, **CUT), tensor("b.weight", 0.5))
    found = judged(judge, {GRADIENTS: seen(*rows, culprits=(culprit("wrong", DETACH),))})
    assert found.verdict is Verdict.FAIL
    assert "requires_grad_(False)" in " ".join(found.advice)


def test_a_factor_and_its_sign_are_told(judged) -> None:
    found = judged(judge, {GRADIENTS: seen(tensor(error=2.0, factor=-1.0))})
    assert "a.weight (-1 times the derivative)" in found.summary
    assert "No module is wrong by itself" in found.summary
    assert any("gradcheck" in line for line in found.advice)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (tensor("input", 1.0, kind="input", **CUT), Verdict.INFO),
        (tensor("input", 0.5, kind="input"), Verdict.WARN),
    ],
)
def test_the_inputs_gradient_alone_fails_nothing(judged, row: Checked, verdict: Verdict) -> None:
    innocent = culprit("cut", DETACH, needed=False)
    found = judged(judge, {GRADIENTS: seen(tensor(), row, culprits=(innocent,))})
    assert found.verdict is verdict
    assert "training is unharmed" in found.summary


def test_what_no_trained_tensor_hangs_on_is_not_blamed(judged) -> None:
    both = (culprit("cut", DETACH, module="backbone", needed=False), culprit("wrong", FUNCTION))
    rows = (tensor(error=0.5), tensor("input", 1.0, kind="input", **CUT))
    found = judged(judge, {GRADIENTS: seen(*rows, culprits=both)})
    assert found.verdict is Verdict.FAIL
    assert "backbone" not in str(found)


def test_training_mode_alone(judged) -> None:
    training = tensor("all tensors, in training mode", 0.3)
    answer = seen(training=training, culprits=(culprit("wrong", FUNCTION),))
    found = judged(judge, {GRADIENTS: answer})
    assert found.verdict is Verdict.FAIL
    assert "in training mode they do not: relative error 0.3" in found.summary
    by_torch = replace(answer, culprits=(culprit("wrong", library=True),))
    assert judged(judge, {GRADIENTS: by_torch}).verdict is Verdict.INFO
    undecided = replace(answer, training=replace(training, decided=0, error=math.nan))
    assert judged(judge, {GRADIENTS: undecided}).verdict is Verdict.PASS


def test_a_backward_pass_that_raises(judged) -> None:
    edit = Sign("in_place", "add_", "net.py:9", "y += 1")
    guilty = culprit("raises", edit, said="RuntimeError: modified by an inplace operation")
    answer = seen(raised="RuntimeError: modified by an inplace operation", culprits=(guilty,))
    found = judged(judge, {GRADIENTS: replace(answer, tensors=())})
    assert found.verdict is Verdict.FAIL
    assert "raises in layer body.1 (Odd): RuntimeError: modified" in found.summary
    assert "`y += 1`" in found.advice[0]


def test_what_can_not_be_decided_does_not_pass(judged) -> None:
    nothing = {"decided": 0, "error": math.nan, "analytic": math.nan, "numeric": math.nan}
    found = judged(judge, {GRADIENTS: seen(tensor(**nothing, kinks=3))})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "on a kink (3 derivatives)" in found.summary
    rows = (tensor(), tensor("b", **nothing), tensor("c", **nothing))
    found = judged(judge, {GRADIENTS: seen(*rows)})
    assert found.verdict is Verdict.INFO
    assert "Undecided: b, c" in found.summary
    assert judged(judge, {GRADIENTS: seen(*rows[:2])}).verdict is Verdict.PASS


def test_groups_are_told(judged) -> None:
    found = judged(judge, {GRADIENTS: seen(tensor(group=7))})
    assert "up to 7 tensors moved together" in found.summary


def test_figures_show_the_worst_and_the_table_all(judged) -> None:
    rows = [tensor(f"t{n}", 0.0 if n else math.inf) for n in range(60)]
    bars, table = judged(judge, {GRADIENTS: seen(*rows)}).figures
    assert len(bars.labels) == 40
    assert "40 worst of 60 tensors" in bars.caption
    assert bars.marked[0]
    assert all(1e-10 <= value <= 2 for value in bars.values)
    assert len(table.rows) == 60


def test_says_that_fresh_weights_stood_in(judged) -> None:
    assert "a fresh model was looked at" in judged(judge, {GRADIENTS: seen(fresh=True)}).summary
    assert "fresh" not in judged(judge, {GRADIENTS: seen()}).summary
