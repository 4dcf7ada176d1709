"""Sees what batch-norm layers are given."""

from typing import Any

import torch
from torch import nn

from auditor.intake.subject import Subject
from auditor.observations.batch_norm import (
    BatchNormLayer,
    BatchNormStatistics,
    BatchNormStatisticsOver,
)
from auditor.observers.observer import Observer, Step

Moments = tuple[int, torch.Tensor, torch.Tensor]


class BatchNormObserver(Observer):
    """Merges the moments of each layer's inputs, per channel, in float64 (Chan et al. 1979)."""

    def __init__(self, request: BatchNormStatisticsOver, subject: Subject) -> None:
        self._split = request.split
        self._examples = 0
        self._moments: dict[str, Moments] = {}
        self._kept: dict[str, tuple[float, torch.Tensor, torch.Tensor]] = {}

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Add the inputs of a batch-norm layer to its moments."""
        if not isinstance(module, nn.modules.batchnorm._BatchNorm) or not args:
            return
        if module.running_mean is None or module.running_var is None:
            return
        if not isinstance(args[0], torch.Tensor) or not args[0].numel():
            return
        values = args[0].detach()
        values = values if values.dtype == torch.float64 else values.float()
        dims = [dim for dim in range(values.ndim) if dim != 1]
        variance, mean = torch.var_mean(values, dim=dims, correction=0)
        count = values.numel() // values.shape[1]
        mean, squares = mean.double(), variance.double() * count
        if name in self._moments:
            before, old_mean, old_squares = self._moments[name]
            share = count / (before + count)
            delta = mean - old_mean
            mean = old_mean + delta * share
            squares = old_squares + squares + delta.square() * before * share
            count += before
        else:
            running = module.running_mean.detach().clone(), module.running_var.detach().clone()
            self._kept[name] = module.eps, *running
        self._moments[name] = (count, mean, squares)

    def step(self, step: Step) -> None:
        """Count the examples."""
        self._examples += step.batch.size

    def result(self) -> BatchNormStatistics:
        """Return the statistics of every layer met."""
        return BatchNormStatistics(
            layers=tuple(
                BatchNormLayer(
                    layer=name,
                    eps=eps,
                    running_mean=_double(running_mean),
                    running_var=_double(running_var),
                    count=self._moments[name][0],
                    mean=_double(self._moments[name][1]),
                    squares=_double(self._moments[name][2]),
                )
                for name, (eps, running_mean, running_var) in self._kept.items()
            ),
            examples=self._examples,
            split=self._split,
        )


def _double(tensor: torch.Tensor) -> Any:
    return tensor.detach().cpu().double().numpy()
