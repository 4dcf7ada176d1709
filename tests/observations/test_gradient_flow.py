"""Rates, jumps and sudden steps, against what was put in."""

import numpy as np
import pytest

from auditor.observations.gradient_flow import (
    change,
    fitted,
    flow_of,
    in_words,
    jump,
    lost_on_the_way,
    rate_of,
    steps_of,
    sudden,
)
from auditor.observations.gradients import GradientNorms


def made(
    flow: np.ndarray,
    edges: tuple[tuple[str, str], ...] = (),
    depths: tuple[int, ...] = (),
    weighted: tuple[bool, ...] = (),
) -> GradientNorms:
    names = tuple("abcdefghijklmnop"[: flow.shape[1]])
    return GradientNorms(
        tuple(f"{n}.weight" for n in names),
        (2,) * len(names),
        np.full(len(names), 2.0),
        flow * 6.0,
        names,
        ("Linear",) * len(names),
        flow,
        np.ones(len(flow)),
        "train",
        homes=names,
        weighted=weighted,
        depths=depths,
        edges=edges,
    )


@pytest.mark.parametrize("per_layer", [0.62, 1.0, 1.8])
def test_the_rate_is_found_within_its_interval(per_layer: float) -> None:
    rng = np.random.default_rng(0)
    depth = np.arange(30.0)
    hits = 0
    for _ in range(40):
        slopes = np.log(per_layer) + 0.02 * rng.normal(size=(12, 1))
        values = np.exp(-slopes * depth + 0.05 * rng.normal(size=(12, 30)))
        values[:, 7] *= 1e-3  # A layer out of line does not move it.
        rate = rate_of(values, depth)
        assert rate is not None
        assert rate.factor == pytest.approx(per_layer, rel=0.05)
        assert rate.layers == 29
        hits += rate.low <= per_layer <= rate.high
    assert hits >= 34


def test_no_rate_without_two_depths_and_no_interval_of_one_batch() -> None:
    assert rate_of(np.ones((3, 4)), np.ones(4)) is None
    assert rate_of(np.zeros((3, 4)), np.arange(4.0)) is None
    assert rate_of(np.zeros((0, 4)), np.arange(4.0)) is None
    rate = rate_of(np.geomspace(1, 8, 4)[None], np.arange(4.0))
    assert rate is not None
    assert (rate.low, rate.high) == (0.0, pytest.approx(np.exp(700)))
    assert rate.factor == pytest.approx(0.5)


def test_a_thousand_layers_are_fitted_by_some_of_them() -> None:
    rate = rate_of(np.geomspace(1e-30, 1, 1000)[None].repeat(4, axis=0), np.arange(1000.0))
    assert rate is not None
    assert rate.factor == pytest.approx(10 ** (-30 / 999))
    assert in_words(rate, "shrinks").startswith(": it keeps 0.933 of itself per layer")


def test_layers_stand_by_depth_and_not_by_execution() -> None:
    # The branch b c runs before d, which stands beside b.
    flow = np.array([[1.0, 2.0, 3.0, 2.0, 4.0]])
    seen = flow_of(made(flow, depths=(1, 2, 3, 2, 4), weighted=(True,) * 5))
    assert seen.names == ("a", "b", "d", "c", "e")
    assert seen.outputs[0].tolist() == [1.0, 2.0, 2.0, 3.0, 4.0]
    np.testing.assert_allclose(seen.weights, seen.outputs * 3.0)
    assert change(seen)[0] == pytest.approx(0.25)
    (line,) = fitted(seen)
    assert line.values[0, 1] == line.values[0, 2]


def test_layers_without_weights_are_left_out_where_there_are_others() -> None:
    flow = np.array([[1.0, 9.0, 2.0, 9.0]])
    assert flow_of(made(flow, weighted=(True, False, True, False))).names == ("a", "c")
    assert flow_of(made(flow, weighted=(False, False, True, False))).names == ("a", "b", "c", "d")


def test_one_step_is_told_from_a_steady_change() -> None:
    steady = made(10.0 ** np.arange(-9.0, 1.0)[None])
    assert jump(steps_of(steady), 1e-9) is None
    flow = np.ones((3, 10))
    flow[:, :6] = 1e-4
    found = jump(steps_of(made(flow)), 1e-4)
    assert found is not None
    assert (found.before, found.layer) == ("f", "g")
    assert found.factor == pytest.approx(1e-4)
    assert lost_on_the_way(steps_of(made(flow)), "b", 1e4) == found
    assert lost_on_the_way(steps_of(made(flow)), "h", 1e4) is None
    assert jump(steps_of(made(np.ones((2, 5)))), 0.9) is None


def test_a_branch_is_told_from_the_whole() -> None:
    # a -> b -> d and a -> c -> d: only the branch b is starved.
    edges = (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"))
    flow = np.array([[1.0, 1e-6, 1.0, 1.0]] * 3)
    (step,) = sudden(made(flow, edges), steps_of(made(flow, edges)), 1e3)
    assert (step.before, step.layer, step.all_of_it) == ("b", "d", False)
    flow = np.array([[1e-6, 1e-6, 1e-6, 1.0]] * 3)
    found = sudden(made(flow, edges), steps_of(made(flow, edges)), 1e3)
    assert {(step.before, step.layer) for step in found} == {("b", "d"), ("c", "d")}
    assert all(step.all_of_it and step.low <= 1e-6 * 1.001 for step in found)
    flow = np.array([[1e6, 1e6, 1e6, 1.0]] * 3)
    assert all(s.all_of_it for s in sudden(made(flow, edges), steps_of(made(flow, edges)), 1e3))
