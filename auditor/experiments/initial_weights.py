"""The weights of a checkpoint beside those of fresh models."""

import math

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.intake.subject import BATCH_NORM, Subject
from auditor.observations.initial_weights import InitialTensor, InitialWeights, InitialWeightsOf

SEEDS = (0, 42, 1, 1234, 123, 1337, 2024, 7)
"""Seeds that training scripts like."""

VALUES = 2e8
"""Parameters drawn in all: of large models fewer fresh ones are built."""

FEWEST = 3

EVEN = 1.8
"""Kurtosis of an even distribution; 2.4 and more have truncated normal ones, 3 a normal one."""

ROUNDS = 12
"""Rounds of the power method."""


@torch.no_grad()
def initial_weights(request: InitialWeightsOf, subject: Subject) -> InitialWeights | Unavailable:
    """Compare every parameter with those of fresh models under several seeds."""
    model = subject.model
    assert model is not None
    parameters = dict(model.named_parameters())
    if not parameters:
        return Unavailable("the model has no parameters")
    total = sum(p.numel() for p in parameters.values())
    count = max(FEWEST, min(len(SEEDS) + 1, int(VALUES / max(total, 1))))
    declared = subject.training.seed
    seeds = tuple(dict.fromkeys((*([] if declared is None else [declared % 2**63]), *SEEDS)))
    seeds = seeds[:count]
    seen = {name: _Seen(p) for name, p in parameters.items()}
    for seed in seeds:
        fresh = dict(subject.fresh(seed).named_parameters())
        for name, one in seen.items():
            other = fresh.get(name)
            if other is None or other.shape != parameters[name].shape:
                return Unavailable("the factory builds a model of other parameters")
            one.add(other.detach(), seed)
    norms = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, BATCH_NORM) and module.running_mean is not None
    ]
    return InitialWeights(
        tuple(one.result(name) for name, one in seen.items()),
        seeds,
        len(norms),
        tuple(name for name, module in norms if _untouched(module)),
    )


class _Seen:
    """One parameter and what fresh ones of its name are like; keeps one of these."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._trainable = parameter.requires_grad
        self._own = parameter.detach()
        self._first: torch.Tensor | None = None
        self._fixed = True
        self._seed: int | None = None
        self._same = False
        self._rows: list[torch.Tensor] = []

    def add(self, fresh: torch.Tensor, seed: int) -> None:
        if self._first is None:
            self._first = fresh
        elif self._fixed:
            self._fixed = torch.equal(self._first, fresh)
        if not self._same and torch.equal(self._own, fresh):
            self._same, self._seed = True, seed
        if self._own.is_floating_point() and self._own.numel() > 1:
            self._rows.append(_measures(fresh))

    def result(self, name: str) -> InitialTensor:
        own, first = self._own, self._first
        assert first is not None
        constant = self._fixed and first.numel() > 0 and bool((first == first.flatten()[0]).all())
        real = first.flatten()[0].real if first.is_complex() else first.flatten()[:1].sum()
        finite = bool(torch.isfinite(own).all())
        uniform, gaps, distance = False, (math.nan, math.nan), math.nan
        width = shift = math.nan
        if constant and finite:
            shift = float((own - first).abs().double().square().mean().sqrt())
        if self._rows and not self._fixed and finite:
            table = torch.stack(self._rows).cpu()
            mine = _measures(own).cpu()
            uniform = _is_even(table, own.numel())
            low, high = float(table[:, 3].min()), float(table[:, 4].max())
            if uniform:
                width = high - low
                gaps = (float(mine[3]) - low) / width, (high - float(mine[4])) / width
                shift = max(abs(gap) for gap in gaps) * width
            centre, spread = table[:, :3].mean(0), table[:, :3].std(0)
            least = 1e-6 * table[:, 1].mean() + 1e-6 * centre.abs()
            error = torch.maximum(spread, least) * math.sqrt(1 + 1 / len(table))
            found = ((mine[:3] - centre) / error).abs()
            distance = float(found[~found.isnan()].max()) if (~found.isnan()).any() else math.nan
        return InitialTensor(
            name,
            own.numel(),
            own.ndim,
            str(own.dtype).removeprefix("torch."),
            self._trainable,
            finite,
            self._fixed,
            constant,
            float(real) if constant else math.nan,
            self._same,
            self._seed if not self._fixed else None,
            uniform,
            gaps,
            distance,
            width,
            shift,
        )


def _measures(values: torch.Tensor) -> torch.Tensor:
    """Return mean, deviation, first singular value (NaN of no matrix), extremes and kurtosis."""
    flat = values.double().flatten() if values.device.type != "mps" else values.float().flatten()
    deviation, mean = torch.std_mean(flat)
    fourth = (flat - mean).square().square().mean() / deviation**4
    return torch.stack([mean, deviation, _singular(values), flat.min(), flat.max(), fourth])


def _singular(values: torch.Tensor) -> torch.Tensor:
    """Return about the largest singular value of a tensor seen as [outputs, inputs]."""
    matrix = values.float().flatten(1) if values.ndim > 1 else values.float()[None]
    if min(matrix.shape) < 8:
        return torch.full((), math.nan, dtype=torch.float64, device=values.device)
    vector = torch.linspace(1, 2, matrix.shape[1], device=values.device)
    for _ in range(ROUNDS):
        vector = matrix.T @ (matrix @ vector)
        vector = vector / torch.linalg.vector_norm(vector).clamp(min=1e-30)
    found: torch.Tensor = torch.linalg.vector_norm(matrix @ vector)
    return found.double()


def _is_even(table: torch.Tensor, size: int) -> bool:
    """Tell whether fresh values are drawn evenly from one interval, by deviation and kurtosis."""
    drawn = size * len(table)
    width = float(table[:, 4].max() - table[:, 3].min())
    if drawn < 300 or not width > 0:
        return False
    deviation = float(table[:, 1].square().mean().sqrt())
    apart = abs(deviation * math.sqrt(12) / width - 1)
    return apart < 6 / math.sqrt(drawn) and abs(float(table[:, 5].mean()) - EVEN) < 6 / math.sqrt(
        drawn
    )


def _untouched(module: nn.modules.batchnorm._BatchNorm) -> bool:
    """Tell whether batch norm never counted a batch and still has the statistics it began with."""
    mean, variance, counted = module.running_mean, module.running_var, module.num_batches_tracked
    if mean is None or variance is None or counted is None:
        return False
    return int(counted) == 0 and not bool(mean.any()) and bool(torch.all(variance == 1))
