"""Sees which units of the rectifying layers fire, by elimination, and what the others are given."""

import weakref
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from auditor.observations.activity import LayerActivity, UnitActivity, UnitActivityOver
from auditor.observers.observer import Observer, Place, Step
from auditor.observers.tap import RECTIFIERS

Layer = tuple[str, int]

LEVELS: dict[str, float] = {
    "gelu": -3.06,
    "silu": -6.27,
    "mish": -6.27,
    "elu": -4.6,
    "celu": -4.6,
    "selu": -5.17,
    "softplus": -4.6,
}
"""The input below which the slope of a smooth rectifier stays within a hundredth of zero.

GELU: |Φ(x) + x φ(x)|; SiLU: |σ(x) (1 + x (1 - σ(x)))|, and Mish close to it; ELU: e^x;
SELU: 1.758 e^x; softplus: σ(x).
"""


class UnitActivityObserver(Observer):
    """Looks, batch after batch, only at units that have not fired yet."""

    def __init__(self, request: UnitActivityOver, subject: Subject) -> None:
        self._split = request.split
        self._examples = 0
        self._kinds: dict[Layer, tuple[str, bool, float]] = {}
        self._fired: dict[Layer, torch.Tensor] = {}
        # The largest input of each unit, and the largest of its negative.
        self._peaks: dict[Layer, torch.Tensor | None] = {}
        self._silent: dict[Layer, torch.Tensor] = {}
        self._done: set[Layer] = set()
        self._feeders: dict[Layer, tuple[str, nn.Module | None]] = {}
        self._made: tuple[Any, str, nn.Module] | None = None
        self._given: torch.Tensor | None = None
        self._fed: tuple[str, nn.Module | None] = ("", None)

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Keep what a rectifier is given until it has run; it may write over it."""
        if isinstance(module, RECTIFIERS) or _stem(type(module).__name__) in LEVELS:
            self._keep(args, may_overwrite=bool(getattr(module, "inplace", False)))

    def calling(self, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what a rectifying function is given until it has run."""
        if place.rectifies or _stem(place.kind) in LEVELS:
            self._keep((args, kwargs), may_overwrite=True)

    def _keep(self, inputs: Any, *, may_overwrite: bool) -> None:
        given = next(tensors_in(inputs), None)
        self._given, self._fed = None, ("", None)
        if given is None or not given.is_floating_point():
            return
        if self._made is not None and self._made[0]() is given:
            self._fed = self._made[1:]
        self._given = given.detach().clone() if may_overwrite else given.detach()

    def called(self, place: Place, output: Any) -> None:
        """Note the units of a smooth function; those that rectify are shown to `leaving`."""
        if not place.rectifies and _stem(place.kind) in LEVELS:
            self._note(place, output)

    def leaving(self, place: Place, output: Any) -> None:
        """Note the units of a rectifier that gave anything but zero."""
        if place.rectifies or _stem(place.kind) in LEVELS:
            self._note(place, output)
        elif place.module is not None and _bias(place.module) is not None:
            tensor = next(tensors_in(output), None)
            if tensor is not None:
                self._made = weakref.ref(tensor), place.name, place.module

    def _note(self, place: Place, output: Any) -> None:
        tensor = next(tensors_in(output), None)
        given, self._given = self._given, None
        if tensor is None or tensor.ndim < 2:
            return
        if given is not None and (given.shape != tensor.shape or not given.numel()):
            given = None
        smooth = not place.rectifies
        if smooth and given is None:
            return
        axis = place.unit_axis % tensor.ndim
        layer = (place.name, tensor.shape[axis])
        if layer in self._done:
            return
        if layer not in self._fired:
            self._kinds[layer] = place.kind, smooth, _level(place)
            self._fired[layer] = torch.zeros(layer[1], dtype=torch.bool, device=tensor.device)
            self._feeders[layer] = self._fed
            self._peaks[layer] = None
            if given is not None:
                self._peaks[layer] = given.new_full((2, layer[1]), -torch.inf)
        elif self._feeders[layer][0] != self._fed[0]:
            self._feeders[layer] = ("", None)
        others = [dim for dim in range(tensor.ndim) if dim != axis]
        silent = self._silent.get(layer)
        peaks, highest = self._peaks[layer], None
        if peaks is not None and given is not None:
            looked_at = given if silent is None else given.index_select(axis, silent)
            highest = looked_at.amax(dim=others)
            ends = torch.stack([highest, -looked_at.amin(dim=others)])
            if silent is None:
                torch.maximum(peaks, ends, out=peaks)
            else:
                peaks.index_copy_(1, silent, torch.maximum(peaks[:, silent], ends))
        else:
            self._peaks[layer] = None
        if smooth and highest is not None:
            fires = ~(highest <= self._kinds[layer][2])
        else:
            values = tensor.detach()
            values = values if silent is None else values.index_select(axis, silent)
            fires = torch.count_nonzero(values, dim=others) > 0
        if silent is None:
            self._fired[layer] |= fires
        else:
            # A layer may run several times in a batch, so what fired before must stay.
            earlier = self._fired[layer].index_select(0, silent)
            self._fired[layer].index_copy_(0, silent, earlier | fires)

    def step(self, step: Step) -> None:
        """Drop the units that have fired from what is looked at next."""
        self._examples += step.batch.size
        self._made = None
        open_layers = [layer for layer in self._fired if layer not in self._done]
        if not open_layers:
            return
        fired = torch.cat([self._fired[layer] for layer in open_layers]).cpu()
        for layer, flags in zip(
            open_layers, fired.split([layer[1] for layer in open_layers]), strict=True
        ):
            silent = torch.nonzero(~flags).flatten()
            if silent.numel() == 0:
                self._done.add(layer)
            else:
                self._silent[layer] = silent.to(self._fired[layer].device)

    def result(self) -> UnitActivity:
        """Return which units of which layers fired."""
        return UnitActivity(
            layers=tuple(self._layer(layer) for layer in self._fired),
            examples=self._examples,
            split=self._split,
        )

    def _layer(self, layer: Layer) -> LayerActivity:
        kind, smooth, level = self._kinds[layer]
        fired = self._fired[layer].cpu().numpy()
        peaks, (producer, module) = self._peaks[layer], self._feeders[layer]
        bias = None if module is None else _bias(module)
        known = peaks is not None and not fired.all()
        ends = [np.zeros(0), np.zeros(0)]
        if known and peaks is not None:
            ends = [np.where(fired, np.nan, end) for end in peaks.double().cpu().numpy()]
        return LayerActivity(
            layer=layer[0],
            kind=kind,
            fired=fired,
            smooth=smooth,
            level=level,
            peak=ends[0],
            lowest=-ends[1],
            producer=producer if known else "",
            bias=bias.detach().double().cpu().numpy()
            if known and bias is not None and len(bias) == layer[1]
            else np.zeros(0),
            normed=known and getattr(module, "running_mean", None) is not None,
        )


def _stem(kind: str) -> str:
    return kind.removesuffix("()").lower()


def _level(place: Place) -> float:
    """Return the input from which on a place gives anything but zero, or is steep enough."""
    if isinstance(place.module, nn.Threshold):
        return float(place.module.threshold)
    stem = _stem(place.kind)
    return -3.0 if stem == "hardswish" else LEVELS.get(stem, 0.0)


def _bias(module: nn.Module) -> torch.Tensor | None:
    """Return what a module adds to each of its units."""
    bias = getattr(module, "bias", None)
    return bias if isinstance(bias, torch.Tensor) and bias.ndim == 1 else None
