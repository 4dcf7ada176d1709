from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.vanishing_gradients import GRADIENTS, judge
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms


def norms(
    per_layer: float = 1.0, layers: int = 8, batches: int = 16, noise: float = 0.3
) -> GradientNorms:
    """Return the norms of a stack in which each layer multiplies the gradient by `per_layer`."""
    rng = np.random.default_rng(0)
    scale = per_layer ** np.arange(layers)[::-1]
    jitter = np.exp(noise * rng.normal(size=(batches, 1)))
    names = tuple(f"layer{i}" for i in range(layers))
    return GradientNorms(
        tuple(f"{name}.{kind}" for name in names for kind in ("weight", "bias")),
        (2, 1) * layers,
        np.tile([5.0, 0.0], layers),
        np.repeat(scale, 2) * jitter,
        names,
        ("Linear",) * layers,
        scale * jitter * np.exp(0.1 * rng.normal(size=(batches, layers))),
        np.ones(batches),
        "train",
    )


def scaled(seen: GradientNorms, factor: float) -> GradientNorms:
    return replace(
        seen,
        parameter_norms=seen.parameter_norms * factor,
        activation_norms=seen.activation_norms * factor,
        losses=seen.losses * factor,
    )


def edited(seen: GradientNorms, name: str, value: float) -> GradientNorms:
    table = seen.parameter_norms.copy()
    table[:, seen.parameters.index(name)] = value
    return replace(seen, parameter_norms=table)


CASES = {
    "flat": (norms(), Verdict.PASS),
    "growing": (norms(3.0), Verdict.PASS),
    "ten a layer over three layers": (norms(0.1, 3), Verdict.PASS),
    "fades by 1e4": (norms(0.2, 8), Verdict.WARN),
    "fades by 1e7": (norms(0.05, 8), Verdict.FAIL),
    "one weight far below": (edited(norms(), "layer3.weight", 5e-4), Verdict.WARN),
    "one weight lost": (edited(norms(), "layer3.weight", 1e-7), Verdict.FAIL),
    "one weight exactly zero": (edited(norms(), "layer3.weight", 0.0), Verdict.FAIL),
    "one weight unused": (edited(norms(), "layer3.weight", np.nan), Verdict.WARN),
    "bias before batch norm": (edited(norms(), "layer3.bias", 0.0), Verdict.PASS),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("factor", [1.0, 1e-9, 1e6])
def test_verdict_whatever_the_scale_of_the_loss(judged, case: str, factor: float) -> None:
    seen, verdict = CASES[case]
    assert judged(judge, {GRADIENTS: scaled(seen, factor)}).verdict is verdict


def test_names_the_lost_weight(judged) -> None:
    found = judged(judge, {GRADIENTS: edited(norms(), "layer3.weight", 1e-7)})
    assert found.where[0].name == "layer3.weight"
    assert "`layer3.weight`" in found.summary


def test_says_where_the_gradient_stops(judged) -> None:
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :4] = 0
    seen = replace(seen, activation_norms=flow)
    for i in range(4):
        seen = edited(seen, f"layer{i}.weight", 0.0)
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict is Verdict.FAIL
    assert "4 weights" in found.summary
    assert "stops at `layer4`" in found.summary
    assert found.where[0].name == "layer4"
    assert "`layer4`" in found.advice[0]


def test_says_where_it_drops(judged) -> None:
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :5] *= 1e-6
    found = judged(judge, {GRADIENTS: replace(seen, activation_norms=flow)})
    assert found.verdict is Verdict.FAIL
    assert "most of it at `layer5`" in found.summary


def test_zero_everywhere(judged) -> None:
    seen = scaled(norms(), 0.0)
    assert judged(judge, {GRADIENTS: seen}).verdict is Verdict.NOT_APPLICABLE
    found = judged(judge, {GRADIENTS: replace(seen, losses=np.full(16, 0.69))})
    assert found.verdict is Verdict.FAIL
    assert "0.69" in found.summary


