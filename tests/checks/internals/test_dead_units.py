from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.dead_units import ACTIVITY, FRESH, TRAINING, judge
from auditor.core.finding import Limit
from auditor.core.verdict import Verdict
from auditor.observations.activity import LayerActivity, UnitActivity
from auditor.observations.fresh_activity import FreshActivity


def layer(name: str, dead: int, units: int) -> LayerActivity:
    return LayerActivity(name, "ReLU", np.arange(units) >= dead)


def seen(*layers: LayerActivity, examples: int = 500) -> dict:
    return {ACTIVITY: UnitActivity(layers, examples, "val")}


@pytest.mark.parametrize(
    ("dead", "units", "verdict"),
    [
        (0, 100, Verdict.PASS),
        (5, 100, Verdict.PASS),
        (12, 100, Verdict.PASS),
        (20, 100, Verdict.PASS),
        (25, 100, Verdict.PASS),
        (26, 100, Verdict.WARN),
        (50, 100, Verdict.WARN),
        (51, 100, Verdict.FAIL),
        (100, 100, Verdict.FAIL),
        (1, 4, Verdict.PASS),
        (1, 2, Verdict.PASS),
        (2, 10, Verdict.PASS),
        (2, 4, Verdict.WARN),
        (3, 4, Verdict.WARN),
        (5, 8, Verdict.FAIL),
        (4, 4, Verdict.FAIL),
        (1, 1, Verdict.FAIL),
    ],
)
def test_share_in_one_layer(judged, dead: int, units: int, verdict: Verdict) -> None:
    full = layer("b", 0, 400)
    assert judged(judge, seen(layer("a", dead, units), full)).verdict is verdict


def test_names_the_worst_layer_first_and_the_numbers(judged) -> None:
    found = judged(judge, seen(layer("a", 30, 100), layer("b", 80, 100), layer("c", 0, 100)))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["b", "a"]
    assert found.where[0].note == "80 of 100 units"
    assert "110 of 300" in found.summary
    assert "`b` with 80 of 100" in found.summary


def test_a_whole_dead_layer_comes_first_however_small(judged) -> None:
    found = judged(judge, seen(layer("big", 90, 100), layer("small", 2, 2)))
    assert found.where[0].name == "small"
    assert "No unit of `small` fires" in found.summary


def test_few_examples_decide_nothing(judged) -> None:
    found = judged(judge, seen(layer("a", 40, 100), examples=50))
    assert found.verdict is Verdict.INFO
    assert "99" in found.summary
    assert judged(judge, seen(layer("a", 9, 9), examples=50)).verdict is Verdict.FAIL
    assert judged(judge, seen(layer("a", 9, 9), examples=3)).verdict is Verdict.INFO
    assert judged(judge, seen(layer("a", 9, 9), examples=0)).verdict is Verdict.INFO


@pytest.mark.parametrize("examples", [1, 50])
def test_where_every_unit_fired_few_examples_decide(judged, examples: int) -> None:
    found = judged(judge, seen(layer("a", 0, 100), examples=examples))
    assert found.verdict is Verdict.PASS
    assert judged(judge, seen(layer("a", 0, 100), examples=0)).verdict is Verdict.INFO


def test_where_tells_only_of_layers_beyond_their_limit(judged) -> None:
    found = judged(judge, seen(layer("a", 5, 100), layer("b", 80, 100), layer("c", 1, 100)))
    assert [place.name for place in found.where] == ["b"]
    assert found.figures[0].values == (0.05, 0.8, 0.01)
    assert found.figures[0].marked == (False, True, False)
    assert not judged(judge, seen(layer("a", 5, 100), layer("b", 8, 100))).where


def test_where_only_the_overall_share_is_beyond_all_dead_layers_are_told(judged) -> None:
    found = judged(judge, seen(layer("a", 24, 100), layer("b", 22, 100), layer("c", 0, 1)))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["a", "b"]


