"""Training a private model for a bounded number of steps."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn

from auditor.core.spec import OptimizerSpec
from auditor.core.values import Array
from auditor.intake import optimizer as optimizers
from auditor.intake.batches import Batch
from auditor.intake.subject import Subject

Changed = Callable[[Batch], Batch]

USUAL = OptimizerSpec(name="Adam", lr=1e-3)
"""What is tried where no optimizer is declared: Adam at the rate its authors advise."""

CHECKED_EVERY = 16
"""Steps between two looks at whether the loss is still finite: a look waits for the device."""


def train(
    subject: Subject,
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: OptimizerSpec,
    *,
    clip_norm: float | None = None,
) -> Array:
    """Train `model` in place, one step a batch; return the loss before each step, [steps].

    It stops soon after the first loss that is not finite; that loss is the last one returned.
    The caller seeds, and hands in a model that nobody else holds.
    """
    assert subject.loss is not None
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        return torch.zeros(0, dtype=torch.float64).numpy()
    stepper = optimizers.build(optimizer, parameters)
    model.train()
    losses: list[torch.Tensor] = []
    with torch.enable_grad():
        for number, batch in enumerate(batches, start=1):

            def closure(batch: Batch = batch) -> torch.Tensor:
                assert subject.loss is not None
                stepper.zero_grad()
                loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
                loss.backward()
                if clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
                return loss

            if isinstance(stepper, torch.optim.LBFGS):
                loss = torch.as_tensor(stepper.step(closure))
            else:
                loss = closure()
                stepper.step()
            losses.append(loss.detach())
            if number % CHECKED_EVERY == 0 and not math.isfinite(float(losses[-1])):
                break
    values = torch.stack(losses).double().cpu() if losses else torch.zeros(0, dtype=torch.float64)
    lost = (~values.isfinite()).nonzero()
    return (values[: int(lost[0]) + 1] if len(lost) else values).numpy()
