import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.updates_not_applied import (
    CAUSES,
    FRESH,
    FROZEN,
    HELD,
    PERFORMANCE,
    STEP,
    judge,
)
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.initial_weights import InitialTensor, InitialWeights
from auditor.observations.mended_copies import MendedCopies
from auditor.observations.optimizer_state import HeldParameter, OptimizerHeld, OptimizersHeld
from auditor.observations.performance import Performance
from auditor.observations.reach import SilenceCauses
from auditor.observations.step_changes import StepChange, StepChanges

NONE = Unavailable("it is not there")
NAMES = ("a.weight", "a.bias")
HOLDS = OptimizersHeld((), NAMES, ())

DRAWN = InitialTensor(
    "a.weight", 1000, 2, "float32", True, True, False, False, math.nan, False, None, True,
    (0.0005, 0.0005), 1.0, width=0.5,
)  # fmt: skip
ZERO = InitialTensor(
    "a.bias", 10, 1, "float32", True, True, True, True, 0.0, True, None, False,
    (math.nan, math.nan), math.nan,
)  # fmt: skip
MOVED = replace(DRAWN, name="b.weight", gaps=(-0.05, 0.01), shift=0.025)


def fresh(*tensors: InitialTensor, **more: Any) -> InitialWeights:
    return InitialWeights(
        tensors, (0, 1, 2, 3, 4, 5, 6, 7), **{"batch_norms": 0, "untouched": ()} | more
    )


def change(name: str = "a.weight", **more: Any) -> StepChange:
    return replace(StepChange(name, 100, 2, "float32", "finite", 1.0, 0.0, True, 0.1), **more)


def steps(*changes: StepChange, losses: float = 1.0) -> StepChanges:
    return StepChanges(changes, np.full(3, losses), "Adam(lr=0.1)", False)


def said(
    judged: Any, step: Any = NONE, weights: Any = NONE, held: Any = HOLDS, causes: Any = NONE
) -> Any:
    return judged(judge, {HELD: held, STEP: step, FRESH: weights, CAUSES: causes, FROZEN: NONE})


def test_all_is_well(judged) -> None:
    found = said(judged, steps(change(), change("a.bias")), fresh(MOVED, replace(ZERO, same=False)))
    assert found.verdict is Verdict.PASS
    assert "change 2 of 2 trainable parameters" in found.summary
    assert "2 of 2 are provably not" in found.summary


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"held": False, "rate": math.nan, "gradient": "finite"}, "not in the optimizer"),
        ({"rate": 0.0}, "its learning rate is 0"),
        ({"gradient": "none"}, "no gradient"),
        ({"gradient": "zero"}, "gradient exactly zero"),
        ({"gradient": "not finite"}, "gradient not finite"),
        ({"type": "bfloat16", "lost": 1.0}, "steps round to nothing in bfloat16"),
    ],
)
def test_what_a_step_leaves_and_why(judged, more: dict[str, Any], why: str) -> None:
    still = change(changed=0.0, **more)
    found = said(judged, steps(still, change("a.bias")))
    assert found.verdict is Verdict.WARN
    assert [(p.name, p.note) for p in found.where] == [("a.weight", why)]
    assert "`a.weight`" in found.advice[0]
    alone = said(judged, steps(still))
    assert alone.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("dimensions", "cut_off", "verdict"),
    [(1, (), Verdict.PASS), (1, ("a.bias",), Verdict.WARN), (2, (), Verdict.WARN)],
)
def test_a_bias_that_cancels_out_need_not_move(
    judged, dimensions: int, cut_off: tuple[str, ...], verdict: Verdict
) -> None:
    still = change("a.bias", dimensions=dimensions, changed=0.0, gradient="zero")
    causes = SilenceCauses(("a.bias",), cut_off, (), ("a.bias",))
    found = said(judged, steps(change(), still), causes=causes)
    assert found.verdict is verdict
    assert "a.bias" in found.summary


