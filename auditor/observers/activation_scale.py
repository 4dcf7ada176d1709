"""Sees how large activations are, on samples of each output."""

import math
import weakref
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from auditor.observations.activation_scale import (
    STATISTICS,
    ActivationScale,
    ActivationScaleInTraining,
    ActivationScaleOver,
    LayerKind,
)
from auditor.observers.observer import Observer, Place, Step

MOST = 2**14
"""Values of an output that its moments are taken from, spread over all examples and positions."""

SMALLEST_NORMAL, ROUNDS_TO_ZERO = 2.0**-14, 2.0**-25
"""Of float16: the smallest normal number, and what is zero after rounding (IEEE 754)."""

_WEIGHTED = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd)
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class ActivationScaleObserver(Observer):
    """Keeps a row of numbers for each place and batch, on the model's device until the end."""

    def __init__(
        self, request: ActivationScaleOver | ActivationScaleInTraining, subject: Subject
    ) -> None:
        self._split = request.split
        self._places: dict[str, Place] = {}
        self._precisions: dict[str, str] = {}
        self._empty: dict[str, torch.Tensor] = {}
        self._output = {MODEL}
        self._normalised: dict[str, bool] = {}
        self._given: dict[str, tuple[torch.Tensor, int]] = {}
        self._made: tuple[Any, str] | None = None
        self._before: dict[str, torch.Tensor] = {}
        self._row: dict[str, tuple[torch.Tensor, int, int, int]] = {}
        self._rows: list[dict[str, tuple[torch.Tensor, int, int, int]]] = []
        self._sizes: list[int] = []
        self._indices: list[int] = []
        self._inputs: list[torch.Tensor] = []

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Measure what a layer with weights is given, and note what a normalisation takes."""
        given = next(tensors_in(args), None)
        if given is None or not _counts(given):
            return
        if _is_norm(module) and self._made is not None and self._made[0]() is given:
            self._normalised.setdefault(self._made[1], True)
        elif self._made is not None and self._made[0]() is given:
            self._normalised[self._made[1]] = False
        if module._parameters:
            rows = _sampled(given.detach())
            self._given[name] = (
                torch.stack([rows.square().mean(), self._across(f"> {name}", rows)]),
                given.shape[0] if given.ndim else 0,
            )

    def leaving(self, place: Place, output: Any) -> None:
        """Measure what a place puts out, unless it only passes on what was measured."""
        tensor = next(tensors_in(output), None)
        if tensor is None or not _counts(tensor) or tensor.dtype in _INTEGERS:
            return
        same = self._made is not None and self._made[0]() is tensor
        if same and place.name == MODEL and self._made is not None:
            self._output.add(self._made[1])
        if place.name in self._row or (same and not place.leaf and place.name != MODEL):
            return
        rows = _sampled(tensor.detach())
        low, high = (value.to(rows.dtype) for value in torch.aminmax(_real(tensor.detach())))
        variance, mean = torch.var_mean(rows, correction=0)
        sizes = rows.abs()
        given, given_examples = self._given.pop(place.name, (None, 0))
        found = torch.stack(
            [
                mean,
                variance,
                (rows - mean).square().square().mean(),
                low,
                high,
                (sizes == 0).to(rows.dtype).mean(),
                (sizes < SMALLEST_NORMAL).to(rows.dtype).mean(),
                (sizes < ROUNDS_TO_ZERO).to(rows.dtype).mean(),
                self._across(place.name, rows),
            ]
        )
        given = found.new_full((2,), math.nan) if given is None else given.to(found.dtype)
        examples = tensor.shape[0] if tensor.ndim else 0
        self._row[place.name] = torch.cat([found, given]), tensor.numel(), examples, given_examples
        self._made = weakref.ref(tensor), place.name
        if place.name not in self._places:
            self._places[place.name] = place
            self._precisions[place.name] = str(tensor.dtype).removeprefix("torch.")
            if place.module is not None and place.module._parameters:
                own = [p for p in place.module._parameters.values() if p is not None]
                if own:
                    counts = [torch.count_nonzero(p.detach()) for p in own]
                    self._empty[place.name] = torch.stack(counts).sum() == 0

    def step(self, step: Step) -> None:
        """Close the books on a batch."""
        self._rows.append(self._row)
        self._sizes.append(step.batch.size)
        self._indices.append(step.index)
        shares = []
        for place, tensor in enumerate(tensors_in((step.batch.args, step.batch.kwargs))):
            if _counts(tensor) and tensor.ndim and tensor.shape[0] == step.batch.size:
                rows = _sampled(tensor)
                shares.append(self._across(f"input {place}", rows))
        nothing = torch.full((), math.nan)
        self._inputs.append(torch.stack(shares).amax().cpu() if shares else nothing)
        self._row, self._made = {}, None
        self._given.clear()

    def result(self) -> ActivationScale:
        """Return the rows of all places and batches."""
        places = sorted(self._places.values(), key=lambda place: place.index)
        column = {place.name: index for index, place in enumerate(places)}
        table = np.full((len(self._rows), len(places), len(STATISTICS)), np.nan)
        found = [values for row in self._rows for values, *_ in row.values()]
        numbers = iter(torch.stack([f.double().cpu() for f in found]).numpy() if found else ())
        for index, row in enumerate(self._rows):
            for name, (_, values, examples, given_examples) in row.items():
                line = table[index, column[name]]
                line[0], line[1:] = values, next(numbers)
                if examples != self._sizes[index]:
                    line[STATISTICS.index("across")] = math.nan
                if given_examples != self._sizes[index]:
                    line[STATISTICS.index("given_across")] = math.nan
        return ActivationScale(
            layers=tuple(self._kind(place) for place in places),
            rows=table,
            batches=np.asarray(self._indices, np.int64),
            inputs_across=np.asarray([float(share) for share in self._inputs]),
            examples=sum(self._sizes),
            split=self._split,
        )

    def _kind(self, place: Place) -> LayerKind:
        return LayerKind(
            layer=place.name,
            kind=place.kind,
            weighted=isinstance(place.module, _WEIGHTED),
            norm=place.module is not None and _is_norm(place.module),
            normalised=self._normalised.get(place.name, False),
            empty=bool(self._empty.get(place.name, False)),
            leaf=place.leaf,
            whole=place.name in self._output,
            precision=self._precisions[place.name],
        )

    def _across(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        """Return the variance between examples over the mean square, averaged over positions.

        A batch of one is set against the one before it: E (x - y)² / 2 is that variance.
        """
        if len(rows) == 1:
            before = self._before.get(name)
            self._before[name] = rows
            if before is None or before.shape != rows.shape:
                return rows.new_full((), math.nan)
            rows = torch.cat([before, rows])
        square = rows.square().mean(dim=0)
        share = rows.var(dim=0, correction=1) / torch.where(square > 0, square, 1.0)
        return share.mean()


_INTEGERS = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})


def _counts(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.numel() > 0 and not tensor.is_meta


def _real(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _sampled(tensor: torch.Tensor) -> torch.Tensor:
    """Return [examples, positions] of at most about `MOST` values, in float32 or better.

    Positions are taken in steps that have no factor in common with their number, so that no
    channel is left out.
    """
    values = _real(tensor)
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    rows = rows[:: max(1, len(rows) // (MOST // 4))]
    positions = rows.shape[1]
    step = max(1, len(rows) * positions // MOST)
    while step > 1 and math.gcd(step, positions) > 1:
        step += 1
    taken = rows[:, ::step]
    return taken if taken.dtype == torch.float64 else taken.float()


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) or type(module).__name__.lower().endswith("norm")