def test_detached(judged) -> None:
    seen = norms()
    seen = replace(seen, parameter_norms=np.full_like(seen.parameter_norms, np.nan))
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict is Verdict.FAIL
    assert "no gradient at all" in found.summary


def test_a_straddling_fade_does_not_fail(judged) -> None:
    seen = norms(0.18, 8, batches=3)
    flow = seen.activation_norms * np.geomspace(0.05, 20, 3)[:, None] ** np.linspace(1, 0, 8)
    found = judged(judge, {GRADIENTS: replace(seen, activation_norms=flow)})
    assert found.verdict is not Verdict.FAIL


def test_first_layers_that_ran_but_are_cut_off_fail(judged) -> None:
    seen = edited(norms(), norms().parameters[0], np.nan)
    found = judged(judge, {GRADIENTS: replace(seen, used=(True,) * len(seen.parameters))})
    assert found.verdict is Verdict.FAIL
    assert "detach()" in found.advice[0]


def test_a_later_weight_that_ran_but_is_cut_off_warns(judged) -> None:
    seen = edited(edited(norms(), "layer3.weight", np.nan), "layer5.weight", np.nan)
    used = tuple(name != "layer5.weight" for name in seen.parameters)
    found = judged(judge, {GRADIENTS: replace(seen, used=used)})
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["layer3.weight", "layer5.weight"]
    assert (
        "1 weight gets no gradient at all, though used in the forward pass: layer3.weight."
        in found.summary
    )
    assert "no gradient at all: layer5.weight." in found.summary
    assert "`layer3.weight`: `detach()`" in found.advice[0]
    assert found.advice[1].startswith("Use `layer5.weight` in `forward`")


def test_a_weight_whose_module_did_not_run_warns(judged) -> None:
    seen = edited(norms(), "layer3.weight", np.nan)
    idle = replace(seen, used=tuple(name != "layer3.weight" for name in seen.parameters))
    for unused in (seen, idle):
        found = judged(judge, {GRADIENTS: unused})
        assert found.verdict is Verdict.WARN
        assert found.advice == (
            "Use `layer3.weight` in `forward`, or remove it or set `requires_grad_(False)`: it is "
            "saved and counted but never trained.",
        )


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_weights_that_are_all_zero_or_not_finite_are_told_from_none(judged, value) -> None:
    found = judged(judge, {GRADIENTS: replace(norms(), weight_norms=np.full(16, value))})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "is zero or not finite" in found.summary
    found = judged(judge, {GRADIENTS: replace(norms(), dimensions=(1,) * 16)})
    assert "has no trainable weight" in found.summary


def test_what_could_not_be_measured_is_no_metric(judged) -> None:
    found = judged(judge, {GRADIENTS: norms(layers=1)})
    assert found.verdict is Verdict.PASS
    assert not [m for m in found.metrics if m.name.startswith("fade")]
    assert all(np.isfinite(m.value) for m in found.metrics)


@pytest.mark.parametrize(
    "seen",
    [
        norms(layers=1),
        norms(layers=2, batches=1),
        norms(batches=0),
        norms(layers=0),
        replace(norms(), parameter_norms=np.full((16, 16), np.inf)),
        replace(norms(), weight_norms=np.zeros(16)),
        replace(norms(), activation_norms=np.full((16, 8), np.nan)),
        scaled(norms(), 1e300),
    ],
)
def test_odd_input_neither_breaks_nor_alarms(judged, seen: GradientNorms) -> None:
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE)


def test_weights_seen_in_some_batches_only(judged) -> None:
    seen = norms()
    table = seen.parameter_norms.copy()
    table[::2, 0] = np.nan
    table[1::2, 4] = 0
    found = judged(judge, {GRADIENTS: replace(seen, parameter_norms=table)})
    assert found.verdict is Verdict.PASS
