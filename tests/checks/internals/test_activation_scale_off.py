from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.activation_scale_off import EVALUATION, TRAINING, VALIDATION, judge
from auditor.core.finding import Limit
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.activation_scale import STATISTICS, ActivationScale, LayerKind

HEALTHY = {
    "values": 1e4,
    "mean": 0.1,
    "variance": 1.0,
    "fourth": 3.0,
    "low": -4.0,
    "high": 4.0,
    "zeros": 0.0,
    "small": 0.0,
    "gone": 0.0,
    "across": 0.8,
    "given": 1.0,
    "given_across": 0.8,
}


def kind(name: str, **changes) -> LayerKind:
    plain = LayerKind(name, "Linear", True, False, False, False, True, False, "float32")
    return replace(plain, **changes)


def scale(*layers: dict, batches: int = 8, split: str = "val", noise: float = 0.01):
    """Return layers of the given statistics, `kind` among them, each varied a little by batch."""
    rng = np.random.default_rng(0)
    kinds, rows = [], np.zeros((batches, len(layers), len(STATISTICS)))
    for place, layer in enumerate(layers):
        numbers = HEALTHY | {k: v for k, v in layer.items() if k != "kind"}
        kinds.append(layer.get("kind", kind(f"l{place}")))
        factors = np.exp(noise * rng.standard_normal(batches))
        for column, name in enumerate(STATISTICS):
            power = {"variance": 2, "fourth": 4}.get(name, 1)
            varied = factors**power if name in ("variance", "fourth", "mean") else 1
            rows[:, place, column] = numbers[name] * varied
    return ActivationScale(
        tuple(kinds), rows, np.arange(batches), np.full(batches, 0.5), 32 * batches, split
    )


def sized(*deviations: float) -> tuple[dict, ...]:
    """Return layers of these deviations, one after the other, with a quiet model at their end."""
    hidden = [
        {
            "mean": 0.0,
            "variance": d**2,
            "given": (deviations[place - 1] if place else 1.0) ** 2,
            "high": 4 * d,
            "low": -4 * d,
        }
        for place, d in enumerate(deviations)
    ]
    return (*hidden, {"kind": kind("head", whole=True)}, WHOLE)


WHOLE = {"kind": kind("(model)", weighted=False, leaf=False, whole=True)}


def answers(main, evaluation=None, training=None) -> dict:
    absent = Unavailable("not here")
    return {VALIDATION: main, EVALUATION: evaluation or absent, TRAINING: training or absent}


def test_healthy_layers_pass_and_say_their_range(judged) -> None:
    found = judged(judge, answers(scale(*sized(1.0, 0.8, 1.2))))
    assert found.verdict is Verdict.PASS
    assert "training mode could not be looked at" in found.summary
    assert not found.where
    assert found.figures[-1].rows[0][0] == "l0"


@pytest.mark.parametrize(
    ("deviations", "verdict"),
    [
        ((1.0, 7.0, 49.0, 300.0), Verdict.PASS),
        ((1.0, 5.0, 50.0, 2e3), Verdict.WARN),
        ((1.0, 0.1, 1e-2, 1e-4), Verdict.WARN),
        ((1.0, 0.05, 1e-3, 1e-6), Verdict.FAIL),
        ((1.0, 0.5, 0.1, 0.01), Verdict.PASS),
    ],
)
def test_growth_and_decay_over_depth(judged, deviations, verdict) -> None:
    found = judged(judge, answers(scale(*sized(*deviations))))
    assert found.verdict is verdict, found.summary


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [(50, Verdict.PASS), (95, Verdict.PASS), (130, Verdict.WARN), (2e4, Verdict.FAIL)],
)
def test_the_gain_of_one_layer(judged, gain: float, verdict: Verdict) -> None:
    loud = {"variance": (20.0) ** 2, "mean": 0.0, "across": 0.8, "given": (20 / gain) ** 2}
    found = judged(judge, answers(scale({}, loud, {}, WHOLE)))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "l1"


def test_a_large_gain_of_sparse_inputs_is_none(judged) -> None:
    sparse = {"given": 1e-6}
    assert judged(judge, answers(scale(sparse, {}, WHOLE))).verdict is Verdict.PASS


def test_before_a_normalisation_the_scale_is_free_unless_it_does_nothing(judged) -> None:
    loud = {"variance": 400.0, "mean": 0.0, "across": 0.8, "given": 1e-2}
    before = loud | {"kind": kind("conv", normalised=True)}
    norm = {"kind": kind("norm", norm=True, weighted=False)}
    assert judged(judge, answers(scale(before, norm, {}, WHOLE))).verdict is Verdict.PASS
    idle = norm | {"variance": 400.0, "across": 0.8}
    found = judged(judge, answers(scale(before, idle, {}, WHOLE)))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "conv"


def test_layers_that_amplify_a_little_each(judged) -> None:
    found = judged(judge, answers(scale(*sized(10.0, 100.0, 900.0))))
    assert found.verdict is Verdict.WARN
    assert "3 layers amplify" in found.summary
    assert judged(judge, answers(scale(*sized(3.0, 9.0, 27.0)))).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("across", "normalised", "verdict"),
    [
        (0.03**2, False, Verdict.PASS),
        (0.01**2, False, Verdict.WARN),
        (0.01**2, True, Verdict.PASS),
        (1e-12, True, Verdict.FAIL),
        (0.0, False, Verdict.FAIL),
    ],
)
def test_a_layer_that_answers_alike(judged, across, normalised, verdict) -> None:
    flat = {"across": across, "kind": kind("flat", normalised=normalised)}
    found = judged(judge, answers(scale({}, flat, {}, WHOLE)))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "flat"


