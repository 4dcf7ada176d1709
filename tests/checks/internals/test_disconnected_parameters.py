from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.disconnected_parameters import CAUSES, HELD, REACH, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.optimizer_state import HeldParameter, OptimizerHeld, OptimizersHeld
from auditor.observations.reach import ParameterReach, SilenceCauses

NAMES = ("a.weight", "a.bias", "b.weight", "b.bias")
NONE = Unavailable("-")


def reach(
    none: tuple[int, ...] = (0, 0, 0, 0), zero: tuple[int, ...] = (0, 0, 0, 0), **more: Any
) -> ParameterReach:
    seen = ParameterReach(
        parameters=NAMES,
        aliases=((),) * 4,
        sizes=(12, 4, 8, 2),
        dimensions=(2, 1, 2, 1),
        trainable=(True,) * 4,
        ran=(True,) * 4,
        counts=np.array([none, zero, (0,) * 4]).T,
        batches=8,
        idle=(),
        kinds=(),
        siblings=(),
        losses=8,
        flat=0,
        split="train",
    )
    return replace(seen, **more)


def causes(silent: str = "", cut_off: str = "", waiting: str = "") -> SilenceCauses:
    return SilenceCauses(
        tuple(silent.split()), tuple(cut_off.split()), tuple(waiting.split()), tuple(silent.split())
    )


def held(
    names: str = " ".join(NAMES), kept: str | None = None, where: str = "optimizer", **more: Any
) -> OptimizersHeld:
    live = (names if kept is None else kept).split()
    entries = tuple(
        HeldParameter(n, 0, 0.1, n in live, 5.0, ("exp_avg",) if n in live else (), ())
        for n in names.split()
    )
    missing = tuple(n for n in NAMES if n not in names.split())
    one = OptimizerHeld(where, "order", entries, missing, (), 0, remembers=True)
    return OptimizersHeld((replace(one, **more),), NAMES, ())


def said(judged: Any, seen: ParameterReach, why: Any = NONE, optimizer: Any = NONE) -> Any:
    return judged(judge, {REACH: seen, CAUSES: why, HELD: optimizer})


def test_all_get_a_gradient(judged) -> None:
    found = said(judged, reach(none=(7, 0, 0, 0), zero=(0, 7, 0, 0)), causes(), held())
    assert found.verdict is Verdict.PASS
    assert not found.figures
    assert found.metrics[0].value == 4


@pytest.mark.parametrize(
    ("seen", "why", "verdict", "note"),
    [
        (
            reach(none=(8, 8, 0, 0)),
            causes("a.weight a.bias", "a.weight a.bias"),
            "fail",
            "hangs on",
        ),
        (reach(zero=(8, 8, 0, 0)), causes("a.weight a.bias"), "fail", "exactly zero on every"),
        (reach(none=(8, 8, 0, 0)), causes("a.weight a.bias"), "warn", "does not hang on it"),
        (reach(none=(8, 8, 0, 0)), NONE, "warn", "does not hang on it"),
        (reach(zero=(8, 8, 0, 0)), NONE, "fail", "exactly zero on every"),
        (reach(none=(4, 4, 0, 0), zero=(4, 4, 0, 0)), causes("a.weight a.bias"), "fail", "zero"),
    ],
)
def test_what_gets_none(judged, seen: Any, why: Any, verdict: str, note: str) -> None:
    found = said(judged, seen, why)
    assert found.verdict == verdict
    assert [place.name for place in found.where] == ["a.weight", "a.bias"]
    assert note in found.where[0].note
    assert found.figures[0].rows[0][0] == "a.weight"