def test_no_rectifiers(judged) -> None:
    found = judged(judge, seen())
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "No rectifying layer (ReLU and its kin) was seen in the model" in found.summary
    assert judged(judge, seen(layer("empty", 0, 0))).verdict is Verdict.NOT_APPLICABLE


def test_the_bound_on_what_a_dead_unit_may_do(judged) -> None:
    found = judged(judge, seen(layer("a", 1, 10), examples=1000))
    bound = next(m for m in found.metrics if "at most" in m.name)
    assert bound.value == pytest.approx(0.003, rel=0.01)


def test_limits_can_be_given(judged) -> None:
    strict = dict(judge.limits) | {"worst_dead_share": Limit(warn=0.01, fail=0.02)}
    assert judged(judge, seen(layer("a", 12, 100)), strict).verdict is Verdict.FAIL


def test_names_are_made_safe(judged) -> None:
    found = judged(judge, seen(layer("a\x1b[31m", 90, 100)))
    assert "\x1b" not in found.summary + found.where[0].name + str(found.figures)


def held(dead: int, units: int, bias: float, peak: float, **changes) -> LayerActivity:
    fired = np.arange(units) >= dead
    peaks = np.where(fired, np.nan, peak)
    full = {"peak": peaks, "lowest": peaks, "producer": "fc", "bias": np.full(units, bias)}
    return LayerActivity("act", "ReLU", fired, **(full | changes))


@pytest.mark.parametrize(
    ("bias", "peak", "said", "parameter"),
    [
        (-10.0, -7.0, "`act` is the bias: `fc.bias` is -10", True),
        (-10.0, -10.0, "adds exactly nothing to its bias for 60", False),
        (-0.1, -2.0, "the weights of `fc`", False),
        (0.5, -2.0, "the weights of `fc`", False),
    ],
)
def test_the_cause_of_dead_units(judged, bias, peak, said, parameter) -> None:
    found = judged(judge, seen(held(60, 100, bias, peak)))
    assert found.verdict is Verdict.FAIL
    assert said in found.summary
    assert any(place.name == "fc.bias" for place in found.where) is parameter


def test_units_that_are_only_ever_pushed_down_are_not_starved(judged) -> None:
    """Where inputs are never negative and weights never positive the most they add is nothing."""
    found = judged(judge, seen(held(60, 100, -0.1, -0.1, lowest=np.full(100, -3.0))))
    assert "the weights of `fc`" in found.summary


def test_a_running_mean_beyond_all_inputs_is_the_cause(judged) -> None:
    found = judged(judge, seen(held(60, 100, 0.1, -2.0, normed=True)))
    assert "`fc`: what it is given never comes past its running mean" in found.summary
    assert "update_bn(train_loader, model)" in found.advice[0]
    usual = judged(judge, seen(held(60, 100, -3.0, -0.5, normed=True)))
    assert "`fc.bias` is -3" in usual.summary


def test_where_the_cause_is_not_seen_none_is_named(judged) -> None:
    found = judged(judge, seen(replace(held(60, 100, -10.0, -7.0), producer="", bias=np.zeros(0))))
    assert [place.kind for place in found.where] == ["layer"]
    assert "bias" not in found.summary


def test_a_smooth_unit_is_held_below_its_level(judged) -> None:
    gelu = held(60, 100, -10.0, -8.0, smooth=True, level=-3.06)
    found = judged(judge, seen(gelu))
    assert "stayed in their flat part" in found.summary
    assert "all 60 would fire" in found.summary


