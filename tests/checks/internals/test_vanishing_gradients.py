from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.vanishing_gradients import FRESH_TIME, GRADIENTS, TIME, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms
from auditor.observations.through_time import Reach, ThroughTime


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
            "Use `layer3.weight` in `forward`, or remove it or freeze it: it is saved and counted "
            'but never trained.\n```python\nmodel.get_parameter("layer3.weight")'
            ".requires_grad_(False)\n```",
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


def test_a_steady_fade_is_told_by_its_rate_and_shown_with_it(judged) -> None:
    found = judged(judge, {GRADIENTS: norms(0.2, 8)})
    assert "it keeps 0.2 of itself per layer" in found.summary
    assert "over 7 layers" in found.summary
    (rate,) = (m for m in found.metrics if m.name == "gradient kept per layer")
    assert rate.value == pytest.approx(0.2, rel=0.05)
    assert rate.low <= 0.2 * 1.02
    assert found.where[0].name == "layer0"
    names = [series.name for series in found.figures[0].series]
    assert names[0] == "at the layers' outputs"
    assert names[-1].startswith("fitted: times 0.2")


@pytest.mark.parametrize(("layers", "deep"), [(11, False), (12, True), (30, True)])
def test_a_steady_fade_over_many_layers_is_laid_to_their_number(judged, layers, deep) -> None:
    found = judged(judge, {GRADIENTS: norms(0.1, layers)})
    assert (f", over {layers - 1} layers" in found.where[0].note) is deep
    assert found.advice[0].startswith("Put a shortcut") is deep
    lost = edited(norms(layers=layers), "layer3.weight", 1e-7)
    found = judged(judge, {GRADIENTS: lost})
    assert not any("over" in place.note for place in found.where)


@pytest.mark.parametrize("place", [1, 7])
def test_a_single_layer_that_lets_little_through_is_named_wherever_it_is(judged, place) -> None:
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :place] *= 1e-4
    found = judged(judge, {GRADIENTS: replace(seen, activation_norms=flow)})
    assert found.verdict is Verdict.WARN
    assert [p.name for p in found.where] == [f"layer{place}"]
    assert f"between `layer{place - 1}` and it" in found.advice[0]


def test_a_starved_branch_warns_later_than_a_starved_model(judged) -> None:
    def branch(factor: float) -> GradientNorms:
        seen = norms(layers=4)
        flow = seen.activation_norms.copy()
        flow[:, 1] *= factor
        chain = (("layer0", "layer1"), ("layer0", "layer2"), ("layer1", "layer3"))
        return replace(seen, activation_norms=flow, edges=(*chain, ("layer2", "layer3")))

    assert judged(judge, {GRADIENTS: branch(1e-4)}).verdict is Verdict.PASS
    found = judged(judge, {GRADIENTS: branch(1e-7)})
    assert found.verdict is Verdict.WARN
    assert "a branch's gradient" in found.summary


def waiting(zero: str) -> GradientNorms:
    """Return a model in which `layer3` is all zero, and nothing gets past it."""
    seen = norms()
    flow = seen.activation_norms.copy()
    flow[:, :3] = 0
    weights = seen.weight_norms.copy()
    weights[seen.parameters.index(zero)] = 0
    homes = tuple(name.partition(".")[0] for name in seen.parameters)
    for i in range(3):
        seen = edited(seen, f"layer{i}.weight", 0.0)
    return replace(seen, activation_norms=flow, weight_norms=weights, homes=homes)


def test_weights_that_start_at_zero_are_waited_for(judged) -> None:
    found = judged(judge, {GRADIENTS: waiting("layer3.weight")})
    assert found.verdict is Verdict.INFO
    assert "3 weights get no gradient until weights that are all zero have moved" in found.summary
    # A bias of zero lets everything through, so it explains nothing.
    assert judged(judge, {GRADIENTS: waiting("layer3.bias")}).verdict is Verdict.FAIL
    still = edited(waiting("layer3.weight"), "layer3.weight", 0.0)
    assert judged(judge, {GRADIENTS: still}).verdict is Verdict.FAIL


def test_zeros_for_want_of_precision_are_no_dead_weights(judged) -> None:
    seen = edited(norms(), "layer3.weight", 0.0)
    half = judged(judge, {GRADIENTS: replace(seen, tiny=6e-5)})
    assert half.verdict is Verdict.INFO
    assert "precision" in half.summary
    assert "model.float()" in half.advice[0]
    assert judged(judge, {GRADIENTS: replace(seen, tiny=1.2e-38)}).verdict is Verdict.FAIL
    lost = replace(scaled(seen, 0.0), losses=np.full(16, 1e-36), tiny=1.2e-38)
    assert judged(judge, {GRADIENTS: lost}).verdict is Verdict.NOT_APPLICABLE


