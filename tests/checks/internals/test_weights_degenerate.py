import dataclasses
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.weights_degenerate import WEIGHTS, judge
from auditor.core.finding import Limit
from auditor.core.spectrum import random_spectrum
from auditor.core.verdict import Verdict
from auditor.observations.weight_faults import chance_of, duplicates_by_chance
from auditor.observations.weight_matrices import (
    Outlier,
    WeightMatrices,
    WeightMatrix,
    WeightVector,
)


def matrix(name: str = "fc.weight", units: int = 64, fan_in: int = 32, **changes: Any):
    sound = WeightMatrix(
        name=name, part="", kind="linear", shape=f"{units}x{fan_in}", units=units, fan_in=fan_in,
        groups=1, compared=units, beside=0, zero_units=0, constant_units=0, duplicates=0,
        opposites=0, tolerance=1e-6, dimension=min(units, fan_in) / 2, collision=0.0,
        zero_share=0.0, identical=False, one_value=False, columns_alike=False, as_built=False,
        trainable=True, finite=True, rms=0.1, outliers=(), biases=0, worst_bias=0.5,
        singular=0.1 * random_spectrum(units, fan_in), sketched=False, sketch=(units, fan_in),
    )  # fmt: skip
    return dataclasses.replace(sound, **changes)


def zero(name: str = "fc.weight", **changes: Any) -> WeightMatrix:
    nothing = {"rms": 0.0, "zero_units": 64, "zero_share": 1.0, "singular": np.zeros(32)}
    return matrix(name, **{**nothing, "compared": 0, "worst_bias": None, **changes})


def seen(*matrices: WeightMatrix, vectors: Any = (), left_out: Any = ()) -> dict:
    """Return the matrices between two sound ones, so that none is the first or the last."""
    around = (matrix("first.weight"), *matrices, matrix("last.weight"))
    return {WEIGHTS: WeightMatrices(around, vectors, left_out)}


def low(rank: int, **changes: Any) -> WeightMatrix:
    values = 0.1 * random_spectrum(64, 32)
    values[rank:] = 0.0
    return matrix(**{"singular": values, **changes})


def test_sound_weights_pass(judged) -> None:
    found = judged(judge, seen(matrix()))
    assert found.verdict is Verdict.PASS
    assert "192 units nothing is degenerate" in found.summary
    assert not found.where
    assert [figure.kind for figure in found.figures] == ["bars", "lines", "table", "table"]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.WARN),
        ({"as_built": True}, Verdict.PASS),
        ({"trainable": None}, Verdict.PASS),
        ({"trainable": False}, Verdict.PASS),
    ],
)
def test_a_weight_that_is_another_layers(judged, changes: dict[str, Any], verdict: Verdict) -> None:
    found = judged(judge, seen(matrix(copy_of="first.weight", **changes)))
    assert found.verdict is verdict
    assert "with all the values of another: fc.weight" in found.summary
    if verdict is Verdict.WARN:
        assert "has the values of first.weight, bit for bit" in found.advice[0]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"identical": True, "duplicates": 63}, Verdict.FAIL),
        ({"identical": True, "one_value": True, "duplicates": 63}, Verdict.FAIL),
        ({"duplicates": 63, "singular": np.eye(1, 32)[0]}, Verdict.FAIL),
        ({"identical": True, "groups": 64, "kind": "convolution"}, Verdict.WARN),
        ({"identical": True, "kind": "other"}, Verdict.WARN),
        ({"identical": True, "trainable": False, "as_built": True}, Verdict.PASS),
        ({"identical": True, "trainable": False, "as_built": False}, Verdict.FAIL),
        ({"identical": True, "fan_in": 1}, Verdict.PASS),
        ({"identical": True, "fan_in": 1, "one_value": True}, Verdict.FAIL),
        ({"columns_alike": True}, Verdict.WARN),
        ({"columns_alike": True, "fan_in": 2}, Verdict.PASS),
        ({"duplicates": 1}, Verdict.PASS),
        ({"duplicates": 1, "units": 16, "compared": 16}, Verdict.WARN),
        ({"duplicates": 3}, Verdict.PASS),
        ({"duplicates": 4}, Verdict.WARN),
        ({"duplicates": 20}, Verdict.FAIL),
        ({"duplicates": 20, "fan_in": 2}, Verdict.PASS),
        ({"duplicates": 20, "dimension": 1.2, "tolerance": 1e-3}, Verdict.PASS),
        ({"duplicates": 20, "collision": 0.9, "fan_in": 4}, Verdict.PASS),
        ({"duplicates": 20, "kind": "embedding"}, Verdict.PASS),
        ({"duplicates": 40, "kind": "embedding"}, Verdict.WARN),
        ({"duplicates": 64, "beside": 64}, Verdict.FAIL),
        ({"constant_units": 4}, Verdict.WARN),
        ({"constant_units": 30}, Verdict.FAIL),
        ({"constant_units": 30, "collision": 0.95, "fan_in": 4}, Verdict.PASS),
        ({"constant_units": 30, "kind": "embedding"}, Verdict.PASS),
        ({"zero_units": 16, "zero_share": 0.25}, Verdict.PASS),
        ({"zero_units": 17, "zero_share": 0.27}, Verdict.WARN),
        ({"zero_units": 33, "zero_share": 0.52}, Verdict.FAIL),
        ({"zero_units": 33, "zero_share": 0.52, "fan_in": 1}, Verdict.PASS),
        ({"zero_units": 33, "zero_share": 0.52, "kind": "embedding"}, Verdict.PASS),
        ({"biases": 15, "worst_bias": 500.0}, Verdict.PASS),
        ({"biases": 16, "worst_bias": 500.0}, Verdict.WARN),
        ({"biases": 32, "worst_bias": 500.0}, Verdict.FAIL),
        ({"biases": 1, "worst_bias": 900.0}, Verdict.PASS),
        ({"biases": 1, "worst_bias": 1100.0}, Verdict.WARN),
        ({"biases": 5, "worst_bias": 2e4}, Verdict.WARN),
    ],
)
def test_units(judged, changes: dict, verdict: Verdict) -> None:
    found = judged(judge, seen(matrix(**changes)))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert {place.name for place in found.where} == {"fc.weight"}
        assert any("`fc.weight`" in advice for advice in found.advice)