def test_hardly_any_gradient_is_left(judged) -> None:
    quiet = said(judged, steps(change(changed=0.0), change("a.bias")))
    assert quiet.verdict is Verdict.PASS
    assert not quiet.where
    learnt = said(judged, steps(change(changed=0.0, gradient="zero"), losses=0.0))
    assert learnt.verdict is Verdict.PASS


def test_most_values_of_half_precision_stay(judged) -> None:
    coarse = {"type": "bfloat16", "changed": 0.2}
    found = said(judged, steps(change(lost=0.8, **coarse)))
    assert found.verdict is Verdict.WARN
    assert "80% of the values" in found.summary
    assert said(judged, steps(change(lost=0.3, **coarse))).verdict is Verdict.PASS
    assert said(judged, steps(change(lost=0.8, changed=0.2))).verdict is Verdict.PASS


def test_never_trained(judged) -> None:
    for proof in (DRAWN, ZERO, replace(DRAWN, same=True, seed=42)):
        found = said(judged, NONE, fresh(proof))
        assert found.verdict is Verdict.FAIL
        assert found.where[0].name == proof.name
    assert "seed 42" in found.summary
    small = [replace(DRAWN, name=f"{n}", size=70) for n in range(3)]
    assert said(judged, NONE, fresh(*small)).verdict is Verdict.FAIL
    assert said(judged, NONE, fresh(small[0])).verdict is Verdict.INFO


@pytest.mark.parametrize(
    ("proof", "length", "farther"),
    [(DRAWN, 0.02, True), (DRAWN, 1e-4, False), (ZERO, 1e-9, True), (ZERO, 0.0, False)],
)
def test_a_step_that_goes_farther_proves_that_none_was_made(
    judged, proof: InitialTensor, length: float, farther: bool
) -> None:
    found = said(judged, steps(change(proof.name, length=length)), fresh(proof))
    assert found.verdict is Verdict.FAIL
    assert ("the optimizer goes farther" in found.where[0].note) is farther
    assert ("a step of the optimizer moves" in found.summary) is farther


def test_many_short_steps_that_the_optimizer_counts_prove_it_too(judged) -> None:
    """0.0004 √100 is more than the 0.003 that would show; 0.0004 alone is not."""
    short = steps(change(DRAWN.name, length=4e-4))
    one = HeldParameter(DRAWN.name, 0, 0.01, True, 100.0, ("exp_avg",), ())
    holds = replace(HOLDS, optimizers=(OptimizerHeld("", "name", (one,), (), (), 0),))
    found = said(judged, short, fresh(DRAWN), holds)
    assert "and it counts 100" in found.summary
    assert "the optimizer goes farther" in found.where[0].note
    assert "goes farther" not in said(judged, short, fresh(DRAWN)).where[0].note


@pytest.mark.parametrize(
    "tensor",
    [
        replace(DRAWN, gaps=(-0.01, 0.0005)),
        replace(DRAWN, gaps=(0.0005, 0.05)),
        replace(DRAWN, distance=30.0),
        replace(DRAWN, finite=False),
        replace(ZERO, same=False),
        replace(DRAWN, uniform=False, distance=30.0),
    ],
)
def test_signs_of_training(judged, tensor: InitialTensor) -> None:
    found = said(judged, NONE, fresh(tensor))
    assert found.verdict is Verdict.PASS, found.summary
    assert found.metrics[-1].value == 1


def test_one_part_never_moved(judged) -> None:
    weights = fresh(DRAWN, MOVED)
    moving = steps(change(), change("b.weight"))
    found = said(judged, moving, weights)
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["a.weight"]
    assert said(judged, NONE, weights).verdict is Verdict.WARN
    assert said(judged, moving, fresh(ZERO, MOVED)).verdict is Verdict.WARN
    unused = steps(change(gradient="none"), change("b.weight"))
    assert said(judged, unused, weights).verdict is Verdict.PASS
    frozen = fresh(replace(DRAWN, trainable=False), MOVED)
    assert said(judged, NONE, frozen).verdict is Verdict.PASS