def test_what_waits_for_zeros_or_has_no_effect_is_told_and_not_blamed(judged) -> None:
    waits = said(judged, reach(zero=(8, 0, 0, 0)), causes("a.weight", waiting="a.weight"))
    assert waits.verdict is Verdict.PASS
    assert "a.weight: no gradient as yet" in waits.summary
    bias = said(judged, reach(zero=(0, 8, 0, 0)), causes("a.bias"))
    assert bias.verdict is Verdict.PASS
    assert "Without any effect: a.bias" in bias.summary
    assert said(judged, reach(zero=(0, 8, 0, 0)), causes("b.bias")).verdict is Verdict.FAIL


def test_frozen_ones_are_listed(judged) -> None:
    seen = reach(none=(8, 8, 0, 0), trainable=(False, False, True, True))
    found = said(judged, seen)
    assert found.verdict is Verdict.PASS
    assert "Frozen: 2 parameters (a.weight, a.bias)" in found.summary
    assert not found.where
    whole = said(judged, reach(none=(8,) * 4, trainable=(False,) * 4, losses=0))
    assert whole.verdict is Verdict.NOT_APPLICABLE


def test_nothing_is_reached(judged) -> None:
    found = said(judged, reach(none=(8,) * 4, losses=0))
    assert found.verdict is Verdict.FAIL
    assert len(found.where) == 4
    flat = said(judged, reach(none=(8,) * 4, losses=0, flat=8))
    assert flat.verdict is Verdict.NOT_APPLICABLE
    learnt = said(judged, reach(zero=(8,) * 4, flat=8), causes(" ".join(NAMES)))
    assert learnt.verdict is Verdict.PASS


def test_modules_that_never_run(judged) -> None:
    idle = {"idle": ("a",), "kinds": ("Linear",), "siblings": (False,)}
    found = said(judged, reach(none=(8, 8, 0, 0), **idle), causes("a.weight a.bias"))
    assert "`a` never runs." in found.summary
    assert found.where[-1].note == "never ran"
    assert "Use `a` in `forward`" in found.advice[0]
    routed = reach(none=(8, 8, 0, 0), **(idle | {"siblings": (True,)}))
    assert "at most 31% of batches" in said(judged, routed, causes("a.weight a.bias")).summary
    lent = said(judged, reach(**idle), causes())
    assert lent.verdict is Verdict.PASS
    assert not lent.where


def test_what_the_optimizer_lacks(judged) -> None:
    found = said(judged, reach(), causes(), held("a.weight a.bias"))
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["b.weight", "b.bias"]
    assert "(`optimizer`) does not hold 2 of 4" in found.summary
    unsure = held(missing=(), unsure=((2, NAMES),))
    assert "lacks 2 parameters of 4" in said(judged, reach(), causes(), unsure).summary
    idle = said(judged, reach(), causes(), held(kept="a.weight a.bias b.weight"))
    assert idle.verdict is Verdict.WARN
    assert [place.name for place in idle.where] == ["b.bias"]
    fresh = said(judged, reach(), causes(), held(kept=""))
    assert fresh.verdict is Verdict.PASS


def test_an_optimizer_of_something_else(judged) -> None:
    none = held("", where="", missing=NAMES, strangers=4)
    found = said(judged, reach(), causes(), none)
    assert found.verdict is Verdict.FAIL
    assert "4 parameters that are not among the model's" in found.summary
    sharded = held("", missing=NAMES, strangers=4)
    apart = said(judged, reach(), causes(), sharded)
    assert apart.verdict is Verdict.PASS
    assert "holds other tensors than the model's" in apart.summary
    stranger = held(strangers=1)
    assert said(judged, reach(), causes(), stranger).verdict is Verdict.WARN


def test_of_several_optimizers_each_may_hold_a_part(judged) -> None:
    first, second = held("a.weight a.bias"), held("b.weight b.bias")
    both = replace(first, optimizers=(*first.optimizers, *second.optimizers))
    assert said(judged, reach(), causes(), both).verdict is Verdict.PASS
    other = held("", missing=NAMES, strangers=9)
    adversary = replace(first, optimizers=(*held().optimizers, *other.optimizers))
    assert said(judged, reach(), causes(), adversary).verdict is Verdict.PASS