@pytest.mark.parametrize(
    ("rank", "changes", "verdict"),
    [
        (32, {}, Verdict.PASS),
        (8, {}, Verdict.PASS),
        (3, {}, Verdict.WARN),
        (3, {"built_rank": 20.0}, Verdict.WARN),
        (3, {"built_rank": 1.0}, Verdict.PASS),
        (1, {}, Verdict.FAIL),
        (1, {"kind": "embedding"}, Verdict.FAIL),
        (3, {"kind": "embedding"}, Verdict.WARN),
        (3, {"sketch": (64, 12), "singular": np.array([5.0, 4, 3, *[1e-3] * 9])}, Verdict.PASS),
        (3, {"sketch": (64, 12), "singular": np.array([5.0, *[1e-3] * 11])}, Verdict.FAIL),
    ],
)
def test_rank(judged, rank: int, changes: dict, verdict: Verdict) -> None:
    found = judged(judge, seen(low(rank, **changes)))
    assert found.verdict is verdict, found.summary


def test_an_exact_low_rank_of_four_or_more_looks_factorised(judged) -> None:
    wide = {"units": 256, "fan_in": 256, "sketch": (256, 256)}
    exact = matrix(**wide, singular=np.array([5.0, 4, 4, 4, 3, *[0.0] * 251]))
    found = judged(judge, seen(exact))
    assert found.verdict is Verdict.PASS
    assert "factorised on purpose: fc.weight" in found.summary
    smooth = dataclasses.replace(exact, singular=np.exp(-0.8 * np.arange(256)) + 1e-3)
    assert judged(judge, seen(smooth)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"as_built": False}, Verdict.FAIL),
        ({"as_built": None}, Verdict.WARN),
        ({"as_built": True}, Verdict.PASS),
        ({"as_built": None, "name": "q.lora_B.weight"}, Verdict.PASS),
        ({"as_built": False, "name": "q.lora_B.weight"}, Verdict.FAIL),
        ({"as_built": False, "kind": "other"}, Verdict.WARN),
    ],
)
def test_a_weight_of_zeros(judged, changes: dict, verdict: Verdict) -> None:
    found = judged(judge, seen(zero(**changes)))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.PASS:
        assert "meant to start" in found.summary


def test_two_weights_of_zeros_in_a_row_never_learn_however_they_start(judged) -> None:
    both = zero("a.weight", as_built=True), zero("b.weight", as_built=True)
    assert judged(judge, seen(*both)).verdict is Verdict.FAIL
    parts = zero("a.weight", as_built=True, part="key"), zero("a.weight", as_built=True, part="v")
    assert judged(judge, seen(*parts)).verdict is Verdict.PASS


def test_the_second_of_two_narrow_weights_may_start_at_zero(judged) -> None:
    down = matrix("down.weight", units=4, fan_in=64)
    up = zero("up.weight", units=64, fan_in=4, as_built=None)
    assert judged(judge, seen(down, up)).verdict is Verdict.PASS
    assert judged(judge, seen(matrix("a.weight"), up)).verdict is Verdict.WARN