def test_a_gradient_that_fades_to_nothing_is_told_from_one_that_is_cut_off(judged) -> None:
    def cut(per_layer: float) -> GradientNorms:
        seen = norms(per_layer, 8)
        flow = seen.activation_norms.copy()
        flow[:, 0] = 0
        return edited(replace(seen, activation_norms=flow, tiny=1.2e-38), "layer0.weight", 0.0)

    assert "the gradient stops at `layer1`" in judged(judge, {GRADIENTS: cut(1e-3)}).summary
    found = judged(judge, {GRADIENTS: cut(1e-6)})
    assert found.verdict is Verdict.FAIL
    assert "fades away before it gets past `layer1`" in found.summary
    assert not any("detach" in line for line in found.advice)


def through(least: float, kind: str = "LSTM", steps: int = 200) -> ThroughTime:
    """Return a layer whose gradient falls by so many decades on its way back."""
    line = np.tile(np.linspace(-least, 0, 40), (4, 1)) + 0.01 * np.arange(4)[:, None]
    decades = np.full(4, -least) + 0.01 * np.arange(4)
    reach = Reach("rnn", kind, steps, line, decades, np.zeros(4), decades, np.full(4, 150.0))
    return ThroughTime((reach,), 4, 32, 1.0)


def test_a_fade_through_time_warns_only_where_fresh_weights_show_it_too(judged) -> None:
    def verdict(now: object, fresh: object) -> Verdict:
        return judged(judge, {GRADIENTS: norms(), TIME: now, FRESH_TIME: fresh}).verdict

    none = Unavailable("no factory")
    assert verdict(through(3), through(12)) is Verdict.PASS
    assert verdict(through(12), through(12)) is Verdict.WARN
    assert verdict(through(12), through(3)) is Verdict.PASS
    assert verdict(through(12), none) is Verdict.INFO
    assert verdict(none, none) is Verdict.PASS


def test_a_model_that_has_learnt_in_spite_of_a_fade_through_time_is_not_blamed(judged) -> None:
    for loss, verdict in ((0.51, Verdict.WARN), (0.49, Verdict.INFO)):
        now = replace(through(12), loss=loss)
        found = judged(judge, {GRADIENTS: norms(), TIME: now, FRESH_TIME: through(12)})
        assert found.verdict is verdict
        assert ("learnt without the early steps" in found.summary) is (loss < 0.5)


def test_a_fade_through_time_names_the_layer_the_rate_and_the_gates(judged) -> None:
    found = judged(judge, {GRADIENTS: norms(), TIME: through(12), FRESH_TIME: through(12)})
    assert [place.name for place in found.where] == ["rnn"]
    assert "Back through the 200 steps of `rnn`" in found.summary
    assert "0.832 times a step" in found.summary
    assert "forget gates" in found.advice[0]
    assert found.figures[-1].title == "Gradients through time"
    (metric,) = (m for m in found.metrics if m.name == "fade through time")
    assert metric.value == pytest.approx(1e12, rel=0.1)
    plain = through(12, "RNN")
    found = judged(judge, {GRADIENTS: norms(), TIME: plain, FRESH_TIME: plain})
    assert "`nn.LSTM` or `nn.GRU`" in found.advice[0]


def test_layers_that_explode_in_time_do_not_make_the_others_faint(judged) -> None:
    seen = replace(norms(layers=3), homes=tuple(f"layer{i}" for i in (0, 0, 1, 1, 2, 2)))
    seen = edited(seen, "layer2.weight", 1e-4)
    assert judged(judge, {GRADIENTS: seen}).verdict is Verdict.WARN
    line, late = np.tile(np.linspace(0, -4, 40), (4, 1)), np.full(4, -4.0)
    reaches = [
        Reach(f"layer{i}", "RNN", 50, line, np.zeros(4), late, late, np.full(4, 38.0))
        for i in (0, 1)
    ]
    time = ThroughTime(tuple(reaches), 4, 32, 1.0)
    found = judged(judge, {GRADIENTS: seen, TIME: time})
    assert found.verdict is Verdict.PASS, found.summary


def test_a_recurrent_weight_that_never_works_is_explained(judged) -> None:
    seen = norms()
    names = tuple(n.replace("layer3.weight", "rnn.weight_hh_l0_reverse") for n in seen.parameters)
    seen = edited(replace(seen, parameters=names), "rnn.weight_hh_l0_reverse", 0.0)
    found = judged(judge, {GRADIENTS: seen})
    assert found.verdict is Verdict.FAIL
    assert "`output[:, -1]`" in found.advice[0]
