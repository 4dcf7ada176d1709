"""The check of the optimizer on races, settings and moments made by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.optimizer_off import GRADIENTS, MOMENTS, RACE, SETTINGS, judge
from auditor.core.figure import Lines, Table
from auditor.core.finding import Judgement, Limit
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms
from auditor.observations.optimizer_moments import Held, Moments, OptimizerMoments
from auditor.observations.optimizer_race import Heat, Kind, OptimizerRace, Racer
from auditor.observations.settings import ParameterGroup, Settings

PASS, WARN, FAIL, INFO = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.INFO

ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ROLES: Any = (("a.weight", "weight"), ("a.bias", "bias"), ("b.weight", "weight"))

NAMES: dict[str, str] = {
    "declared": "Adam",
    "retuned": "Adam",
    "mended": "Adam",
    "SGD": "SGD with Nesterov momentum 0.9",
    "AdamW": "AdamW",
}


def racer(
    kind: Kind, share: float, spread: float = 0.02, seeds: int = 4, rate: float = 0.01
) -> Racer:
    """Return one that takes a share of 1 off a loss of 2, evenly over 11 steps."""
    wobble = spread * np.resize([1.0, -1.0, 0.5, -0.5], seeds)
    ends = share + wobble
    losses = 2 - np.outer(ends, np.linspace(0, 1, 11))
    return Racer(kind, NAMES[kind], rate, losses, 2 - ends)


def race(*racers: Racer, absent: str = "", mended: tuple[str, ...] = ()) -> OptimizerRace:
    seeds = len(racers[0].after) if racers else 4
    heats = tuple(Heat(r.kind, r.name, (r.rate, 0.1), (1.5, math.nan), 0) for r in racers)
    return OptimizerRace(
        "Adam", 0.01, absent, mended, heats, racers, np.full(seeds, 2.0), 11, 6, 32, 2, True
    )  # fmt: skip


def kept(
    *moments: Moments, kind: str = "Adam", values: Any = None, **more: Any
) -> OptimizerMoments:
    groups = (ParameterGroup(values or ADAM, (), 3),) if kind else ()
    held = (Held("optimizer", moments),) if moments else ()
    return OptimizerMoments(held, ROLES, 1e-45, kind, groups, "the spec" if kind else "", **more)


def moments(name: str = "a.weight", **change: Any) -> Moments:
    usual = Moments(name, 0, 100, 500, 1e-3, 1e-2, 1e-8, 0.0, 0, 0, 0.0)
    return replace(usual, **change)


def gradients(**norms: float) -> GradientNorms:
    names = tuple(norms)
    count = len(names)
    table = np.asarray([list(norms.values())] * 3, float)
    return GradientNorms(
        names, (2,) * count, np.ones(count), table, (), (), np.zeros((3, 0)), np.ones(3), "train"
    )


def answers(
    held: OptimizerMoments, run: Any = None, now: Any = None, **settings: Any
) -> dict[Any, Any]:
    none = Unavailable("no factory is given")
    return {
        SETTINGS: Settings(**settings),
        MOMENTS: held,
        RACE: none if run is None else run,
        GRADIENTS: Unavailable("no loss") if now is None else now,
    }


def settings_of(found: Judgement) -> list[str]:
    return [place.name for place in found.where]


@pytest.mark.parametrize(
    ("share", "spread", "verdict"),
    [
        (1.2, 0.02, PASS),
        (0.55, 0.02, PASS),
        (0.3, 0.3, INFO),
        (0.3, 0.02, INFO),
        (0.12, 0.01, INFO),
        (0.08, 0.01, WARN),
        (-0.5, 0.02, WARN),
    ],
)
def test_an_optimizer_of_every_day_against_a_rival(
    judged, share: float, spread: float, verdict: Verdict
) -> None:
    found = judged(
        judge, answers(kept(), race(racer("declared", share, spread), racer("SGD", 1.0)))
    )
    assert found.verdict is verdict, found.summary
    assert settings_of(found) == (["training.optimizer"] if verdict is WARN else [])
    if spread < 0.1 and verdict is INFO:
        assert "Early steps say little" in found.summary
        assert found.advice


@pytest.mark.parametrize(
    ("share", "spread", "verdict"),
    [
        (0.9, 0.02, PASS),
        (0.55, 0.02, PASS),
        (0.55, 0.3, INFO),
        (0.45, 0.02, WARN),
        (0.45, 0.3, INFO),
        (0.12, 0.01, WARN),
        (0.05, 0.01, FAIL),
    ],
)
def test_another_optimizer_against_a_rival(
    judged, share: float, spread: float, verdict: Verdict
) -> None:
    own = racer("declared", share, spread)
    held = kept(kind="Adagrad", values={"lr": 0.01, "eps": 1e-10})
    found = judged(judge, answers(held, race(own, racer("SGD", 0.7), racer("AdamW", 1.0, 0.01))))
    assert found.verdict is verdict, found.summary
    if verdict in (WARN, FAIL):
        assert settings_of(found) == ["training.optimizer"]
        assert "torch.optim.AdamW(model.parameters(), lr=0.01)" in found.advice[0]
        assert found.metrics[0].limit is not None


def test_the_limits_are_those_that_are_given(judged) -> None:
    own = racer("declared", 0.45)
    held = kept(kind="Adagrad", values={"lr": 0.01, "eps": 1e-10})
    given = answers(held, race(own, racer("AdamW", 1.0)))
    mild = {"progress": Limit(warn=0.3, fail=0.1, bad="below")}
    assert judged(judge, given).verdict is WARN
    assert judged(judge, given, mild).verdict is PASS


def test_the_best_rate_of_the_declared_one_counts(judged) -> None:
    run = race(racer("declared", 0.02), racer("retuned", 0.9, rate=0.1), racer("SGD", 1.0))
    found = judged(judge, answers(kept(), run))
    assert found.verdict is PASS
    assert "it is the rate that counts" in found.summary
    assert "`learning-rate-off`" in found.summary
    assert found.advice == ()


@pytest.mark.parametrize(
    ("share", "verdict"), [(1.0, INFO), (0.6, INFO), (0.4, WARN), (0.15, WARN), (0.05, FAIL)]
)
def test_a_setting_against_itself_put_right(judged, share: float, verdict: Verdict) -> None:
    run = race(racer("declared", share), racer("mended", 1.0), racer("SGD", 1.5), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.1}), run))
    if verdict is INFO:
        assert found.verdict is PASS
        assert "no harm is seen" in found.summary
        return
    assert found.verdict is verdict, found.summary
    assert settings_of(found) == ["training.optimizer.eps"]
    assert found.where[0].note == "0.1, advised: 1e-8"
    assert "`eps` to 1e-8" in found.advice[0]
    assert "torch.optim.Adam(model.parameters(), lr=0.01)" in found.advice[0]


def test_a_lead_that_is_not_sure_is_not_blamed(judged) -> None:
    run = race(racer("declared", 0.4, 0.5), racer("mended", 1.0, 0.2), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.1}), run))
    assert found.verdict is INFO
    assert "too uncertain to judge" in found.summary


def test_both_the_end_and_the_way_have_to_be_behind(judged) -> None:
    own = racer("declared", 0.3)
    ahead = replace(own, losses=own.losses - 0.8)
    run = race(ahead, racer("mended", 1.0), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.1}), run))
    assert found.verdict is INFO


def test_a_rate_of_another_kind_warns_at_most_and_any_rival_may_show_it(judged) -> None:
    values = {**SGD, "lr": 1e-5}
    run = race(racer("declared", 0.0, 0.001), racer("mended", 1.0), racer("SGD", 1.2))
    found = judged(judge, answers(kept(kind="SGD", values=values), run))
    assert found.verdict is WARN
    assert settings_of(found) == ["training.optimizer.lr"]
    wild = race(racer("declared", 0.0, 0.001), racer("mended", 0.8, 0.8), racer("SGD", 1.2))
    assert judged(judge, answers(kept(kind="SGD", values=values), wild)).verdict is WARN


def test_a_run_that_was_lost_counts_as_one_that_climbed(judged) -> None:
    own = racer("declared", 0.5)
    lost = replace(own, losses=np.full((4, 11), math.nan), after=np.full(4, math.nan))
    run = race(lost, racer("mended", 1.0), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.0}), run))
    assert found.verdict is FAIL
    assert "makes the loss climb" in found.summary


def test_where_nothing_learns_nothing_is_preferred(judged) -> None:
    run = race(racer("declared", 0.0, 0.01), racer("SGD", 0.0, 0.01))
    found = judged(judge, answers(kept(), run))
    assert found.verdict is INFO
    assert "No optimizer gets anywhere" in found.summary
    nan = replace(run, before=np.full(4, math.nan))
    found = judged(judge, answers(kept(), nan))
    assert found.verdict is INFO
    assert not any(isinstance(figure, Lines) for figure in found.figures)
    mended = race(racer("declared", 0.0, 0.01), racer("mended", 0.0, 0.01), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.1}), mended))
    assert found.verdict is INFO
    assert "could not be seen" in found.summary


def test_where_only_the_declared_one_learns_it_is_fine(judged) -> None:
    run = race(racer("declared", 1.0), racer("SGD", 0.0, 0.01))
    assert judged(judge, answers(kept(), run)).verdict is PASS


def test_a_single_start_proves_nothing(judged) -> None:
    run = race(racer("declared", 0.0, seeds=1), racer("mended", 1.0, seeds=1), mended=("eps",))
    found = judged(judge, answers(kept(values={**ADAM, "eps": 0.1}), run))
    assert found.verdict is INFO


@pytest.mark.parametrize(
    ("values", "kind", "setting"),
    [
        ({**SGD, "momentum": 0.999}, "SGD", "momentum"),
        ({**ADAM, "betas": (0.999, 0.9)}, "Adam", "betas"),
        ({**ADAM, "maximize": True}, "Adam", "maximize"),
        ({"lr": 1e-3, "maximize": True}, "Lion", "maximize"),
    ],
)
def test_what_is_broken_warns_with_and_without_a_race(
    judged, values: Any, kind: str, setting: str
) -> None:
    held = kept(kind=kind, values=values)
    alone = judged(judge, answers(held))
    assert alone.verdict is WARN
    assert settings_of(alone) == [f"training.optimizer.{setting}"]
    assert "No race was held: no factory is given." in alone.summary
    run = race(racer("declared", 1.0), racer("mended", 1.0), mended=(setting,))
    assert judged(judge, answers(held, run)).verdict is WARN


def test_what_has_to_prove_itself_is_only_told_without_a_race(judged) -> None:
    held = kept(values={**ADAM, "eps": 0.1})
    found = judged(judge, answers(held))
    assert found.verdict is INFO
    assert "Whether it does harm was not tried" in found.summary
    below = kept(moments(eps=0.1, frozen=0.9), values={**ADAM, "eps": 0.1})
    found = judged(judge, answers(below))
    assert found.verdict is WARN
    assert settings_of(found) == ["training.optimizer.eps"]
    above = kept(moments(eps=0.1, frozen=0.4), values={**ADAM, "eps": 0.1})
    assert judged(judge, answers(above)).verdict is INFO


def test_everyday_choices_are_told_and_the_rest_passes(judged) -> None:
    values = {**SGD, "momentum": 0.0, "weight_decay": 1e-4}
    run = race(racer("declared", 0.9), racer("SGD", 1.0), racer("AdamW", 1.0))
    found = judged(judge, answers(kept(kind="SGD", values=values), run))
    assert found.verdict is PASS
    assert "Worth knowing: `momentum=0` is off" in found.summary
    assert "Weight decay (0.0001) is also put on 1 bias" in found.summary
    tables = [f for f in found.figures if isinstance(f, Table)]
    assert any(row[0] == "momentum" for table in tables for row in table.rows)


def test_decay_that_is_kept_from_biases_is_not_told(judged) -> None:
    groups = (
        ParameterGroup({**ADAM, "weight_decay": 0.1}, ("a.weight", "b.weight"), 2),
        ParameterGroup(ADAM, ("a.bias",), 1),
    )
    held = replace(kept(kind="AdamW"), groups=groups)
    run = race(racer("declared", 0.9), racer("SGD", 1.0))
    assert "Weight decay" not in judged(judge, answers(held, run)).summary
    still = replace(held, groups=(groups[0], replace(groups[1], values={**ADAM, "lr": 0.0})))
    assert "1 parameter group of 2 is 0: a.bias" in judged(judge, answers(still, run)).summary


def test_the_gravest_group_counts(judged) -> None:
    groups = (
        ParameterGroup(ADAM, ("a.weight",), 1),
        ParameterGroup({**ADAM, "betas": (0.999, 0.9)}, ("b.weight",), 1),
    )
    found = judged(judge, answers(replace(kept(), groups=groups)))
    assert found.verdict is WARN
    assert settings_of(found) == ["training.optimizer.betas"]


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"lost": 3}, FAIL, "not finite"),
        ({"impossible": 1, "longest": 101.0}, FAIL, "can't come from the same gradients"),
        ({"impossible": 1, "longest": 99.0}, WARN, "can't come from the same gradients"),
        ({}, INFO, "No race was held"),
    ],
)
def test_moments_of_one_parameter(judged, change: Any, verdict: Verdict, words: str) -> None:
    held = kept(moments("b.weight"), moments("a.bias"), moments(**change))
    found = judged(judge, answers(held))
    assert found.verdict is verdict
    assert words in found.summary
    assert settings_of(found) == (["a.weight"] if change else [])


def test_moments_of_zero_are_judged_by_the_gradients_of_now(judged) -> None:
    zero = moments(first=0.0, root=0.0)
    held = kept(zero, moments("b.weight"))
    coming = judged(judge, answers(held, now=gradients(**{"a.weight": 0.3, "b.weight": 0.3})))
    assert coming.verdict is WARN
    assert settings_of(coming) == ["a.weight"]
    for now in (None, gradients(**{"a.weight": 0.0, "b.weight": 0.3})):
        found = judged(judge, answers(held, now=now))
        assert found.verdict is INFO
        assert "`disconnected-parameters`" in found.summary
    alone = judged(judge, answers(kept(zero)))
    assert alone.verdict is WARN
    assert "All saved moments are zero" in alone.summary


@pytest.mark.parametrize(
    ("root", "now", "warns"), [(20.0, 0.1, True), (5.0, 0.1, False), (20.0, 1e4, False)]
)
def test_a_second_moment_beyond_all_others(judged, root: float, now: float, warns: bool) -> None:
    others = [moments(name) for name in ("b.weight", "a.bias", "c.weight")]
    held = kept(moments(root=root), *others)
    norms = {"a.weight": now, "b.weight": 0.1, "a.bias": 0.1, "c.weight": 0.1}
    found = judged(judge, answers(held, now=gradients(**norms)))
    assert (found.verdict is WARN) == warns
    assert settings_of(found) == (["a.weight"] if warns else [])


@pytest.mark.parametrize(
    ("steps", "verdict", "words"),
    [
        (500, INFO, ""),
        (240, INFO, "would be 500"),
        (1100, INFO, "would be 500"),
        (9, WARN, "not even one an epoch"),
    ],
)
def test_the_age_of_the_moments(judged, steps: float, verdict: Verdict, words: str) -> None:
    found = judged(judge, answers(kept(moments(step=steps)), epochs=10, per_epoch=50))
    assert found.verdict is verdict
    assert words in found.summary
    mixed = kept(moments(step=500), moments("b.weight", step=200))
    assert "fewer than half of the 500 steps" in judged(judge, answers(mixed)).summary


def test_settings_that_spec_and_checkpoint_tell_differently_are_told(judged) -> None:
    said = "`eps` is 1e-08 in the spec and 0.1 in the saved state"
    found = judged(judge, answers(kept(conflicts=(said,))))
    assert f"Spec and checkpoint differ: {said}; the spec is taken." in found.summary


def test_without_a_declared_optimizer_the_race_is_told(judged) -> None:
    run = race(racer("SGD", 0.5), racer("AdamW", 1.0), absent="no optimizer is declared")
    found = judged(judge, answers(kept(kind=""), run))
    assert found.verdict is INFO
    assert "AdamW at 0.01 gets farthest" in found.summary
    assert "No optimizer is declared or saved" in found.summary


def test_reasons_not_to_judge(judged) -> None:
    found = judged(judge, answers(kept(kind="")))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no factory is given" in found.summary
    bare = replace(kept(), roles=())
    assert judged(judge, answers(bare)).verdict is Verdict.NOT_APPLICABLE


def test_why_the_declared_one_did_not_race_is_said(judged) -> None:
    run = race(racer("SGD", 0.5), racer("AdamW", 1.0), absent="LBFGS takes several passes")
    found = judged(judge, answers(kept(kind="LBFGS", values={"lr": 1.0}), run, per_epoch=20))
    assert found.verdict is INFO
    assert "did not race: LBFGS takes several passes." in found.summary
