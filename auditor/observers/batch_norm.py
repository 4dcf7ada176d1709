"""Sees what batch-norm layers are given."""

from typing import Any

import torch
from torch import nn

from auditor.intake.running_statistics import Moments, keeps_statistics
from auditor.intake.subject import Subject
from auditor.observations.batch_norm import BatchNormStatistics, BatchNormStatisticsOver
from auditor.observers.observer import Observer, Step


class BatchNormObserver(Observer):
    """Keeps the moments of each layer's inputs, per channel."""

    def __init__(self, request: BatchNormStatisticsOver, subject: Subject) -> None:
        self._split = request.split
        self._examples = 0
        self._moments: dict[str, Moments] = {}

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Add the inputs of a layer that keeps running statistics."""
        if not args or not isinstance(args[0], torch.Tensor) or not keeps_statistics(module):
            return
        if name not in self._moments:
            self._moments[name] = Moments(module)
        self._moments[name].add(args[0])

    def step(self, step: Step) -> None:
        """Count the examples."""
        self._examples += step.batch.size

    def result(self) -> BatchNormStatistics:
        """Return the statistics of every layer met."""
        found = (moments.layer(name) for name, moments in self._moments.items())
        return BatchNormStatistics(
            tuple(layer for layer in found if layer is not None), self._examples, self._split
        )
