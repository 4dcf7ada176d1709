from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from auditor.checks import catalogue
from auditor.core.check import Check
from auditor.core.request import Cost, Depth, Request, Riding, Sweep, Unavailable
from auditor.core.subject import SplitFacts, SubjectFacts, TargetFacts
from auditor.engine.plan import Plan, planned, requests_of
from auditor.observations.activity import UnitActivityOver
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.finite import NonFiniteOver, WeightFlagsOf
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.initial_loss import FreshLossesOver
from auditor.observations.updates import UpdateRatiosFrom

SPLIT = SplitFacts(
    40, 40, 400, 10, True, ("float32[10, 4]",), "int64[10]", TargetFacts("classes", 400), "0"
)
ALL = frozenset({"model", "weights", "train", "val", "loss", "factory", "optimizer", "batch_norm"})


def facts(lacks: Mapping[str, str] | None = None, batches: int = 40) -> SubjectFacts:
    lacks = dict(lacks or {})
    split = replace(SPLIT, batches=batches)
    data: dict[Any, SplitFacts] = {s: split for s in ("train", "val") if s not in lacks}
    return SubjectFacts(
        "x", "", None, 10, 10, "cpu", "multiclass", "cross_entropy", 3, data,
        frozenset(ALL - lacks.keys()), lacks,
    )  # type: ignore[arg-type]  # fmt: skip


def asking(*needs: Request[Any]) -> Check:
    return replace(catalogue()[0], needs=needs, wants=())


def plan(*needs: Request[Any], at: Any = "standard", subject: SubjectFacts | None = None) -> Plan:
    return planned([asking(request) for request in needs], at, subject or facts())


def test_requests_on_one_split_in_one_mode_ride_one_sweep() -> None:
    made = plan(UnitActivityOver(16, "val"), NonFiniteOver(32, "val"))
    (work,) = made.work
    assert work.sweep == Sweep("val", "eval")
    assert work.cost == made.cost == Cost(32, 0)
    assert len(work.requests) == 2
    assert not made.unavailable


def test_only_the_batches_that_need_them_cost_backward_passes() -> None:
    made = plan(GradientNormsOver(4, "train"), GradientNormsOver(9, "train"))
    (work,) = made.work
    assert work.cost == Cost(9, 9)
    assert work.weight == 27
    made = plan(GradientNormsOver(4, "train"), BatchNormStatisticsOver(9, "train"))
    assert [w.cost for w in made.work] == [Cost(9, 0), Cost(4, 4)]


def test_there_are_no_more_passes_than_batches() -> None:
    assert plan(NonFiniteOver(99, "val"), subject=facts(batches=5)).cost == Cost(5, 0)
    fresh = FreshLossesOver(seeds=5, batches=4, split="val")
    fewer = FreshLossesOver(seeds=5, batches=3, split="val")
    assert plan(fresh, subject=facts(batches=3)).cost == fewer.cost({"val": 3}) != Cost()
    assert plan(fresh, subject=facts(batches=3)).cost.forwards < fresh.cost({"val": 4}).forwards


def test_a_profile_scales_and_settles_the_split() -> None:
    asked = GradientNormsOver(16)
    assert plan(asked, at="quick").work[0].requests == (GradientNormsOver(4, "train"),)
    assert plan(asked, at="deep").work[0].requests == (GradientNormsOver(64, "train"),)
    lacking = facts({"train": "no training data"})
    assert plan(asked, subject=lacking).work[0].requests == (GradientNormsOver(16, "val"),)
    assert UpdateRatiosFrom(steps=1).at("quick", ALL).steps == 1


def test_what_is_lacking_is_said_for_each_thing() -> None:
    subject = facts({"factory": "no factory", "loss": "no loss"})
    asked = FreshLossesOver()
    made = plan(asked, UnitActivityOver(16, "val"), subject=subject)
    settled = asked.at("standard", subject.has)
    assert made.unavailable == {settled: Unavailable("no factory; no loss")}
    assert len(made.work) == 1


def test_looks_come_first_and_experiments_last() -> None:
    made = plan(UpdateRatiosFrom(), GradientNormsOver(), NonFiniteOver(16), WeightFlagsOf())
    kinds = [type(work.requests[0]).__name__ for work in made.work]
    assert kinds == ["WeightFlagsOf", "GradientNormsOver", "NonFiniteOver", "UpdateRatiosFrom"]
    assert made.cost == Cost(16 + 16 + 24, 16 + 24)
    assert [line.forwards for line in made.lines()] == [0, 16, 16, 24]
    assert made.lines()[1].work == "sweep of train data, train mode"


@pytest.mark.parametrize("at", ["quick", "standard", "deep"])
def test_every_request_of_every_check_is_planned_once_or_said_to_be_unavailable(at: Any) -> None:
    for subject in (facts(), facts({"train": "none", "factory": "none"})):
        made = planned(catalogue(), at, subject)
        done = [request for work in made.work for request in work.requests]
        assert len(done) == len(set(done))
        wanted = {r for c in catalogue() for r in requests_of(c, at, subject).values()}
        assert wanted == {*done, *made.unavailable}
        for work in made.work:
            sweeps = {r.sweep for r in work.requests}
            assert sweeps == {work.sweep}
            if work.sweep is None:
                assert len(work.requests) == 1
            deep = any(r.depth is Depth.BACKWARD for r in work.requests)
            # What may cost less than planned may also be planned without a backward pass.
            assert deep == (work.cost.backwards > 0) or (deep and work.at_most)


def test_a_riding_request_must_be_settled_before_it_is_asked_for_its_sweep() -> None:
    with pytest.raises(ValueError, match="at\\(\\)"):
        _ = GradientNormsOver().sweep
    assert isinstance(GradientNormsOver(), Riding)
