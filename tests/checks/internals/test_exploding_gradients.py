from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.exploding_gradients import GRADIENTS, TIME, judge
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms
from auditor.observations.through_time import Reach, ThroughTime


def norms(per_layer: float = 1.0, layers: int = 8, batches: int = 16) -> GradientNorms:
    rng = np.random.default_rng(0)
    scale = per_layer ** np.arange(layers)[::-1]
    jitter = np.exp(0.3 * rng.normal(size=(batches, 1)))
    names = tuple(f"layer{i}" for i in range(layers))
    return GradientNorms(
        tuple(f"{name}.weight" for name in names),
        (2,) * layers,
        np.ones(layers),
        scale * jitter,
        names,
        ("Linear",) * layers,
        scale * jitter,
        np.ones(batches),
        "train",
    )


def with_batch(seen: GradientNorms, gradient: float, loss: float) -> GradientNorms:
    """Return `seen` with one batch whose gradient and loss are so many times the others'."""
    factor = np.ones((len(seen.losses), 1))
    factor[5] = gradient
    losses = seen.losses.copy()
    losses[5] *= loss
    return replace(
        seen,
        parameter_norms=seen.parameter_norms * factor,
        activation_norms=seen.activation_norms * factor,
        losses=losses,
    )


def scaled(seen: GradientNorms, factor: float) -> GradientNorms:
    return replace(
        seen,
        parameter_norms=seen.parameter_norms * factor,
        activation_norms=seen.activation_norms * factor,
        losses=seen.losses * factor,
    )


CASES = {
    "flat": (norms(), Verdict.PASS),
    "fading": (norms(0.1), Verdict.PASS),
    "two a layer": (norms(2.0), Verdict.PASS),
    "1e4": (norms(5.0), Verdict.WARN),
    "1e7": (norms(20.0), Verdict.FAIL),
    "a hard batch": (with_batch(norms(), 1e4, 1e4), Verdict.PASS),
    "a cliff": (with_batch(norms(), 1e4, 1.0), Verdict.WARN),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e6])
def test_verdict_whatever_the_scale_of_the_loss(judged, case: str, factor: float) -> None:
    seen, verdict = CASES[case]
    assert judged(judge, {GRADIENTS: scaled(seen, factor)}).verdict is verdict


def test_names_the_layer_where_it_grows(judged) -> None:
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :5] *= 1e7
    flow[:, :4] *= 1.1
    found = judged(judge, {GRADIENTS: replace(seen, activation_norms=flow)})
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "layer5"
    assert "clip_grad_norm_" in found.advice[0]


def test_names_the_batch(judged) -> None:
    assert "Batch 5" in judged(judge, {GRADIENTS: with_batch(norms(), 1e4, 1.0)}).summary


def test_names_the_batch_that_leaps_and_not_a_hard_one(judged) -> None:
    seen = with_batch(norms(), 1e4, 1.0)
    factor = np.ones((16, 1))
    factor[9] = 1e6
    losses = seen.losses.copy()
    losses[9] *= 1e6
    seen = replace(seen, parameter_norms=seen.parameter_norms * factor, losses=losses)
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict is Verdict.WARN
    assert "Batch 5 has a gradient" in found.summary


def test_says_how_large_the_largest_gradient_is(judged) -> None:
    found = judged(judge, {GRADIENTS: norms()})
    assert "The largest gradient of a batch is" in found.summary
    assert "times the median batch's." in found.summary


def test_not_finite_fails_and_names_the_weights(judged) -> None:
    seen = norms()
    table = seen.parameter_norms.copy()
    table[2:4, 1] = np.inf
    found = judged(judge, {GRADIENTS: replace(seen, parameter_norms=table)})
    assert found.verdict is Verdict.FAIL
    assert "2 of 16 batches" in found.summary
    assert [place.name for place in found.where] == ["layer1.weight"]


@pytest.mark.parametrize(
    "seen",
    [
        norms(layers=1),
        norms(layers=1, batches=1),
        norms(layers=2, batches=1),
        norms(batches=0),
        norms(layers=0),
        scaled(norms(), 0.0),
        scaled(norms(), 1e300),
        replace(norms(), losses=np.full(16, np.nan)),
        replace(norms(), activation_norms=np.full((16, 8), np.nan)),
        replace(norms(), parameter_norms=np.full((16, 8), np.nan)),
    ],
)
def test_odd_input_neither_breaks_nor_alarms(judged, seen: GradientNorms) -> None:
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)


def test_a_steady_growth_is_told_by_its_rate(judged) -> None:
    found = judged(judge, {GRADIENTS: norms(20.0)})
    assert "it is multiplied by 20 per layer" in found.summary
    assert found.where[0].name == "layer0"
    (rate,) = (m for m in found.metrics if m.name == "growth per layer towards the input")
    assert rate.value == pytest.approx(20.0)


@pytest.mark.parametrize("place", [1, 7])
def test_a_single_layer_is_named_wherever_it_is(judged, place: int) -> None:
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :place] *= 1e7
    found = judged(judge, {GRADIENTS: replace(seen, activation_norms=flow)})
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == f"layer{place}"


@pytest.mark.parametrize(
    ("decades", "verdict"), [(1.0, Verdict.PASS), (4.0, Verdict.WARN), (9.0, Verdict.FAIL)]
)
def test_growth_through_time(judged, decades: float, verdict: Verdict) -> None:
    late = np.full(4, -decades) + 0.01 * np.arange(4)
    line = np.tile(np.linspace(0, -decades, 40), (4, 1))
    reach = Reach("rnn", "RNN", 50, line, np.zeros(4), late, late, np.full(4, 38.0))
    found = judged(judge, {GRADIENTS: norms(), TIME: ThroughTime((reach,), 4, 32, 1.0)})
    assert found.verdict is verdict
    assert ("rnn" in [place.name for place in found.where]) is (verdict is not Verdict.PASS)
    both = ThroughTime((replace(reach, both_ways=True),), 4, 32, 1.0)
    assert judged(judge, {GRADIENTS: norms(), TIME: both}).verdict is Verdict.PASS
