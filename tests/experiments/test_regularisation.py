"""Pulls of regularisation and of the data, against plain gradients."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.arms import stepper
from auditor.experiments.decays import decays_of, decoupled
from auditor.experiments.penalties import constant_scalars, form_of
from auditor.experiments.regularisation import regularisation
from auditor.intake.optimizer import LiveOptimizer
from auditor.intake.subject import Subject
from auditor.observations.regularisation import TIMES, Regularisation, RegularisationOver
from tests.awkward import TABLE, Awkward, subject_of

REQUEST = RegularisationOver(split="train", steps=3, scored=2)


def clouds() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(6, 16, 8, generator=generator)
    return [(x, (x[:, 0] > 0).long()) for x in points]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 2))


def subject(loss: Any = "cross_entropy", optimizer: Any = None, build: Any = net) -> Subject:
    torch.manual_seed(0)
    return subject_of(build(), clouds(), loss, factory=build, optimizer=optimizer)


def seen(given: Subject) -> Regularisation:
    answer = regularisation(REQUEST, given)
    assert isinstance(answer, Regularisation)
    return answer


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_no_awkward_model_breaks_it(case: Awkward) -> None:
    given = case.subject()
    answer = regularisation(REQUEST, given)
    if not any(p.requires_grad for p in given.model.parameters()):
        assert isinstance(answer, Unavailable)
        return
    assert isinstance(answer, Regularisation)
    assert not answer.untold
    assert answer.slope.missing or answer.slope.error < 1e-2
    assert answer.form == ""


def test_norms_are_those_of_plain_gradients() -> None:
    spec = OptimizerSpec(name="SGD", lr=0.1, weight_decay=1e-3)
    given = subject(optimizer=spec)
    found = seen(given)
    squares = []
    for x, y in clouds()[:2]:
        loss = functional.cross_entropy(given.model(x), y)
        squares.append(
            [
                float(g.square().sum())
                for g in torch.autograd.grad(loss, [*given.model.parameters()])
            ]
        )
    assert found.data == pytest.approx(np.sqrt(np.mean(squares, axis=0)), rel=1e-4)
    weights = [float(p.norm()) for p in given.model.parameters()]
    assert found.weights == pytest.approx(weights, rel=1e-5)
    assert found.decay_worth == pytest.approx(1e-3 / 2 * sum(w * w for w in weights), rel=1e-4)
    fresh = sum(w * w for w in found.fresh_weights)
    assert found.weight == pytest.approx(1e-3 / 2 * fresh / found.fresh_loss, rel=1e-4)
    assert found.released is None
    assert found.slope.error < 1e-4


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(("power", "form", "alike"), [(2, "square", 0.06), (1, "absolute", 0.03)])
def test_a_hidden_penalty_is_taken_out_of_the_data(named, power, form, alike) -> None:
    model = net()

    def penalty(outputs: Any, target: Any) -> torch.Tensor:
        return 0.03 * sum(p.abs().pow(power).sum() for p in model.parameters())

    def whole(outputs: Any, target: Any) -> torch.Tensor:
        return functional.cross_entropy(outputs, target) + penalty(outputs, target)

    loss = {"fit": "cross_entropy", "size": penalty} if named else whole
    given = subject_of(model, clouds(), loss, factory=net, optimizer=None)
    plain = seen(subject_of(model, clouds(), "cross_entropy", factory=net, optimizer=None))
    found = seen(given)
    assert found.terms == ("size" if named else "whole",)
    assert found.form == form
    assert found.alike == pytest.approx(np.full(4, alike), rel=1e-3)
    assert found.data == pytest.approx(plain.data, rel=1e-3)
    assert found.worth == pytest.approx(float(penalty(None, None).detach()), rel=1e-4)
    assert found.data_loss == pytest.approx(plain.data_loss, rel=1e-4)
    # A fresh network's own loss, without the constant that the audited one's penalty is to it.
    assert found.fresh_loss == pytest.approx(plain.fresh_loss, abs=1e-3)


@dataclasses.dataclass
class Answer:
    scores: torch.Tensor
    size: torch.Tensor


class Penalised(nn.Module):
    """Puts out a penalty beside its answers."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = net(), kind

    def forward(self, x: torch.Tensor) -> Any:
        scores, size = self.inner(x), 0.05 * sum(p.square().sum() for p in self.parameters())
        if self.kind == "dataclass":
            return Answer(scores, size)
        return {"scores": scores, "size": size} if self.kind == "dict" else (scores, size)


@pytest.mark.parametrize("kind", ["tuple", "dict", "dataclass"])
def test_a_penalty_among_the_outputs_is_found(kind: str) -> None:
    def loss(outputs: Any, target: torch.Tensor) -> torch.Tensor:
        if kind == "dataclass":
            scores, size = outputs.scores, outputs.size
        else:
            scores, size = outputs.values() if kind == "dict" else outputs
        return functional.cross_entropy(scores, target) + size

    spec = OptimizerSpec(name="SGD", lr=0.1)
    given = subject_of(Penalised(kind), clouds(), loss, factory=lambda: Penalised(kind),
                       optimizer=spec)  # fmt: skip
    found = seen(given)
    assert found.form == "square"
    assert found.alike == pytest.approx(np.full(4, 0.1), rel=1e-3)
    assert found.slope.error < 1e-4
    assert found.released is not None


