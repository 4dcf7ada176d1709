"""Sees the loss of each batch."""

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.intake.subject import Subject
from auditor.observations.losses import Losses, LossesOver
from auditor.observers.observer import Observer, Step


class LossesObserver(Observer):
    """Keeps the loss of each batch on the model's device until the end."""

    def __init__(self, request: LossesOver, subject: Subject) -> None:
        self._split = request.split
        self._losses: list[torch.Tensor] = []
        self._sizes: list[int] = []

    def step(self, step: Step) -> None:
        """Keep a batch's loss."""
        if step.loss is not None:
            self._losses.append(step.loss.detach().reshape(()))
            self._sizes.append(step.batch.size)

    def result(self) -> Losses | Unavailable:
        """Return the losses of all batches."""
        if not self._losses:
            return Unavailable("no batch had a loss")
        values = torch.stack(self._losses).double().cpu().numpy()
        return Losses(values, np.asarray(self._sizes), self._split)