def test_a_few_short_steps_do_not_show_in_small_tensors(judged) -> None:
    moving = steps(change(), change("b.weight"))
    for shift, verdict in ((0.02, Verdict.FAIL), (0.005, Verdict.PASS), (math.nan, Verdict.PASS)):
        weights = fresh(DRAWN, replace(MOVED, shift=shift))
        assert said(judged, moving, weights).verdict is verdict, shift


def test_a_layer_of_short_steps_came_less_far(judged) -> None:
    weights = fresh(DRAWN, MOVED)
    for length, verdict in ((1e-4, Verdict.FAIL), (1e-5, Verdict.PASS), (math.nan, Verdict.FAIL)):
        moving = steps(change(length=length), change("b.weight", length=1e-4))
        assert said(judged, moving, weights).verdict is verdict, length


def test_what_proves_nothing(judged) -> None:
    normal = replace(DRAWN, uniform=False, gaps=(math.nan, math.nan))
    one_in_half = replace(ZERO, type="bfloat16", value=1.0)
    for tensor in (normal, one_in_half):
        assert said(judged, NONE, fresh(tensor)).verdict is Verdict.INFO
        assert said(judged, NONE, fresh(tensor, MOVED)).verdict is Verdict.PASS
    zero_in_half = replace(ZERO, type="bfloat16")
    assert said(judged, NONE, fresh(zero_in_half, MOVED)).verdict is Verdict.WARN


def test_weights_that_the_factory_hands_out(judged) -> None:
    given = replace(DRAWN, fixed=True, same=True, uniform=False)
    found = said(judged, NONE, fresh(given))
    assert found.verdict is Verdict.WARN
    assert "or the factory loads" in found.summary
    part = said(judged, NONE, fresh(given, MOVED))
    assert part.verdict is Verdict.PASS
    assert "As the factory hands them out: a.weight" in part.summary


def test_batch_norm_untouched(judged) -> None:
    norms = {"batch_norms": 2, "untouched": ("bn",)}
    found = said(judged, NONE, fresh(MOVED, **norms))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "bn"
    assert "Nor did 1 batch-norm layer" in said(judged, NONE, fresh(DRAWN, **norms)).summary


def kept(
    steps: float = 9.0, zero: tuple[str, ...] = (), entries: int = 2, **more: Any
) -> OptimizersHeld:
    moments = ("exp_avg", "exp_avg_sq")
    held = [
        HeldParameter(n, 0, 0.1, True, steps, moments, zero if place == 0 else ())
        for place, n in enumerate(NAMES[:entries])
    ]
    one = OptimizerHeld("optimizer", "order", tuple(held), (), (), 0, remembers=True)
    return OptimizersHeld((replace(one, **more),), NAMES, (), epochs=4, batches=10)


@pytest.mark.parametrize(
    ("held", "verdict", "words"),
    [
        (kept(), Verdict.INFO, "counts 9 steps, 4 epochs would be about 40"),
        (kept(0.0), Verdict.FAIL, "counts 0 steps, though 4 epochs"),
        (kept(zero=("exp_avg", "exp_avg_sq")), Verdict.WARN, "moments of zero for 1 parameter"),
        (kept(zero=("exp_avg", "exp_avg_sq"), entries=1), Verdict.FAIL, "All moments"),
        (kept(zero=("exp_avg_sq",)), Verdict.INFO, "counts 9 steps"),
        (kept(0.0, where=""), Verdict.NOT_APPLICABLE, "Nothing was there to judge by"),
        (kept(0.0, strangers=1), Verdict.NOT_APPLICABLE, "Nothing was there to judge by"),
    ],
)
def test_the_saved_optimizer(judged, held: Any, verdict: Verdict, words: str) -> None:
    found = said(judged, held=held)
    assert found.verdict is verdict, found.summary
    assert words in found.summary


