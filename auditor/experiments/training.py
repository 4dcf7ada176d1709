"""Training a private model for a bounded number of steps."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from auditor.core.spec import OptimizerSpec
from auditor.core.values import Array
from auditor.intake import optimizer as optimizers
from auditor.intake.batches import Batch
from auditor.intake.modes import keep_statistics
from auditor.intake.subject import Subject

Watch = Callable[[int, torch.Tensor, Any], bool]
"""Is shown the steps taken so far, the loss before the next one and the outputs behind it, and
tells whether that is enough."""

USUAL = OptimizerSpec(name="Adam", lr=1e-3)
"""What is tried where no optimizer is declared: Adam at the rate its authors advise."""

CHECKED_EVERY = 16
"""Steps between two looks at whether the loss is still finite: a look waits for the device."""


def settled(subject: Subject) -> tuple[OptimizerSpec, str]:
    """Return the optimizer to train with, and why it is not the declared one; empty where it is."""
    if subject.optimizer is None:
        return USUAL, "no optimizer is declared"
    if subject.optimizer.name == "LBFGS":
        return USUAL, "LBFGS goes through the model several times a step"
    return subject.optimizer, ""


def at_rate(optimizer: OptimizerSpec, rate: float) -> OptimizerSpec:
    """Return the same optimizer with another learning rate."""
    return optimizer.model_copy(update={"lr": rate})


def train(
    subject: Subject,
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: OptimizerSpec,
    *,
    clip_norm: float | None = None,
    mode: Callable[[nn.Module], object] = nn.Module.train,
    watch: Watch | None = None,
) -> Array:
    """Train `model` in place, one step a batch; return the loss before each step, [steps].

    It stops soon after the first loss that is not finite; that loss is the last one returned. It
    stops before the step of which `watch` says that it is not needed. `mode` puts the model into
    the mode that it is trained in; batch norm keeps its statistics from the first batch of a single
    example on. The caller seeds, and hands in a model that nobody else holds.
    """
    assert subject.loss is not None
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return torch.zeros(0, dtype=torch.float64).numpy()
    stepper = optimizers.build(optimizer, parameters)
    mode(model)
    losses: list[torch.Tensor] = []
    seen: Any = None
    with torch.enable_grad():
        for number, batch in enumerate(batches, start=1):
            if batch.size == 1:
                keep_statistics(model)

            def closure(batch: Batch = batch) -> torch.Tensor:
                nonlocal seen
                assert subject.loss is not None
                stepper.zero_grad()
                seen = model(*batch.args, **batch.kwargs)
                loss = subject.loss(seen, batch.target)
                if loss.requires_grad:  # not where the model cuts its output off
                    loss.backward()
                if clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
                return loss

            if isinstance(stepper, torch.optim.LBFGS):
                loss = torch.as_tensor(stepper.step(closure))
            else:
                loss = closure()
                if watch is not None and watch(number - 1, loss.detach(), seen):
                    losses.append(loss.detach())
                    break
                stepper.step()
            losses.append(loss.detach())
            if number % CHECKED_EVERY == 0 and not math.isfinite(float(losses[-1])):
                break
    values = torch.stack(losses).double().cpu() if losses else torch.zeros(0, dtype=torch.float64)
    lost = (~values.isfinite()).nonzero()
    return (values[: int(lost[0]) + 1] if len(lost) else values).numpy()
