from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.internals.damaged_layer import ORDERS, REPAIRS, judge
from auditor.core.verdict import Verdict
from auditor.observations.gate_orders import GateOrders
from auditor.observations.layer_repair import LayerRepairs

RNG = np.random.default_rng(0)
NOISE = RNG.gamma(4, 0.25, (5, 200))
NOISE /= NOISE.mean(axis=1, keepdims=True)


def told(before=3.0, after=(2.0, 0.1, 1.5), fresh=1.0, **changes):
    """The losses that training each of three layers anew leaves."""
    base = LayerRepairs(
        metric="accuracy",
        layers=("stem", "body", "head"),
        before=before * NOISE[3],
        after=np.asarray(after)[:, None] * NOISE[:3],
        fresh=fresh * NOISE[4],
        renewed=np.zeros(0),
        constant=2.3,
        steps=60,
        split="train",
    )
    return {REPAIRS: replace(base, **changes)}


def test_a_model_that_does_its_work_passes(judged):
    none = np.zeros(0)
    seen = replace(told(0.3)[REPAIRS], layers=(), after=np.zeros((0, 200)), fresh=none)
    found = judged(judge, {REPAIRS: seen})
    assert found.verdict is Verdict.PASS, found.summary


def test_the_one_layer_that_brings_the_model_back_fails_and_is_named(judged):
    found = judged(judge, told())
    assert found.verdict is Verdict.FAIL, found.summary
    assert [(p.name, p.note) for p in found.where] == [("body", "loss 0.1 when trained anew")]
    assert "`body`" in found.advice[0]
    left = next(m for m in found.metrics if m.name.startswith("loss left"))
    assert left.limit is not None
    assert left.limit.warn == 0.5
    assert left.high is not None
    assert left.high < left.limit.warn


def test_of_a_loss_that_is_not_finite_no_share_is_left(judged):
    found = judged(judge, told(np.inf))
    assert [place.name for place in found.where] == ["body"]
    assert not [m for m in found.metrics if m.name.startswith("loss left")]


def test_layers_that_do_as_well_are_named_too(judged):
    found = judged(judge, told(after=(2.0, 0.1, 0.101)))
    assert {place.name for place in found.where} == {"body", "head"}
    assert "the border between them" in found.summary


def test_where_a_new_model_does_nearly_as_well_the_one_layer_warns(judged):
    found = judged(judge, told(fresh=0.12))
    assert found.verdict is Verdict.WARN, found.summary
    assert [p.name for p in found.where] == ["body", "model.checkpoint"]


def test_a_first_layer_that_learns_as_well_as_a_new_model_is_not_to_blame(judged):
    found = judged(judge, told(after=(0.1, 2.0, 1.5), fresh=0.12))
    assert [p.name for p in found.where] == ["model.checkpoint"]
    assert judged(judge, told(after=(0.1, 2.0, 1.5))).where[0].name == "stem"


def test_where_any_layer_would_do_and_a_new_model_too_none_is_named(judged):
    found = judged(judge, told(2.5, after=(0.1, 0.1, 0.101), fresh=0.11))
    assert found.verdict is Verdict.INFO, found.summary
    assert not found.where


def test_a_model_that_a_new_one_beats_is_no_damaged_one(judged):
    found = judged(judge, told(2.0, after=(1.2, 0.5, 1.5), fresh=0.4))
    assert found.verdict is Verdict.INFO, found.summary


def test_a_loss_that_hardly_falls_names_none(judged):
    found = judged(judge, told(1.5, after=(1.4, 0.9, 1.3), fresh=2.0))
    assert found.verdict is Verdict.INFO, found.summary


def test_new_statistics_that_bring_it_back_speak_for_no_layer(judged):
    found = judged(judge, told(2.5, renewed=0.15 * NOISE[0]))
    assert found.verdict is Verdict.INFO, found.summary
    assert judged(judge, told(renewed=2.0 * NOISE[0])).verdict is Verdict.FAIL


def test_a_checkpoint_worse_than_a_constant_that_no_layer_mends_warns(judged):
    found = judged(judge, told(6.0, after=(2.0, 1.2, 1.5)))
    assert found.verdict is Verdict.WARN, found.summary
    assert found.where[0].name == "model.checkpoint"
    assert judged(judge, told(2.5, after=(2.0, 1.3, 1.5))).verdict is Verdict.INFO


def test_a_layer_that_diverged_when_trained_is_left_out(judged):
    found = judged(judge, told(after=(np.inf, 0.1, np.inf)))
    assert [place.name for place in found.where] == ["body"]


@pytest.mark.parametrize("examples", [0, 19])
def test_few_examples_are_not_judged(judged, examples):
    found = judged(
        judge,
        told() | {REPAIRS: replace(told()[REPAIRS], before=NOISE[0][:examples])},
    )
    assert found.verdict is Verdict.NOT_APPLICABLE, found.summary


def in_order(after, before=3.0, order=(2, 0, 1), **changes):
    """The losses that another order of a layer's gates leaves."""
    base = GateOrders(("gru",), order, before * NOISE[3], after * NOISE[4], 2.3, "train", 5)
    return {**told(), ORDERS: replace(base, **changes)}


def test_gates_whose_order_mends_the_model_are_told_before_anything_is_trained(judged):
    found = judged(judge, in_order(0.2))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["gru"]
    assert "the gates as update, new, reset, where" in found.summary
    assert "for i in (2, 0, 1)" in found.advice[0]
    found = judged(judge, in_order(0.2, layers=("up", "down")))
    assert "`up`" in found.advice[0]
    assert "`down`" in found.advice[0]


def test_gates_are_told_where_the_model_does_half_its_work(judged):
    none = np.zeros(0)
    idle = replace(told(1.0)[REPAIRS], layers=(), after=np.zeros((0, 200)), fresh=none)
    found = judged(judge, {**in_order(0.2, before=1.0), REPAIRS: idle})
    assert [place.name for place in found.where] == ["gru"]
    found = judged(judge, {**in_order(0.8, before=1.0), REPAIRS: idle})
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("after", "changes"),
    [
        (1.55, {}),  # not surely below 0.7 of a constant answer
        (0.2, {"before": 0.25 * NOISE[3]}),  # hardly below what it is
        (0.2, {"tried": 0}),
        (np.inf, {}),
    ],
)
def test_an_order_that_does_not_make_it_good_is_no_fault(judged, after, changes):
    found = judged(judge, in_order(after, **changes))
    assert [place.name for place in found.where] == ["body"]
