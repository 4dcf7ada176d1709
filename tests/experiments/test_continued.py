"""Copies that are trained on, against plain training."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.subject import CheckpointFacts
from auditor.core.verdict import Verdict
from auditor.experiments.continued import continued
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.optimizer import LiveOptimizer
from auditor.intake.subject import Subject
from auditor.observations.continued import (
    FASTER,
    MUCH,
    NOTABLE,
    SCORED,
    Continued,
    ContinuedFrom,
    gains,
)
from tests.awkward import TABLE, Awkward, subject_of

REQUEST = ContinuedFrom(steps=4)
SGD = OptimizerSpec(name="SGD", lr=0.05, momentum=0.9)
Batches = list[tuple[torch.Tensor, torch.Tensor]]


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))


def clouds(batches: int = 24, spread: float = 1.0) -> Batches:
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(4, 12, generator=generator)
    labels = torch.randint(4, (16 * batches,), generator=generator)
    points = centres[labels] + spread * torch.randn(len(labels), 12, generator=generator)
    return list(zip(points.split(16), labels.split(16), strict=True))


def subject(model: nn.Module | None = None, loader: Any = None, **given: Any) -> Subject:
    torch.manual_seed(0)
    wanted = {"factory": net, "optimizer": SGD, "loss": "cross_entropy", **given}
    loss = wanted.pop("loss")
    return subject_of(model or net(), loader or clouds(), loss, **wanted)


def answer(given: Subject, request: ContinuedFrom = REQUEST) -> Continued:
    made = continued(request, given)
    assert isinstance(made, Continued), made
    return made


def losses(model: nn.Module, batches: Batches) -> np.ndarray:
    model.eval()
    with torch.no_grad():
        each = [functional.cross_entropy(model(x), y, reduction="none") for x, y in batches]
    return torch.cat(each).double().numpy()


def plain(model: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer) -> list[float]:
    told = []
    for x, y in batches:
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        told.append(float(loss.detach()))
    return told


def no_dropout() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))


def test_every_copy_is_trained_on_batches_of_its_own() -> None:
    given = subject(no_dropout(), factory=no_dropout, optimizer=OptimizerSpec(name="SGD", lr=1e-4))
    seen, batches = answer(given), clouds()
    np.testing.assert_allclose(seen.train.before, losses(given.model, batches[:SCORED]), rtol=1e-5)
    for run in range(2):
        twin = copy.deepcopy(given.model)
        start = SCORED + 4 * run
        curve = plain(twin, batches[start : start + 4], torch.optim.SGD(twin.parameters(), lr=1e-4))
        np.testing.assert_allclose(seen.declared_losses[run], curve, rtol=1e-5)
        np.testing.assert_allclose(
            seen.val.declared[run], losses(twin, batches[:SCORED]), rtol=1e-5
        )
    freed = copy.deepcopy(given.model)
    start = SCORED + 8
    curve = plain(freed, batches[start : start + 4], torch.optim.Adam(freed.parameters(), lr=1e-3))
    np.testing.assert_allclose(seen.freed_losses[0], curve, rtol=1e-5)
    np.testing.assert_allclose(seen.val.freed[0], losses(freed, batches[:SCORED]), rtol=1e-5)
    assert seen.unit == "cross-entropy"
    targets = torch.cat([y for _, y in batches[:SCORED]])
    shares = torch.bincount(targets).double() / len(targets)
    assert seen.val.scale == pytest.approx(float(-(shares * shares.log()).sum()))


def test_the_freed_copy_has_no_dropout_and_the_declared_ones_have() -> None:
    seen = answer(subject(optimizer=OptimizerSpec(name="SGD", lr=1e-6)))
    own = losses(subject().model, clouds()[SCORED + 8 : SCORED + 9]).mean()
    assert seen.freed_losses[0, 0] == pytest.approx(own, rel=1e-5)
    own = losses(subject().model, clouds()[SCORED : SCORED + 1]).mean()
    assert abs(seen.declared_losses[0, 0] - own) > 1e-3


def test_nothing_else_is_tried_where_going_on_gains() -> None:
    seen = answer(subject(), ContinuedFrom(steps=16))
    assert seen.freed_losses.size == 0
    assert seen.val.gain("declared")[1] > 0.02
    assert seen.val.gain("freed") is None


def test_a_higher_rate_is_tried_where_much_is_left_and_nothing_helps() -> None:
    """Two layers of sigmoids lie on a plateau at first, on which small steps lead nowhere."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(12, 3), nn.Sigmoid(), nn.Linear(3, 4))
    centred = [(x / 10, y) for x, y in clouds(120)]
    slow = OptimizerSpec(name="Adam", lr=1e-3)
    seen = answer(subject(model, centred, factory=None, optimizer=slow), ContinuedFrom())
    assert seen.left is not None
    assert seen.left > MUCH
    assert not gains(seen, "declared", NOTABLE)
    assert not gains(seen, "freed", NOTABLE)
    assert gains(seen, "faster", NOTABLE)
    assert seen.faster_rate in [pytest.approx(times * slow.lr) for times in FASTER]
    assert seen.faster_losses.shape == (1, seen.steps)
    undeclared = answer(subject(model, centred, factory=None, optimizer=None), ContinuedFrom())
    assert np.isnan(undeclared.faster_rate)