def test_a_constant_input_or_an_empty_branch_is_no_collapse(judged) -> None:
    constant = {"across": 0.0, "given_across": 0.0}
    assert judged(judge, answers(scale({}, constant, WHOLE))).verdict is Verdict.PASS
    empty = {
        "across": 0.0, "mean": 0.0, "variance": 0.0, "fourth": 0.0,
        "kind": kind("lora_b", empty=True),
    }  # fmt: skip
    found = judged(judge, answers(scale({}, empty, {}, WHOLE)))
    assert found.verdict is Verdict.PASS
    assert "The weights of lora_b are all zero" in found.summary


def test_a_blind_model_fails_even_without_a_single_culprit(judged) -> None:
    blind = WHOLE | {"across": 0.0}
    fading = [{"across": 10.0**-k, "given_across": 10.0 ** (1 - k)} for k in range(13)]
    found = judged(judge, answers(scale(*fading, blind)))
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "l10"
    assert "those of `l9` before it still do" in found.summary


def test_half_precision_loses_small_differences_and_runs_out_of_room(judged) -> None:
    fine = {"across": 0.003**2, "kind": kind("a", precision="bfloat16", whole=True)}
    assert judged(judge, answers(scale({}, fine, WHOLE))).verdict is Verdict.WARN
    single = {"across": 0.003**2, "kind": kind("a", whole=True)}
    assert judged(judge, answers(scale({}, single, WHOLE))).verdict is Verdict.PASS
    full = {"high": 4e4, "kind": kind("b", precision="float16")}
    found = judged(judge, answers(scale({}, full, {}, WHOLE)))
    assert found.verdict is Verdict.WARN
    assert "0.71 bits are left" in found.summary
    room = full | {"high": 3e4}
    assert judged(judge, answers(scale({}, room, {}, WHOLE))).verdict is Verdict.PASS
    huge = {"high": 1e6}
    found = judged(judge, answers(scale({}, huge, {}, WHOLE)))
    assert found.verdict is Verdict.PASS
    assert "In float16 `l1` would overflow" in found.summary


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [
        (1.4, Verdict.PASS),
        (2.95, Verdict.PASS),
        (4.0, Verdict.WARN),
        (0.2, Verdict.WARN),
        (12.0, Verdict.FAIL),
        (0.05, Verdict.FAIL),
    ],
)
def test_training_against_evaluation(judged, factor: float, verdict: Verdict) -> None:
    main = scale(*sized(1.0, 1.0))
    training = scale(*sized(1.0, factor), split="train")
    found = judged(judge, answers(main, scale(*sized(1.0, 1.0), split="train"), training))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.where[0].name == "l1"
        assert "on the same batches" in found.summary


def test_modes_that_differ_from_batch_to_batch_decide_nothing(judged) -> None:
    main = scale(*sized(1.0, 1.0))
    training = scale(*sized(1.0, 4.0), split="train", noise=1.5, batches=3)
    found = judged(judge, answers(main, scale(*sized(1.0, 1.0), batches=3), training))
    assert found.verdict is Verdict.PASS


def test_nothing_to_look_at(judged) -> None:
    assert judged(judge, answers(scale())).verdict is Verdict.NOT_APPLICABLE
    bad = {"mean": np.nan, "variance": np.nan}
    found = judged(judge, answers(scale(bad)))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "finite" in found.summary


def test_limits_can_be_given_and_names_are_made_safe(judged) -> None:
    strict = dict(judge.limits) | {"gain": Limit(warn=2.0)}
    loud = {"variance": 400.0, "mean": 0.0, "across": 0.8, "given": 25.0}
    named = loud | {"kind": kind("a\x1b[31m")}
    found = judged(judge, answers(scale({}, named, {}, WHOLE)), strict)
    assert found.verdict is Verdict.WARN
    assert "\x1b" not in found.summary + found.where[0].name + str(found.figures)


@pytest.mark.parametrize("factor", [0.02, 1.0, 50.0])
def test_a_single_batch_warns_at_most(judged, factor: float) -> None:
    one = scale(*sized(1.0, 0.8, 1.2), batches=1)
    other = scale(*sized(factor, 0.8 * factor, 1.2 * factor), batches=1, split="train")
    found = judged(judge, answers(one, one, other))
    assert found.verdict is (Verdict.PASS if factor == 1 else Verdict.WARN), found.summary


def test_a_single_batch_of_loud_layers_is_not_passed(judged) -> None:
    assert judged(judge, answers(scale(*sized(500.0), batches=1))).verdict is Verdict.WARN
    assert judged(judge, answers(scale(*sized(20.0, 200.0), batches=2))).verdict is Verdict.WARN


def test_very_many_layers_are_drawn_in_groups_and_listed_worst_first(judged) -> None:
    deviations = [1.0] * 400
    deviations[123] = 40.0
    found = judged(judge, answers(scale(*sized(*deviations))))
    drawn, table = found.figures
    assert len(drawn.x_names) == len(drawn.series[0].x) == 40
    assert "402 layers" in drawn.caption
    # The tall one is within its group's band, and at the head of the table.
    assert max(drawn.series[0].high) == pytest.approx(40, rel=0.1)
    assert table.rows[0][0] == "l123"
    assert len(table.rows) == 402