def test_outputs_that_differ_between_batches_are_no_penalty() -> None:
    weight = torch.ones(1, requires_grad=True)
    same, other, answers = weight.sum() * 2, weight.sum() * 3, weight * torch.ones(4, 1)
    first, second = (answers, same, same), (answers, same, other)
    assert constant_scalars(first, second).places == frozenset({1})


def test_forms_are_told_apart() -> None:
    w = torch.tensor([1.0, -2.0, 3.0])
    assert form_of([w], [0.5 * w]) == ("square", [pytest.approx(0.5)])
    assert form_of([w], [0.1 * w.sign()]) == ("absolute", [pytest.approx(0.1)])
    form, factors = form_of([w, w], [w**3, None])
    assert form == "other"
    assert math.isnan(factors[0])
    assert factors[1] == 0.0
    assert form_of([w], [None]) == ("", [0.0])


def test_scale_before_a_normalisation_does_nothing() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Linear(8, 12, bias=False), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 2)
        )

    found = seen(subject(build=build))
    assert found.free.tolist() == [True, False, False, False, False]


def test_copies_are_freed_of_a_heavy_decay_and_agree_with_plain_training() -> None:
    spec = OptimizerSpec(name="SGD", lr=0.1, weight_decay=1.0)
    given = subject(optimizer=spec)
    found = seen(given)
    assert found.released is not None
    race = found.released
    assert race.start == "fresh" if found.data_loss > 0.95 * found.fresh_loss else "checkpoint"
    assert race.losses.shape == (len(TIMES), 32)
    assert race.losses[1].mean() < race.losses[0].mean()
    assert (race.steps, race.optimizer, race.measure) == (3, "SGD at 0.1", "cross-entropy")
    again = seen(subject(optimizer=spec))
    assert again.released is not None
    assert (again.released.losses == race.losses).all()


def test_nothing_of_the_subject_changes() -> None:
    given = subject(optimizer=OptimizerSpec(name="SGD", lr=0.1, weight_decay=1.0))
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    mode = given.model.training
    seen(given)
    assert all(torch.equal(value, before[name]) for name, value in given.model.state_dict().items())
    assert given.model.training is mode
    assert all(p.grad is None for p in given.model.parameters())


def test_decays_are_those_of_each_group() -> None:
    given = subject()
    names = [name for name, _ in given.model.named_parameters()]
    unknown, why = decays_of(given, names)
    assert np.isnan(unknown).all()
    assert "no optimizer" in why
    assert not decoupled(given)
    groups = [
        {"params": given.model[0].parameters(), "weight_decay": 0.3},
        {"params": [given.model[2].weight]},
    ]
    live = torch.optim.AdamW(groups, lr=0.1, weight_decay=0.1)
    held = dataclasses.replace(given, live_optimizer=LiveOptimizer.of(live, given.model))
    assert decays_of(held, names)[0].tolist() == [0.3, 0.3, 0.1, 0.0]
    assert decoupled(held)
    adamw = dataclasses.replace(given, optimizer=OptimizerSpec(name="AdamW", lr=0.1))
    assert decays_of(adamw, names)[0].tolist() == [0.01] * 4  # its default
    assert decoupled(adamw)
    lbfgs = dataclasses.replace(given, optimizer=OptimizerSpec(name="LBFGS", lr=0.1))
    assert decays_of(lbfgs, names)[0].tolist() == [0.0] * 4
    assert isinstance(stepper(lbfgs, given.model, "checkpoint"), Unavailable)


def test_a_live_optimizer_is_freed_of_its_decays_alone() -> None:
    given = subject()
    live = torch.optim.SGD(given.model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    held = dataclasses.replace(given, live_optimizer=LiveOptimizer.of(live, given.model))
    found = seen(held)
    assert found.released is not None
    assert live.param_groups[0]["weight_decay"] == 0.5
    free = stepper(held, net(), "fresh", {})
    assert isinstance(free, torch.optim.SGD)
    assert free.param_groups[0]["weight_decay"] == 0.0
    assert free.param_groups[0]["momentum"] == 0.9


def test_numbers_that_are_not_finite_are_not_weighed() -> None:
    given = subject()
    with torch.no_grad():
        given.model[0].weight[0, 0] = math.nan
    answer = regularisation(REQUEST, given)
    assert isinstance(answer, Unavailable)
    assert "not finite" in answer.reason


def test_every_pass_is_in_the_plan() -> None:
    given = subject(optimizer=OptimizerSpec(name="SGD", lr=0.1, weight_decay=1.0))
    counts = {"forward": 0}

    def count(module: nn.Module, args: Any) -> None:
        if isinstance(module, nn.Sequential):
            counts["forward"] += 1

    handle = nn.modules.module.register_module_forward_pre_hook(count)
    try:
        seen(given)
    finally:
        handle.remove()
    assert counts["forward"] <= REQUEST.cost({"train": 6, "val": 6}).forwards
