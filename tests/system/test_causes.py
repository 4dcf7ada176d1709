"""Faults that people asked about, planted anew: the true cause comes first, and its cure is tried.

The first three are questions 44998910, 45442843 and 51930566 on Stack Overflow, in PyTorch; the
others are of the same kinds.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from auditor.api import Record
from auditor.core.record import Cause
from tests.subjects import Live, trained

POINTS = torch.randn(480, 6, generator=torch.Generator().manual_seed(0))


def loaders(inputs: torch.Tensor, targets: torch.Tensor) -> tuple[list, list]:
    batches = list(zip(inputs.split(24), targets.split(24), strict=True))
    return batches[:15], batches[15:]


def regression(scale: float = 1.0, shift: float = 0.0) -> tuple[list, list]:
    noise = 0.1 * torch.randn(480, 1, generator=torch.Generator().manual_seed(1))
    targets = POINTS[:, :1] - POINTS[:, 1:2] + torch.relu(POINTS[:, 2:3]) + noise
    return loaders(POINTS, scale * targets + shift)


def classes(scale: float = 1.0, shift: float = 0.0) -> tuple[list, list]:
    return loaders(scale * POINTS + shift, POINTS[:, :4].argmax(dim=1))


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 1))


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 4))


def subject(
    factory: Callable[[], nn.Module],
    data: tuple[list, list],
    loss: str,
    optimizer: dict[str, object],
    epochs: int = 4,
) -> Live:
    """Return a subject trained by its own optimizer."""
    live = trained(factory, *data, loss, epochs=0)
    torch.manual_seed(0)
    stepper = getattr(torch.optim, str(optimizer["name"]))(
        live.model.parameters(), **{k: v for k, v in optimizer.items() if k != "name"}
    )
    for _ in range(epochs):
        for inputs, target in live.train:
            stepper.zero_grad()
            getattr(nn.functional, loss)(live.model(inputs), target).backward()
            stepper.step()
    options = {"remedies": True, "profile": "quick"}
    return replace(live, optimizer=optimizer, options=options)


CHECKS = (
    *("no-better-than-baseline", "does-not-learn-in-short-run", "trained-loss-off"),
    *("initial-loss-off-chance", "inputs-not-normalised", "loss-unfit-for-task"),
    *("dead-units", "disconnected-parameters", "vanishing-gradients", "update-ratio-off"),
)


def audited(live: Live) -> Record:
    return live.audited(*CHECKS)


def first_cause(live: Live) -> Cause:
    record = audited(live)
    assert record.causes, [(f.check, f.verdict) for f in record.findings]
    return record.causes[0]


def proven(cause: Cause) -> None:
    """Assert that the first remedy made copies better."""
    first = cause.remedies[0]
    assert first.tried
    assert first.helped
    assert first.before != first.after
    assert "confirmed by a trial" in cause.confidence


@pytest.mark.slow
def test_a_rate_far_too_low_comes_first() -> None:
    cause = first_cause(subject(regressor, regression(), "mse_loss", {"name": "SGD", "lr": 1e-6}))
    assert cause.id == "learning-rate-too-low"
    proven(cause)


@pytest.mark.slow
def test_a_softmax_over_one_unit_comes_first() -> None:
    def alone() -> nn.Module:
        return nn.Sequential(nn.Linear(6, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Softmax(dim=1))

    optimizer = {"name": "RMSprop", "lr": 1e-3}
    cause = first_cause(subject(alone, regression(), "l1_loss", optimizer))
    assert cause.id == "loss-unfit-for-task"
    assert "disconnected-parameters" in cause.findings


@pytest.mark.slow
def test_targets_in_the_thousands_come_first() -> None:
    optimizer = {"name": "Adam", "lr": 1e-3}
    cause = first_cause(subject(regressor, regression(100.0, 5000.0), "mse_loss", optimizer))
    assert cause.id == "targets-not-standardised"
    proven(cause)


@pytest.mark.slow
def test_inputs_in_the_hundreds_come_first() -> None:
    optimizer = {"name": "SGD", "lr": 0.05, "momentum": 0.9}
    cause = first_cause(subject(classifier, classes(80.0, 300.0), "cross_entropy", optimizer))
    assert cause.id == "inputs-not-normalised"
    proven(cause)


@pytest.mark.slow
def test_a_healthy_subject_has_no_cause_and_no_trial() -> None:
    optimizer = {"name": "Adam", "lr": 1e-2}
    record = audited(subject(classifier, classes(), "cross_entropy", optimizer, epochs=12))
    assert record.causes == ()
    assert not [line for line in record.plan if "TreatmentOver" in line.work]
