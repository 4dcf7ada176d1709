"""Sees what each layer makes of the examples."""

from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.intake.batches import tensors_in
from auditor.intake.losses import as_classes, main_output, picks_class
from auditor.intake.subject import Subject
from auditor.observations.features import (
    EXAMPLES,
    LAYERS,
    STILL,
    WIDTH,
    Features,
    FeaturesOver,
    LayerFeatures,
)
from auditor.observers.observer import Observer, Place, Step

PASSING = (nn.modules.dropout._DropoutNd, nn.Identity, nn.Flatten, nn.Unflatten)
"""Modules that pass on what they get."""


LOOKED_AT = 32
"""Examples of the first batch whose steps are compared."""


class FeaturesObserver(Observer):
    """Pools each output to one row an example, projects wide ones, and keeps a bounded number."""

    def __init__(self, request: FeaturesOver, subject: Subject) -> None:
        self._split = request.split
        self._loss = subject.loss
        self._task = subject.facts.task
        known = subject.facts.data["train" if request.split == "train" else "val"].batches
        self._share = max(1, EXAMPLES // max(1, min(request.batches, known)))
        self._places: dict[str, Place] = {}
        self._now: dict[str, dict[int, torch.Tensor]] = {}
        self._units: dict[str, int] = {}
        self._steps: dict[str, dict[int, torch.Tensor]] = {}
        self._uniform: dict[str, torch.Tensor] = {}
        self._rows: dict[str, list[torch.Tensor]] = {}
        self._chosen: set[str] | None = None
        self._left_out = 0
        self._signs: dict[int, torch.Tensor] = {}
        self._inputs: list[torch.Tensor] = []
        self._size_of_inputs: int | None = None
        self._targets: list[torch.Tensor] = []
        self._predicted: list[torch.Tensor] = []
        self._classes = 0

    def leaving(self, place: Place, output: Any) -> None:
        """Pool what a layer put out, by each dimension that may count the examples."""
        if not place.leaf or isinstance(place.module, PASSING):
            return
        if self._chosen is not None and place.name not in self._chosen:
            return
        tensor = next(tensors_in(output), None)
        if tensor is None or tensor.ndim < 2 or not tensor.numel():
            return
        if tensor.layout is not torch.strided:
            return
        tensor = tensor.detach().abs() if tensor.is_complex() else tensor.detach()
        if not tensor.is_floating_point():
            return
        units = place.unit_axis % tensor.ndim
        self._places.setdefault(place.name, place)
        self._now[place.name] = {
            axis: self._narrowed(_pooled(tensor, axis, units))
            for axis in ((0, 1) if tensor.ndim == 3 else (0,))
            if axis != units
        }
        self._units.setdefault(place.name, tensor.shape[units])
        if self._chosen is None and tensor.ndim == 3 and tensor.shape[units] > 1:
            self._steps[place.name] = {
                axis: _uniform(tensor, axis, 3 - axis - units)
                for axis in (0, 1)
                if axis != units and tensor.shape[3 - axis - units] > 1
            }

    def step(self, step: Step) -> None:
        """Keep some examples of the batch, and after the first batch choose the layers."""
        size = step.batch.size
        if self._chosen is None:
            self._choose(size)
        kept = torch.linspace(0, size - 1, min(size, self._share)).round().long()
        for name, found in self._now.items():
            rows = next((r for r in found.values() if len(r) == size), None)
            if rows is not None and self._chosen is not None and name in self._chosen:
                self._rows.setdefault(name, []).append(rows[kept.to(rows.device)])
        self._now = {}
        self._keep_inputs(step, kept)
        targets, predicted = self._labels(step, size)
        self._targets.append(targets[kept.to(targets.device)])
        self._predicted.append(predicted[kept.to(predicted.device)])

    def _choose(self, size: int) -> None:
        """Choose layers with a row for each example, evenly by depth."""
        names = [n for n, found in self._now.items() if any(len(r) == size for r in found.values())]
        names.sort(key=lambda name: self._places[name].index)
        places = np.unique(np.linspace(0, len(names) - 1, min(LAYERS, len(names))).round())
        self._chosen = {names[int(place)] for place in places}
        for name in self._chosen:
            found = self._now[name]
            axis = next(axis for axis, rows in found.items() if len(rows) == size)
            if axis in self._steps.get(name, {}):
                self._uniform[name] = self._steps[name][axis]
        self._steps = {}
        self._left_out = len(names) - len(self._chosen)

    def _narrowed(self, rows: torch.Tensor) -> torch.Tensor:
        """Return at most `WIDTH` columns: sums of columns with random signs, a linear map.

        Inner products are kept on average (count sketch: Charikar, Chen & Farach-Colton 2002).
        """
        width = rows.shape[1]
        if width <= WIDTH:
            return rows
        if width not in self._signs:
            generator = torch.Generator().manual_seed(width)
            signs = torch.randint(0, 2, (width,), generator=generator, dtype=torch.int8) * 2 - 1
            self._signs[width] = signs.to(rows.device)
        signed = rows * self._signs[width]
        short = -width % WIDTH
        return nn.functional.pad(signed, (0, short)).view(len(rows), -1, WIDTH).sum(1)

    def _keep_inputs(self, step: Step, kept: torch.Tensor) -> None:
        first = next(tensors_in((step.batch.args, step.batch.kwargs)), None)
        axis = step.batch.axis(first) if first is not None else None
        if first is None or axis is None or not first.is_floating_point():
            self._size_of_inputs = -1
            return
        rows = first.movedim(axis, 0).index_select(0, kept.to(first.device)).flatten(1).float()
        if self._size_of_inputs is None:
            self._size_of_inputs = rows.shape[1]
        if rows.shape[1] != self._size_of_inputs:
            self._size_of_inputs = -1
            return
        self._inputs.append(self._narrowed(_mixed(rows)))

    def _labels(self, step: Step, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each example's class and the predicted one, -1 where it has none of its own."""
        none = torch.full((size,), -1)
        outputs, target = main_output(step.outputs), step.batch.target
        if self._loss is None or not isinstance(outputs, torch.Tensor):
            return none, none
        if not isinstance(target, torch.Tensor) or not outputs.ndim:
            return none, none
        outputs, target = outputs.detach(), target.detach()
        if picks_class(self._loss, self._task, outputs, target):
            try:
                scores, labels = as_classes(outputs, target)
            except InputError:
                return none, none
            self._classes = int(scores.shape[1])
            if scores.ndim != 2 or len(scores) != size:
                return none, none
            labels = torch.where(labels == self._loss.ignored, -1, labels)
            return labels.reshape(-1), scores.argmax(1)
        if self._task == "binary" and target.numel() == size == outputs.numel():
            self._classes = 2
            return (target.reshape(-1) > 0.5).long(), none
        return none, none

    def result(self) -> Features | Unavailable:
        """Return the features of the layers that had a row for every example."""
        total = sum(len(rows) for rows in self._targets)
        whole = {
            name: rows
            for name, rows in self._rows.items()
            if sum(map(len, rows)) == total and len({r.shape[1] for r in rows}) == 1
        }
        if not total or not whole:
            return Unavailable("no layer put out one row of numbers for each example")
        with_inputs = self._size_of_inputs not in (None, -1)
        return Features(
            layers=tuple(
                LayerFeatures(
                    name,
                    self._places[name].kind,
                    self._units[name],
                    _weighted(self._places[name].module),
                    torch.cat(rows).cpu().float().numpy(),
                    bool(self._uniform[name]) if name in self._uniform else None,
                )
                for name, rows in sorted(whole.items(), key=lambda r: self._places[r[0]].index)
            ),
            inputs=torch.cat(self._inputs).cpu().numpy()
            if with_inputs
            else np.zeros((total, 0), np.float32),
            targets=torch.cat([rows.cpu() for rows in self._targets]).numpy(),
            predicted=torch.cat([rows.cpu() for rows in self._predicted]).numpy(),
            classes=self._classes,
            left_out=self._left_out,
            split=self._split,
        )


def _pooled(tensor: torch.Tensor, axis: int, units: int) -> torch.Tensor:
    """Return [examples, units], averaged over all other dimensions."""
    kind = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    others = [dim for dim in range(tensor.ndim) if dim not in (axis, units)]
    pooled = tensor.mean(dim=others, dtype=kind) if others else tensor.to(kind, copy=True)
    return pooled if axis < units else pooled.T


def _uniform(tensor: torch.Tensor, axis: int, steps: int) -> torch.Tensor:
    """Tell whether all steps of each example are the same, but for rounding."""
    few = tensor.narrow(axis, 0, min(LOOKED_AT, tensor.shape[axis]))
    apart = (few - few.narrow(steps, 0, 1)).abs().amax()
    return apart <= STILL * few.abs().amax()


def _weighted(module: nn.Module | None) -> bool:
    norms = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)
    if module is None or isinstance(module, norms):
        return False
    return next(module.parameters(), None) is not None


def _mixed(rows: torch.Tensor) -> torch.Tensor:
    """Return the rows of inputs turned at random, so that none is an example as it was handed in.

    Distances and singular values stay what they are. Wider rows are summed up anyway.
    """
    width = rows.shape[1]
    if width > WIDTH:
        return rows
    generator = torch.Generator().manual_seed(width)
    turn = torch.linalg.qr(torch.randn(width, width, generator=generator, dtype=torch.float64))[0]
    turned: torch.Tensor = rows.double().cpu() @ turn
    return turned.to(rows)