def test_zeros_all_over_look_like_pruning(judged) -> None:
    cut = {"zero_units": 40, "zero_share": 0.62}
    one, two, three, four = (matrix(f"{name}.weight", **cut) for name in "abcd")
    found = judged(judge, seen(one, two, three, four))
    assert found.verdict is Verdict.PASS
    assert "looks like pruning" in found.summary
    assert judged(judge, seen(one)).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("value", "verdict"), [(60.0, Verdict.WARN), (-1e4, Verdict.FAIL), (1e38, Verdict.FAIL)]
)
def test_an_absurd_value_is_named(judged, value: float, verdict: Verdict) -> None:
    found = judged(judge, seen(matrix(outliers=(Outlier("[3, 1]", value, 1.0),))))
    assert found.verdict is verdict
    assert found.where[0].note.startswith(f"[3, 1] is {value:.3g}")
    bias = WeightVector("fc.bias", 64, False, 0.1, (Outlier("[5]", value * 1e4, 1.0),))
    found = judged(judge, seen(matrix(), vectors=(bias,)))
    assert found.where[0].name == "fc.bias"


def test_the_first_and_the_last_layer_may_have_large_biases(judged) -> None:
    drowned = matrix("d.weight", biases=64, worst_bias=500.0)
    sound = matrix("s.weight")
    for order in ((drowned, sound), (sound, drowned)):
        answer = {WEIGHTS: WeightMatrices(order, (), ())}
        assert judged(judge, answer).verdict is Verdict.PASS
    absurd = dataclasses.replace(drowned, worst_bias=2e4)
    answer = {WEIGHTS: WeightMatrices((absurd, sound), (), ())}
    assert judged(judge, answer).verdict is Verdict.FAIL


def test_two_rows_that_are_opposites_are_a_binary_softmax(judged) -> None:
    few = judged(judge, seen(matrix(duplicates=1)))
    assert "For information, with copied units: fc.weight" in few.summary
    two = {"units": 2, "compared": 2, "duplicates": 1, "singular": np.array([1.0, 0.0])}
    assert judged(judge, seen(matrix(**two, opposites=1))).verdict is Verdict.PASS
    assert judged(judge, seen(matrix(**two))).verdict is Verdict.WARN


def test_weights_not_finite_are_not_judged(judged) -> None:
    broken = matrix(finite=False, singular=np.zeros(0), rms=float("nan"))
    found = judged(judge, {WEIGHTS: WeightMatrices((broken,), (), ())})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "not finite" in found.summary
    found = judged(judge, {WEIGHTS: WeightMatrices((), (), ())})
    assert found.verdict is Verdict.NOT_APPLICABLE
    found = judged(judge, seen(broken))
    assert "Not looked at, for values that are not finite: fc.weight" in found.summary


def test_what_was_not_looked_at_is_told(judged) -> None:
    assert "for want of the model: table" in judged(judge, seen(left_out=("table",))).summary


def test_chance_is_bounded_and_shared_out(judged) -> None:
    assert chance_of(5, 5.0) == 1
    assert chance_of(3, 0.0) == 0
    assert chance_of(10, 1.0) == pytest.approx(np.exp(9) / 1e10)
    assert duplicates_by_chance(matrix(dimension=3.0)) == pytest.approx(2016 * 2e-6)
    assert duplicates_by_chance(matrix(groups=64)) == 0
    few = matrix(duplicates=4, dimension=2.4, compared=10, units=10, tolerance=1e-4)
    assert judged(judge, seen(few)).verdict is Verdict.FAIL
    others = [matrix(f"{i}.weight") for i in range(3000)]
    assert judged(judge, seen(few, *others)).verdict is Verdict.PASS


def test_of_many_layers_the_plot_shows_the_worst(judged) -> None:
    found = judged(judge, seen(*(matrix(f"{i}.weight") for i in range(60)), low(3)))
    assert len(found.figures[0].labels) == 40
    assert "fc.weight" in found.figures[0].labels
    assert len(found.figures[2].rows) == 63


def test_names_are_made_safe_and_limits_given(judged) -> None:
    found = judged(judge, seen(matrix("a\x1b[31m", duplicates=20)))
    assert "\x1b" not in found.summary + found.where[0].name + str(found.figures) + str(
        found.advice
    )
    loose = dict(judge.limits) | {"duplicates": Limit(warn=0.9)}
    assert judged(judge, seen(matrix(duplicates=20)), loose).verdict is Verdict.PASS