@pytest.mark.parametrize(
    ("alive_in_training", "verdict"), [(0, Verdict.FAIL), (15, Verdict.FAIL), (50, Verdict.WARN)]
)
def test_units_that_fire_in_training_do_not_fail(judged, alive_in_training, verdict) -> None:
    val = layer("a", 60, 100)
    train = LayerActivity("a", "ReLU", np.arange(100) >= 60 - alive_in_training)
    answers = seen(val) | {TRAINING: UnitActivity((train,), 900, "train")}
    found = judged(judge, answers)
    assert found.verdict is verdict
    silent = next(m for m in found.metrics if "fire in training" in m.name)
    assert silent.value == alive_in_training
    if alive_in_training == 50:
        assert "50 of the 60 units fire in training" in found.summary
        assert "Prepare validation data as training data" in found.advice[0]


def test_units_that_fire_in_validation_alone_are_counted(judged) -> None:
    train = UnitActivity((layer("a", 7, 100),), 900, "train")
    found = judged(judge, seen(layer("a", 2, 100)) | {TRAINING: train})
    assert found.verdict is Verdict.PASS
    assert next(m for m in found.metrics if "never in training" in m.name).value == 5


def test_beyond_forty_layers_the_worst_are_shown(judged) -> None:
    layers = [layer(f"l{i}", i % 3, 100) for i in range(60)]
    found = judged(judge, seen(*layers))
    assert len(found.figures[0].labels) == 40
    assert "40 worst of 60 layers" in found.figures[0].caption


def test_of_very_many_layers_the_worst_are_told(judged) -> None:
    half = np.arange(20) < 10
    layers = [LayerActivity(f"relu{place}", "ReLU", half) for place in range(1000)]
    found = judged(judge, {ACTIVITY: UnitActivity(tuple(layers), 200, "val")})
    assert found.verdict is Verdict.FAIL
    assert len(found.where) == 40
    assert len(found.figures[0].labels) == 40


def beside_fresh(dead: int, units: int, *fresh: int) -> dict:
    """Return a layer among nine sound ones, and fresh models with so many dead units in it."""
    sound = [layer(f"sound {i}", 0, 200) for i in range(9)]
    models = (UnitActivity((layer("a", n, units), *sound), 500, "val") for n in fresh)
    return seen(layer("a", dead, units), *sound) | {FRESH: FreshActivity(tuple(models))}


@pytest.mark.parametrize(
    ("dead", "units", "fresh", "verdict", "said"),
    [
        (32, 100, (30, 25, 35), Verdict.INFO, "25 to 35 of 100 such units in `a`: it is built so"),
        (15, 40, (9, 7, 8), Verdict.INFO, "whether training killed any is not certain"),
        (32, 100, (2, 0, 5), Verdict.WARN, ""),
        (32, 100, (12, 12, 12), Verdict.WARN, ""),
        (32, 100, (), Verdict.WARN, ""),
        (60, 100, (55, 50, 60), Verdict.WARN, "training did not kill them"),
        (60, 100, (30, 30, 30), Verdict.FAIL, ""),
        (100, 100, (100, 100, 100), Verdict.FAIL, "100 of 100 such units in `a`: it is built so"),
        (20, 100, (0, 0, 0), Verdict.PASS, ""),
    ],
)
def test_units_that_are_dead_from_the_start(judged, dead, units, fresh, verdict, said) -> None:
    found = judged(judge, beside_fresh(dead, units, *fresh))
    assert found.verdict is verdict, found.summary
    assert said in found.summary if said else "Fresh models" not in found.summary
    assert bool(found.where) is (verdict in (Verdict.WARN, Verdict.FAIL))


def test_dead_units_of_all_layers_beside_those_of_fresh_models(judged) -> None:
    own = (layer("a", 22, 100), layer("b", 22, 100))
    alike = FreshActivity((UnitActivity((layer("a", 24, 100), layer("b", 21, 100)), 500, "val"),))
    fewer = FreshActivity((UnitActivity((layer("a", 4, 100), layer("b", 1, 100)), 500, "val"),))
    assert judged(judge, seen(*own) | {FRESH: alike}).verdict is Verdict.INFO
    assert judged(judge, seen(*own) | {FRESH: fewer}).verdict is Verdict.WARN
