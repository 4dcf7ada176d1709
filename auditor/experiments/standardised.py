"""Targets of a regression brought to mean 0 and deviation 1, and outputs brought back."""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from auditor.intake.batches import Batch
from auditor.intake.losses import main_output
from auditor.intake.subject import Subject


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of targets, one of each for every output, or one for all."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def applied(self, batch: Batch) -> Batch:
        """Return the batch with standardised targets."""
        return replace(batch, target=(batch.target - self.mean) / self.deviation)


class Restored(nn.Module):
    """A model that was trained on standardised targets; it answers in their own unit."""

    def __init__(self, model: nn.Module, standard: Standard) -> None:
        super().__init__()
        self.model = model
        self.standard = standard

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the main output of the model, times the deviation and plus the mean."""
        output = main_output(self.model(*args, **kwargs))
        return output * self.standard.deviation + self.standard.mean


def standard_of(subject: Subject, batches: int) -> Standard | None:
    """Return what standardises the targets, None where they are no plain numbers that vary."""
    if subject.facts.task != "regression":
        return None
    given = itertools.islice(subject.batches("train", batches), batches)
    targets = [batch.target for batch in given]
    if not all(isinstance(t, torch.Tensor) and t.is_floating_point() for t in targets):
        return None
    wide = targets[0].ndim == 2 and targets[0].shape[1] > 1
    values = torch.cat([t.reshape(len(t), -1) if wide else t.reshape(-1, 1) for t in targets])
    values = values.double()
    deviation = values.std(dim=0, correction=0)
    if not values.isfinite().all() or not (deviation > 0).all():
        return None
    mean, deviation = (x.to(targets[0].dtype) for x in (values.mean(dim=0), deviation))
    return Standard(mean, deviation)
