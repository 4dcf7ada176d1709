"""Range tests and races, against plain training by hand on the same batches."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Cost, Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.rate_trials import JUMP, NEAR, rate_trials
from auditor.experiments.steppers import stepper_for
from auditor.intake.optimizer import LiveOptimizer
from auditor.observations.rate_trials import PROBES, RACE, RANGE, RateTrials, RateTrialsOver
from tests.awkward import BY_NAME, mlp, vectors

TRAINED = RateTrialsOver(start="checkpoint", seeds=2)
FRESH = RateTrialsOver(start="fresh", seeds=2)
SGD = OptimizerSpec(name="SGD", lr=0.1)


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    inputs = torch.randn(24, 8, 8)
    way = torch.randn(8, 3)
    return [(x, (x @ way).argmax(dim=1)) for x in inputs]


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def subject(optimizer: OptimizerSpec | None = SGD, **more: Any) -> Any:
    case = replace(BY_NAME["mlp"], build=plain, optimizer=optimizer or SGD)
    made = case.subject(batches=batches(), **more)
    return made if optimizer is not None else replace(made, optimizer=None)


def of(request: RateTrialsOver, made: Any) -> RateTrials:
    found = rate_trials(request, made)
    assert isinstance(found, RateTrials), found
    return found


@torch.no_grad()
def costs_of(model: nn.Module, held: Any) -> Any:
    return np.asarray([float(functional.cross_entropy(model(x), y)) for x, y in held])


def by_hand(model: nn.Module, rates: Any, number: int, seeds: int) -> tuple[list[float], nn.Module]:
    """Return the losses before each step of gradient descent, and the model after the last."""
    model = copy.deepcopy(model)
    steps = len(rates)
    shift = number * steps // seeds
    first = batches()[:steps]
    losses = []
    for rate, (inputs, target) in zip(rates, first[shift:] + first[:shift], strict=True):
        loss = functional.cross_entropy(model(inputs), target)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= rate * g
        losses.append(float(loss.detach()))
    return losses, model


def test_a_race_is_plain_training() -> None:
    made = subject()
    found = of(TRAINED, made)
    assert [arm.kind for arm in found.arms] == ["declared", "tenth"]
    assert [arm.rate for arm in found.arms] == pytest.approx([0.1, 0.01])
    steps, probes = RACE["checkpoint"], PROBES["checkpoint"]
    costs = costs_of(made.model, batches()[:steps])
    for arm in found.arms:
        for number in range(2):
            losses, after = by_hand(made.model, [arm.rate] * steps, number, 2)
            moved = np.roll(costs - costs.mean(), -(number * steps // 2))
            np.testing.assert_allclose(arm.losses[number], losses - moved, rtol=1e-4)
            held = batches()[steps : steps + probes]
            np.testing.assert_allclose(arm.probes[number], costs_of(after, held), rtol=1e-4)
    assert found.gain(found.arms[0]).value == pytest.approx(
        float(np.mean(found.before - found.arms[0].probes))
    )


def test_a_range_test_is_plain_training_at_growing_rates() -> None:
    made = subject()
    found = of(TRAINED, made).range
    steps = RANGE["checkpoint"]
    grown = found.rates[1] / found.rates[0]
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], grown)
    assert found.rates[-1] * grown / found.rates[0] == pytest.approx(3e3)
    losses, _ = by_hand(made.model, [*found.rates, found.rates[-1] * grown], 0, 2)
    costs = costs_of(made.model, batches()[:steps])
    expected = np.asarray(losses) - (costs - costs.mean())
    kept = np.isfinite(found.losses[0])
    np.testing.assert_allclose(found.losses[0][kept], expected[1:][kept], rtol=1e-4)
    assert found.stopped[0] in ("loss", "end")
    assert kept.all() == (found.stopped[0] == "end")


def test_the_audited_model_and_its_moments_stay_as_they_are() -> None:
    made = subject(OptimizerSpec(name="Adam", lr=0.01))
    before = copy.deepcopy(made.model.state_dict())
    first, again = of(TRAINED, made), of(TRAINED, made)
    assert all(torch.equal(v, before[k]) for k, v in made.model.state_dict().items())
    np.testing.assert_array_equal(first.range.losses, again.range.losses)
    np.testing.assert_array_equal(first.arms[0].probes, again.arms[0].probes)


def test_a_rate_far_too_low_is_raced_against_the_recommended_one() -> None:
    made = subject(OptimizerSpec(name="Adam", lr=1e-7))
    for request in (FRESH, TRAINED):
        found = of(request, made)
        assert [arm.kind for arm in found.arms] == ["declared", "recommended"]
        other = found.arm("recommended")
        assert other is not None
        assert other.rate == pytest.approx(found.range.edge / 10)
        gain = found.gain(other, found.arm("declared"))
        assert gain is not None
        assert gain.sure


def test_a_rate_far_too_high_loses_to_the_recommended_one() -> None:
    found = of(FRESH, subject(OptimizerSpec(name="SGD", lr=1e3)))
    usual, other = found.arm("declared"), found.arm("recommended")
    assert usual is not None
    assert other is not None
    assert usual.lost or usual.probes.mean() > 10 * other.probes.mean()


def test_a_ramp_is_run_where_the_first_steps_make_the_loss_jump() -> None:
    for rate in (1.0, 2.0, 4.0, 8.0):
        found = of(FRESH, subject(OptimizerSpec(name="SGD", lr=rate)))
        usual, ramp = found.arm("declared"), found.arm("ramp")
        assert usual is not None
        peak = usual.losses.mean(axis=0).max() / usual.losses[:, 0].mean()
        jumps = usual.lost > 0 or peak > JUMP
        assert (ramp is not None) == (jumps and rate <= NEAR * found.range.edge)


def test_several_groups_keep_their_proportions() -> None:
    made = subject(None)
    model = made.model
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "lr": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "lr": 0.02},
    ]
    live = LiveOptimizer.of(torch.optim.SGD(groups, lr=0.1), model)
    made = replace(made, live_optimizer=live)
    stepper = stepper_for(made, copy.deepcopy(model), fresh=True)
    assert stepper.bases == (0.1, 0.02)
    assert not stepper.instead
    stepper.at(1.0)
    assert [g["lr"] for g in stepper.optimizer.param_groups] == pytest.approx([1.0, 0.2])
    assert of(FRESH, made).groups == 2


def test_a_schedule_that_came_down_is_gone_on_with_where_it_ended() -> None:
    made = subject()
    optimizer = torch.optim.SGD(made.model.parameters(), lr=0.1)
    made = replace(made, live_optimizer=LiveOptimizer.of(optimizer, made.model))
    for last, raced in ((0.02, [0.02, 0.002]), (0.0, [])):
        optimizer.param_groups[0].update(initial_lr=0.1, lr=last)
        found = of(TRAINED, made)
        assert [arm.rate for arm in found.arms] == pytest.approx(raced)
        assert found.declared == 0.1
        assert of(FRESH, made).arms[0].rate == 0.1


def test_why_nothing_can_be_tried() -> None:
    frozen = BY_NAME["frozen-whole"].subject()
    found = rate_trials(TRAINED, frozen)
    assert isinstance(found, Unavailable)
    assert "no trainable parameters" in found.reason
    lost = mlp()
    with torch.no_grad():
        next(lost.parameters()).fill_(torch.nan)
    found = rate_trials(TRAINED, BY_NAME["mlp"].subject(lost))
    assert isinstance(found, Unavailable)
    assert "not finite before any step" in found.reason
    large = subject()
    large = replace(large, facts=replace(large.facts, flops=1e15))
    found = rate_trials(TRAINED, large)
    assert isinstance(found, Unavailable)
    assert "so large" in found.reason


def test_an_undeclared_optimizer_is_replaced_and_not_raced() -> None:
    found = of(FRESH, subject(None))
    assert found.instead == "no optimizer is declared"
    assert not found.arms
    assert found.adaptive


@pytest.mark.parametrize("start", ["fresh", "checkpoint"])
def test_the_cost_announced_is_never_exceeded(start: str) -> None:
    made = Cost()

    def counted(module: nn.Module, *_: Any) -> None:
        nonlocal made
        made += Cost(1, 0)

    def build() -> nn.Module:
        model = mlp()
        model.register_forward_pre_hook(counted)
        return model

    request = RateTrialsOver(start=start)  # type: ignore[arg-type]
    case = replace(BY_NAME["mlp"], build=build, optimizer=OptimizerSpec(name="SGD", lr=1e3))
    whole = case.subject(batches=vectors() * 6)
    made = Cost()
    rate_trials(request, whole)
    announced = request.cost({"train": 24, "val": 24})
    assert 0 < made.forwards <= announced.forwards
    assert RateTrialsOver(start="fresh").cost({}) == Cost()


def test_both_starts_together_stay_within_the_budget() -> None:
    costs = [RateTrialsOver(start=s).cost({"train": 38}) for s in ("fresh", "checkpoint")]  # type: ignore[arg-type]
    assert sum(c.forwards + 2 * c.backwards for c in costs) / 3 <= 230