@pytest.mark.parametrize("seed", range(3))
def test_no_rate_helps_a_model_of_a_noisy_task(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(640, 8, generator=generator)
    noise = torch.randn(640, 1, generator=generator)
    targets = 0.5 * points.mean(dim=1, keepdim=True) + noise
    rows = list(zip(points.split(32), targets.split(32), strict=True))
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    spec = OptimizerSpec(name="Adam", lr=1e-3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(20):
        for x, y in rows[:10]:
            optimizer.zero_grad()
            functional.mse_loss(model(x), y).backward()
            optimizer.step()
    given = subject_of(model, rows[10:], "mse_loss", train=rows[:10], optimizer=spec)
    seen = answer(given, ContinuedFrom())
    assert seen.left is not None
    assert seen.left > MUCH
    assert seen.faster_rate == pytest.approx(0.03)
    assert not any(gains(seen, way, NOTABLE) for way in ("declared", "freed", "faster"))


def test_the_same_twice_and_the_subject_as_it_was() -> None:
    given = subject()
    before = copy.deepcopy(given.model.state_dict())
    first, second = answer(given), answer(given)
    np.testing.assert_array_equal(first.val.declared, second.val.declared)
    np.testing.assert_array_equal(first.declared_losses, second.declared_losses)
    for name, value in given.model.state_dict().items():
        assert torch.equal(value, before[name])


def saved(model: nn.Module, last: float, steps: int = 5) -> tuple[Subject, dict[str, Any]]:
    """Return a subject whose checkpoint holds Adam's state, its rate having come down to `last`."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    plain(model, clouds()[:steps], optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"][0] |= {"lr": last, "initial_lr": 0.01}
    facts = CheckpointFacts("w.pt", "torch", "", 0, 4)
    checkpoint = Checkpoint(facts, model.state_dict(), optimizer=state)
    spec = OptimizerSpec(name="Adam", lr=0.01)
    given = subject(model, factory=no_dropout, optimizer=spec)
    return replace(given, checkpoint=checkpoint), state


def test_moments_and_the_last_rate_go_on() -> None:
    torch.manual_seed(1)
    given, state = saved(no_dropout(), 0.004)
    seen = answer(given)
    assert seen.restored
    assert seen.rate == 0.004
    twin = copy.deepcopy(given.model)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.004)
    optimizer.load_state_dict(state)
    curve = plain(twin, clouds()[SCORED : SCORED + 4], optimizer)
    np.testing.assert_allclose(seen.declared_losses[0], curve, rtol=1e-4)


def test_a_rate_that_has_come_down_to_nothing_is_a_tenth_of_the_first() -> None:
    torch.manual_seed(1)
    given, _ = saved(no_dropout(), 0.0)
    seen = answer(given)
    assert seen.rate == pytest.approx(0.001)
    assert "the schedule has come down to 0" in seen.note


def test_an_optimizer_at_hand_goes_on_itself() -> None:
    torch.manual_seed(1)
    model = no_dropout()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[2].parameters()}],
        lr=0.1,
        momentum=0.9,
    )
    plain(model, clouds()[:5], optimizer)
    state = copy.deepcopy(optimizer.state_dict())
    given = subject(model, factory=no_dropout, optimizer=None)
    seen = answer(replace(given, live_optimizer=LiveOptimizer.of(optimizer, model)))
    assert seen.restored
    twin = copy.deepcopy(model)
    theirs = torch.optim.SGD(
        [{"params": twin[0].parameters(), "lr": 0.01}, {"params": twin[2].parameters()}],
        lr=0.1,
        momentum=0.9,
    )
    theirs.load_state_dict(state)
    curve = plain(twin, clouds()[SCORED : SCORED + 4], theirs)
    np.testing.assert_allclose(seen.declared_losses[0], curve, rtol=1e-4)


@pytest.mark.parametrize("spec", [None, "LBFGS", "SparseAdam"])
def test_what_can_not_be_gone_on_with_is_replaced_and_said(spec: str | None) -> None:
    optimizer = OptimizerSpec(name=spec, lr=0.1) if spec else None
    seen = answer(subject(optimizer=optimizer))
    assert seen.optimizer == "Adam(lr=0.001)"
    assert seen.note


def test_a_loss_of_ones_own_is_scored_by_the_batch_beside_a_fresh_model() -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (1 - outputs.softmax(1).gather(1, target[:, None])).mean()

    model = no_dropout()
    plain(model, clouds(), torch.optim.Adam(model.parameters(), lr=0.01))
    seen = answer(subject(model, loss=own, task="custom", factory=no_dropout))
    assert seen.unit == "loss"
    assert seen.val.before.shape == (SCORED,)
    assert seen.val.scale == pytest.approx(seen.fresh - seen.train.before.mean())
    assert np.isnan(answer(subject(model, loss=own, task="custom", factory=None)).val.scale)


def test_a_costly_model_is_given_fewer_steps_and_batches() -> None:
    given = subject()
    dear = replace(given, facts=replace(given.facts, flops=3e8))
    seen = answer(dear, ContinuedFrom())
    assert 1 <= seen.steps < seen.planned == 19
    assert len(seen.val.before) < 16 * SCORED


def test_a_model_without_trainable_parameters_is_left_alone() -> None:
    frozen = no_dropout().requires_grad_(False)
    told = continued(REQUEST, subject(frozen, factory=None))
    assert isinstance(told, Unavailable)
    assert "no trainable" in told.reason


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_trained_on_or_refused(case: Awkward) -> None:
    told = continued(ContinuedFrom(steps=2), case.subject())
    if case.trains:
        assert isinstance(told, Continued)
        assert np.isfinite(told.val.declared).all()
    else:
        assert isinstance(told, Unavailable)


def test_weights_of_nan_are_no_error() -> None:
    model = no_dropout()
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    record = audit(
        model,
        factory=no_dropout,
        train=clouds(),
        val=clouds()[:4],
        loss="cross_entropy",
        only=("underfitted", "overfitted"),
        remedies=False,
    )
    verdicts = {found.check: found.verdict for found in record.findings}
    assert Verdict.ERROR not in verdicts.values()
    assert verdicts["underfitted"] in (Verdict.NOT_APPLICABLE, Verdict.INFO)


def test_cross_entropy_does_not_stand_for_weighted_classes() -> None:
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 1.0, 1.0]))
    given = subject(no_dropout(), loss=weighted, factory=no_dropout)
    seen = answer(given)
    assert seen.unit == "loss"
    inputs, target = clouds()[0]
    expected = float(weighted(given.model(inputs), target).detach())
    assert seen.val.before[0] == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_known_is_taken_for_what_it_is_where_the_model_fits_it() -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target) * 3

    fitted = no_dropout()
    plain(fitted, clouds(), torch.optim.Adam(fitted.parameters(), lr=0.01))
    assert answer(subject(fitted, loss=own)).unit == "cross-entropy"
    spoilt = copy.deepcopy(fitted)
    with torch.no_grad():
        spoilt[2].weight.mul_(-1)
    assert answer(subject(spoilt, loss=own)).unit == "loss"