def test_moments_that_no_step_can_go_on_from(judged) -> None:
    held = kept().optimizers[0].held
    found = said(judged, held=kept(held=(replace(held[0], spoilt=("exp_avg_sq",)), *held[1:])))
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == NAMES[0]
    assert f"for 1 parameter ({NAMES[0]}), in `exp_avg_sq`" in found.summary
    assert any("optimizer made anew" in step for step in found.advice)


def test_an_optimizer_that_keeps_nothing(judged) -> None:
    bare = tuple(HeldParameter(n, 0, 0.1, False, math.nan, (), ()) for n in NAMES)
    assert said(judged, held=kept(held=bare)).verdict is Verdict.WARN
    assert said(judged, held=kept(held=bare, remembers=False)).verdict is Verdict.INFO


def test_nothing_to_judge(judged) -> None:
    found = said(judged)
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "it is not there" in found.summary
    none = said(judged, held=replace(HOLDS, trainable=()))
    assert none.verdict is Verdict.NOT_APPLICABLE


SMALL = replace(DRAWN, size=160, gaps=(0.003, 0.003))


@pytest.mark.parametrize(
    ("tensors", "error", "verdict"),
    [
        ((SMALL,), 1.1, Verdict.WARN),
        ((SMALL,), 0.9, Verdict.PASS),  # answers that beat a constant were learnt
        ((SMALL,), math.nan, Verdict.PASS),
        ((replace(SMALL, gaps=(-0.1, 0.003)),), 1.1, Verdict.PASS),
        ((SMALL, replace(MOVED, size=20)), 1.1, Verdict.PASS),
        ((replace(SMALL, size=60),), 1.1, Verdict.PASS),
        ((SMALL, replace(DRAWN, size=400, uniform=False)), 1.1, Verdict.PASS),
    ],
)
def test_small_weights_like_fresh_ones_warn_where_answers_are_like_theirs(
    judged, tensors, error, verdict
) -> None:
    values = np.random.default_rng(0).standard_normal((200, 1))
    none = np.zeros(0)
    scores = error * np.square(values - values.mean())[:, 0]
    seen = Performance("squared error", scores, none, none, none, none, none, none, values, "val")
    answers = {HELD: HOLDS, STEP: steps(change()), FRESH: fresh(*tensors), PERFORMANCE: seen}
    found = judged(judge, answers)
    assert found.verdict is verdict, found.summary
    assert [place.name for place in found.where] == ["a.weight"] * (verdict is Verdict.WARN)


RANDOM = replace(DRAWN, name="base.weight", trainable=False, gaps=(0.0005, 0.0005))


def released(judged, tensor: InitialTensor, gain: float = 0.6) -> Any:
    old = np.random.default_rng(0).gamma(4, 0.25, (2, 300))
    copies = MendedCopies("cross-entropy", 200, old, (1 - gain) * old)
    seen = {HELD: HOLDS, STEP: NONE, FRESH: fresh(tensor, MOVED), CAUSES: NONE, FROZEN: copies}
    return judged(judge, seen)


@pytest.mark.parametrize("proof", [{}, {"uniform": False, "same": True, "seed": 0}])
def test_a_layer_frozen_at_random_is_told_where_it_would_learn(judged, proof) -> None:
    found = released(judged, replace(RANDOM, **proof))
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["base.weight"]
    assert "frozen" in found.where[0].note
    assert released(judged, replace(RANDOM, **proof), gain=0.3).verdict is Verdict.WARN
    assert released(judged, replace(RANDOM, **proof), gain=0.1).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "other",
    [
        {"fixed": True, "same": True, "uniform": False},
        {"gaps": (-0.05, 0.01)},
        {"uniform": False, "distance": 1.0},
        {"size": 60},
        {"dimensions": 1},
    ],
)
def test_a_frozen_layer_that_was_loaded_or_can_not_be_told_is_no_fault(judged, other) -> None:
    assert released(judged, replace(RANDOM, **other)).verdict is Verdict.PASS
