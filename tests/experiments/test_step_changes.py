"""What steps change, and how weights compare with fresh ones, against plain computations."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import AuditSettings, AuditSpec, OptimizerSpec, TrainingSpec
from auditor.experiments.initial_weights import initial_weights
from auditor.experiments.step_changes import step_changes
from auditor.intake.assembly import assemble
from auditor.intake.live import live_parts
from auditor.intake.subject import Subject
from auditor.observations.initial_weights import InitialWeights, InitialWeightsOf
from auditor.observations.step_changes import StepChanges, StepChangesOver
from tests.awkward import vectors


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 3))


def subject_for(model: nn.Module, optimizer: object = None, **training: object) -> Subject:
    spec = AuditSpec(
        training=TrainingSpec(**training),  # type: ignore[arg-type]
        audit=AuditSettings(device="cpu"),
    )
    data = vectors()
    return assemble(
        live_parts(model, net, "cross_entropy", data, data, None, None, "cpu", optimizer), spec
    )


def test_changes_agree_with_plain_training() -> None:
    model = net()
    held = [p for name, p in model.named_parameters() if name != "3.bias"]
    groups = [{"params": held[:2], "lr": 0.0}, {"params": held[2:], "lr": 1e-8}]
    subject = subject_for(model, torch.optim.SGD(groups, lr=0.1))
    seen = step_changes(StepChangesOver(), subject)
    assert isinstance(seen, StepChanges)
    twin = net()
    twin.load_state_dict(model.state_dict())
    named = dict(twin.named_parameters())
    rates = dict.fromkeys(named, 1e-8) | {"0.weight": 0.0, "0.bias": 0.0, "3.bias": math.nan}
    moved = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in named.items()}
    got = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in named.items()}
    squares = dict.fromkeys(named, 0.0)
    twin.train()
    for x, y in vectors()[:3]:
        twin.zero_grad()
        functional.cross_entropy(twin(x), y).backward()
        for name, p in named.items():
            got[name] |= p.grad != 0
            before = p.detach().clone()
            if rates[name] > 0:
                p.data.sub_(p.grad * rates[name])
            moved[name] |= p.detach() != before
            squares[name] += float((p.detach() - before).square().mean()) / 3
    for one in seen.parameters:
        assert one.changed == pytest.approx(float(moved[one.name].float().mean())), one.name
        lost = (got[one.name] & ~moved[one.name]).sum() / got[one.name].sum()
        assert one.lost == pytest.approx(float(lost)), one.name
        assert one.held == (one.name != "3.bias")
        np.testing.assert_equal(one.rate, rates[one.name])
        assert one.length == pytest.approx(math.sqrt(squares[one.name]), rel=1e-5)
    assert seen.parameters[0].changed == 0
    assert 0 < seen.parameters[4].changed < 1
    assert len(seen.losses) == 3


def test_what_can_not_be_stepped_says_so() -> None:
    assert isinstance(step_changes(StepChangesOver(), subject_for(net())), Unavailable)
    lbfgs = replace(subject_for(net()), optimizer=OptimizerSpec(name="LBFGS", lr=1))
    answer = step_changes(StepChangesOver(), lbfgs)
    assert isinstance(answer, Unavailable)
    assert "LBFGS" in answer.reason
    model = net()
    own = torch.optim.LBFGS(model.parameters())
    assert isinstance(step_changes(StepChangesOver(), subject_for(model, own)), Unavailable)
    frozen = net().requires_grad_(False)
    assert isinstance(step_changes(StepChangesOver(), subject_for(frozen)), Unavailable)


def compared(model: nn.Module, **training: object) -> InitialWeights:
    seen = initial_weights(InitialWeightsOf(), subject_for(model, **training))
    assert isinstance(seen, InitialWeights)
    return seen


def test_weights_of_a_fresh_model_are_found_out() -> None:
    torch.manual_seed(77)
    model = net()
    by_name = {t.name: t for t in compared(model).tensors}
    weight = by_name["0.weight"]
    assert (weight.uniform, weight.fixed, weight.same, weight.seed) == (True, False, False, None)
    bound = 1 / math.sqrt(8)
    own = model[0].weight.detach()
    expected = ((float(own.min()) + bound) / 2 / bound, (bound - float(own.max())) / 2 / bound)
    assert weight.gaps == pytest.approx(expected, abs=3e-3)
    assert weight.distance < 5
    scale = by_name["1.weight"]
    assert (scale.fixed, scale.constant, scale.value, scale.same) == (True, True, 1.0, True)
    assert compared(model).untouched == ("1",)
    declared = compared(model, seed=77)
    assert declared.seeds[0] == 77
    assert {t.seed for t in declared.tensors if not t.fixed} == {77}
    assert all(t.same for t in declared.tensors)


def test_weights_that_moved_are_far_from_fresh_ones() -> None:
    model = net()
    with torch.no_grad():
        model[0].weight[0] += 0.1
        model[3].weight.mul_(1.3)
        model[1].weight[0] = 0.5
    model.train()
    model(vectors()[0][0])
    seen = compared(model)
    by_name = {t.name: t for t in seen.tensors}
    assert min(by_name["0.weight"].gaps) < -0.01
    assert by_name["3.weight"].distance > 6
    assert not by_name["1.weight"].same
    assert seen.untouched == ()


class Normal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 3))
        self.t = nn.Parameter(nn.init.trunc_normal_(torch.empty(40, 40), std=0.02, a=-0.04, b=0.04))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.w + self.t.sum()


def test_normal_draws_are_not_taken_for_even_ones() -> None:
    data = vectors()
    parts = live_parts(Normal(), Normal, "cross_entropy", data, data, None, None, "cpu")
    subject = assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    seen = initial_weights(InitialWeightsOf(), subject)
    assert isinstance(seen, InitialWeights)
    assert not any(t.uniform for t in seen.tensors)
