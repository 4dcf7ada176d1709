"""The passes that are really made are those that the plan announces."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.checks import catalogue, find
from auditor.core.request import Cost, Profile, Request
from auditor.engine.perform import perform
from auditor.engine.plan import plan_of, planned, requests_of
from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from tests.awkward import BY_NAME, Awkward, mlp, subject_of, vectors


class Counter:
    """Counts the forward passes of every model built, and the backward passes from one loss.

    Passes back to outputs that no model made are not counted: they are of the loss alone.
    """

    def __init__(self) -> None:
        self.forwards = 0
        self.backwards = 0

    def counted(self, model: nn.Module) -> nn.Module:
        model.register_forward_pre_hook(self._forward)
        return model

    def _forward(self, module: nn.Module, args: Any) -> None:
        self.forwards += 1

    def loss(self, loss: Any) -> Any:
        def counting(outputs: Any, target: Any) -> torch.Tensor:
            value = loss(outputs, target)
            if any(tensor.grad_fn is not None for tensor in tensors_in(outputs)):
                value = value * 1.0
                value.register_hook(self._backward)
            return value

        return counting

    def _backward(self, gradient: torch.Tensor) -> None:
        self.backwards += 1

    @property
    def cost(self) -> Cost:
        return Cost(self.forwards, self.backwards)

    def __deepcopy__(self, memo: Any) -> "Counter":
        return self


def brief(profile: Profile, subject: Subject) -> Iterator[Request[Any]]:
    """Yield what the catalogue asks for, training runs being of an eighth of the steps.

    What is announced follows the steps, so that every bound is still held against what is done.
    """
    for check in catalogue():
        for request in requests_of(check, profile, subject.facts).values():
            steps = getattr(request, "steps", None)
            yield request if steps is None else replace(request, steps=max(1, steps // 8))


def spent(subject: Subject, counter: Counter, profile: Profile, *, whole: bool = False) -> None:
    """Do all the work and compare each piece with what was announced."""
    if whole:
        plan = planned(catalogue(), profile, subject.facts)
    else:
        plan = plan_of(dict.fromkeys(brief(profile, subject)), subject.facts)
    assert plan.work
    for work in plan.work:
        before = counter.cost
        advanced: list[int] = []
        answers = dict(perform(work, subject, lambda advanced=advanced: advanced.append(1)))
        assert set(answers) == set(work.requests)
        made = Cost(counter.forwards - before.forwards, counter.backwards - before.backwards)
        if work.at_most:
            assert made.forwards <= work.cost.forwards, work.name
            assert made.backwards <= work.cost.backwards, work.name
        else:
            assert made == work.cost, work.name
        if work.sweep is not None:
            assert len(advanced) == work.cost.forwards


@pytest.mark.parametrize(
    ("profile", "factory", "batches", "whole"),
    [
        ("quick", True, 20, True),
        ("standard", True, 5, False),
        ("deep", True, 1, False),
        ("quick", False, 1, False),
        ("standard", False, 20, False),
        ("deep", False, 5, False),
    ],
)
def test_passes_are_those_planned(
    profile: Profile, factory: bool, batches: int, whole: bool
) -> None:
    counter = Counter()
    data = (vectors() * batches)[:batches]
    subject = subject_of(
        counter.counted(mlp()),
        data,
        counter.loss(functional.cross_entropy),
        task="multiclass",
        profile=profile,
        factory=(lambda: counter.counted(mlp())) if factory else None,
    )
    spent(subject, counter, profile, whole=whole)


VARIED = (
    "encoder",
    "lstm",
    "remembers",
    "scalar-output",
    "segmentation",
    "train-only",
)
"""One for each way in which counts could differ: attention, recurrence, state, outputs, modes."""


@pytest.mark.parametrize("case", [BY_NAME[name] for name in VARIED], ids=str)
def test_passes_are_those_planned_for_awkward_models(case: Awkward) -> None:
    counter = Counter()
    loss = case.loss if callable(case.loss) else getattr(functional, case.loss)

    def matching(outputs: Any, target: Any) -> Any:
        from auditor.intake.losses import main_output, matched

        if isinstance(case.loss, str):
            outputs, target = matched(main_output(outputs), target, case.loss)
        elif isinstance(case.loss, nn.Module):
            target = target.to(outputs.dtype).reshape(outputs.shape)
        return loss(outputs, target)

    subject = subject_of(
        counter.counted(case.model()),
        case.batches(),
        counter.loss(matching),
        task=case.task,
        profile="quick",
        factory=lambda: counter.counted(case.build()),
    )
    spent(subject, counter, "quick")


@pytest.mark.parametrize("name", ["no-parameters", "frozen-whole"])
def test_no_backward_pass_is_planned_or_made_where_nothing_can_be_trained(name: str) -> None:
    case = BY_NAME[name]
    counter = Counter()
    subject = subject_of(
        counter.counted(case.model()), case.batches(), counter.loss(functional.cross_entropy)
    )
    for work in planned(catalogue(), "standard", subject.facts).work:
        if work.sweep is not None:
            assert work.cost.backwards == 0
            before = counter.cost
            list(perform(work, subject))
            assert counter.forwards - before.forwards == work.cost.forwards
    assert counter.backwards == 0


def test_equal_requests_are_one_piece_of_work() -> None:
    subject = BY_NAME["mlp"].subject()
    once = planned([find("vanishing-gradients")], "standard", subject.facts)
    twice = planned(
        [find("vanishing-gradients"), find("exploding-gradients")], "standard", subject.facts
    )
    assert once.work == twice.work


def test_sweeps_stop_where_no_observer_wants_more() -> None:
    counter = Counter()
    subject = subject_of(counter.counted(mlp()), vectors() * 10, "cross_entropy")
    plan = planned([find("dead-units")], "quick", subject.facts)
    before = counter.forwards
    for work in plan.work:
        list(perform(work, subject))
    assert counter.forwards - before == plan.cost.forwards == 8
