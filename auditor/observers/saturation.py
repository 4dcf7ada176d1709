"""Sees which squashing units, gates and attention heads are at the end of their range."""

import weakref
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from auditor.observations.saturation import (
    AttentionLayer,
    Feeder,
    Saturation,
    SaturationOver,
    SquashedLayer,
    no_feeder,
)
from auditor.observers.attention import of_multi_head, of_scaled_dot_product, of_softmax, spread
from auditor.observers.gates import NAMES, RECURRENT, gates, kind_of_gate, squash
from auditor.observers.observer import Observer, Place, Step

LOOKED_AT = 4
"""Batches that gates and attention are computed anew for."""

MOST = 2**17
"""Values of one layer and batch that are looked at, of each unit alike."""

EDGE = 0.01
"""Share of the range, from either end, that counts as its end."""

ITERATIONS = 20
"""Steps of the power iteration for the largest singular value."""

_RANGES: dict[str, tuple[float, float]] = {
    "sigmoid": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
}
_FEEDERS = (nn.Linear, nn.modules.conv._ConvNd)
_CALLS = (".multi_head_attention_forward()", ".scaled_dot_product_attention()")


class _Key(NamedTuple):
    layer: str
    gate: str
    cell: str
    kind: str
    units: int


class SaturationObserver(Observer):
    """Adds up counts by unit on the model's device, and brings them over at the end."""

    def __init__(self, request: SaturationOver, subject: Subject) -> None:
        self._split = request.split
        self._examples = 0
        self._batch = 0
        self._sums: dict[_Key, torch.Tensor] = {}
        self._counts: dict[_Key, int] = {}
        self._feeders: dict[_Key, tuple[str, nn.Module] | None] = {}
        self._attention: dict[tuple[str, int], list[torch.Tensor]] = {}
        self._given: dict[str, torch.Tensor] = {}
        self._made: tuple[Any, str, nn.Module] | None = None
        self._pending: tuple[torch.Tensor, tuple[str, nn.Module] | None] | None = None
        self._last: dict[Any, tuple[int, int, torch.Tensor]] = {}
        self._since: set[Any] = set()
        self._outputs: set[Any] = set()
        self._inner: set[Any] = set()

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note what is given to layers with weights, and what is about to be squashed."""
        given = next(tensors_in(args), None)
        if isinstance(module, _FEEDERS) and given is not None and self._batch < LOOKED_AT:
            self._scale(name, given)
        elif isinstance(module, RECURRENT) and self._batch < LOOKED_AT:
            self._recurrent(name, module, args)
        elif _squashes(type(module).__name__) or isinstance(module, nn.Softmax):
            self._keep(given, may_overwrite=bool(getattr(module, "inplace", False)))

    def calling(self, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note what is about to be squashed, and how attention is spread."""
        stem = _stem(place.kind)
        if _squashes(stem) or stem == "softmax":
            self._keep(next(tensors_in((args, kwargs)), None), may_overwrite=True)
        elif self._batch >= LOOKED_AT:
            return
        elif stem == "multi_head_attention_forward":
            self._attend(place.name, of_multi_head(args, kwargs))
        elif stem == "scaled_dot_product_attention":
            self._attend(place.name, of_scaled_dot_product(args, kwargs))

    def called(self, place: Place, output: Any) -> None:
        """Count what a function squashed."""
        self._squashed(place, output)

    def leaving(self, place: Place, output: Any) -> None:
        """Count what a module squashed, and note what layers with weights make."""
        module = place.module
        if module is None:
            return
        if isinstance(module, nn.Softmax) or _squashes(type(module).__name__):
            self._squashed(place, output)
        elif isinstance(module, (*_FEEDERS, *RECURRENT)):
            self._inner |= self._since
            self._since.clear()
            tensor = next(tensors_in(output), None)
            if tensor is not None and isinstance(module, _FEEDERS):
                self._made = weakref.ref(tensor), place.name, module

    def step(self, step: Step) -> None:
        """Tell what the model put out from what it used inside."""
        ends = {
            (tensor.data_ptr(), tensor.numel()): tensor
            for tensor in tensors_in(step.outputs)
            if tensor.layout is torch.strided
        }
        for key, (pointer, size, first) in self._last.items():
            end = ends.get((pointer, size))
            if end is not None and torch.equal(end.flatten()[: len(first)], first):
                self._outputs.add(key)
        self._outputs |= self._since - self._inner
        self._since.clear()
        self._last.clear()
        self._made = self._pending = None
        self._examples += step.batch.size
        self._batch += 1

    def result(self) -> Saturation:
        """Return the counts of all layers."""
        return Saturation(
            squashed=tuple(self._layer(key) for key in self._sums),
            attention=tuple(
                self._attentive(name, heads, int(queries), sums)
                for (name, heads), (queries, sums) in self._attention.items()
                if int(queries)
            ),
            examples=self._examples,
            split=self._split,
        )

    def _keep(self, given: torch.Tensor | None, *, may_overwrite: bool) -> None:
        self._pending = None
        if given is None or not given.is_floating_point() or not given.numel():
            return
        made = self._made
        feeder = made[1:] if made is not None and made[0]() is given else None
        self._pending = given.detach().clone() if may_overwrite else given.detach(), feeder

    def _squashed(self, place: Place, output: Any) -> None:
        stem, pending, self._pending = _stem(place.kind), self._pending, None
        tensor = next(tensors_in(output), None)
        if tensor is None or pending is None or pending[0].shape != tensor.shape:
            return
        given, feeder = pending
        if stem == "softmax":
            # Over the keys of several queries, and not the experts that a router chooses among.
            if tensor.ndim < 3 or self._batch >= LOOKED_AT or tensor.shape[-1] < 2:
                return
            if tensor.ndim == 3 and tensor.shape[1] != tensor.shape[2]:
                return
            total = tensor.detach().float()[(0,) * (tensor.ndim - 1)].sum()
            if abs(float(total) - 1) < 1e-2:
                key: Any = place.name, 1 if tensor.ndim == 3 else tensor.shape[-3]
                self._attend(place.name, of_softmax(given))
                self._remember(key, tensor)
            return
        if not _squashes(stem) or tensor.ndim < 2:
            return
        axis = place.unit_axis % tensor.ndim
        rows = given.movedim(axis, -1).reshape(-1, given.shape[axis])
        rows = rows[:: max(1, rows.numel() // MOST)].float()
        squashed = _Key(place.name, "", "", stem, rows.shape[1])
        low, high = _range(place.module, stem)
        self._count(squashed, rows, low, high, feeder)
        self._remember(squashed, tensor)

    def _remember(self, key: Any, tensor: torch.Tensor) -> None:
        """Keep what tells a tensor that the model puts out."""
        self._last[key] = tensor.data_ptr(), tensor.numel(), tensor.detach().flatten()[:8].clone()
        self._since.add(key)

    def _count(
        self,
        key: _Key,
        rows: torch.Tensor,
        low: float,
        high: float,
        feeder: tuple[str, nn.Module] | None,
    ) -> None:
        """Add [values, units] of what goes into a function with that range."""
        if key.kind in ("sigmoid", "tanh"):
            at = squash(rows, "sigmoid") if key.kind == "sigmoid" else squash(2 * rows, "sigmoid")
            slope = 4 * at * (1 - at)
        else:
            bounds = (-3.0, 3.0) if key.kind == "hardsigmoid" else (low, high)
            at = ((rows - bounds[0]) / (bounds[1] - bounds[0])).clamp(0, 1)
            slope = ((at > 0) & (at < 1)).float()
        below = (at < EDGE).float()
        if key.kind == "relu6":
            below = torch.zeros_like(below)  # A rectifier at zero is dead, not saturated.
        above = (at > 1 - EDGE).float()
        sums = torch.stack([part.sum(0) for part in (below, above, slope, rows, rows.square())])
        sums = sums if sums.device.type == "mps" else sums.double()
        if key not in self._sums:
            self._sums[key], self._counts[key], self._feeders[key] = sums, len(rows), feeder
            return
        self._sums[key] = self._sums[key] + sums
        self._counts[key] += len(rows)
        if feeder != self._feeders[key]:
            self._feeders[key] = None

    def _recurrent(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        given = next((t for t in tensors_in(args)), None)
        data = args[0] if args else None
        given = getattr(data, "data", given) if not isinstance(data, torch.Tensor) else given
        if isinstance(given, torch.Tensor):
            self._scale(name, given)
        for label, gate, rows in gates(module, args):
            cell = f"{name}, {label}" if label and label != "l0" else name
            key = _Key(cell, gate, type(module).__name__, kind_of_gate(gate), rows.shape[-1])
            self._count(key, rows.float(), 0, 0, (name, module))
            self._inner.add(key)

    def _scale(self, name: str, given: torch.Tensor) -> None:
        values = given.detach().flatten()
        values = values[:: max(1, len(values) // MOST)].float()
        size = values.square().mean()
        found = torch.stack([size, torch.ones_like(size)])
        self._given[name] = self._given.get(name, 0) + found

    def _attend(self, name: str, scores: torch.Tensor | None) -> None:
        if scores is None:
            return
        queries, sums = spread(scores)
        key = name, scores.shape[1]
        if key in self._attention:
            before = self._attention[key]
            self._attention[key] = [before[0] + queries, before[1] + sums]
        else:
            self._attention[key] = [torch.as_tensor(queries), sums]

    def _attentive(self, name: str, heads: int, count: int, sums: torch.Tensor) -> AttentionLayer:
        entropy, collapsed, uniform, scores = (row.double().cpu().numpy() for row in sums)
        output = (name, heads) in self._outputs
        return AttentionLayer(_shown(name), count, entropy, collapsed, uniform, scores, output)

    def _layer(self, key: _Key) -> SquashedLayer:
        low, high, slope, total, squares = (r.double().cpu().numpy() for r in self._sums[key])
        return SquashedLayer(
            key.layer,
            key.kind,
            self._counts[key],
            low,
            high,
            slope,
            total,
            squares,
            feeder=self._feeder(key, self._feeders[key]),
            gate=key.gate,
            cell=key.cell,
            output=key in self._outputs,
        )

    def _feeder(self, key: _Key, found: tuple[str, nn.Module] | None) -> Feeder:
        if found is None:
            return no_feeder()
        name, module = found
        own = getattr(module, "weight", None)
        weight: Any = own if isinstance(own, torch.Tensor) else None
        for label in ("weight_ih_l0", "weight_ih"):
            weight = getattr(module, label, None) if weight is None else weight
        if not isinstance(weight, torch.Tensor) or weight.ndim < 2:
            return no_feeder()
        flat = weight.detach().float().flatten(1)
        bias, bias_name = _bias(key, module)
        given = self._given.get(name)
        return Feeder(
            layer=name,
            given=np.zeros(2) if given is None else given.double().cpu().numpy(),
            strength=float(flat.square().mean().sqrt()) * float(np.sqrt(flat.shape[1])),
            spectral=_largest_singular_value(flat),
            bias=np.zeros(0) if bias is None else bias.detach().double().cpu().numpy(),
            bias_name=bias_name,
        )


def _bias(key: _Key, module: nn.Module) -> tuple[torch.Tensor | None, str]:
    """Return what a layer adds to each unit, or to each unit of a gate, and the name of it."""
    if not key.gate:
        bias = getattr(module, "bias", None)
        return (bias, "bias") if isinstance(bias, torch.Tensor) else (None, "")
    tail = key.layer.rpartition(", ")[2] if ", l" in key.layer else "l0"
    suffix = f"_{tail}" if isinstance(module, nn.RNNBase) else ""
    names = next(gates for gates in NAMES.values() if key.gate in gates)
    parts = [getattr(module, f"{part}{suffix}", None) for part in ("bias_ih", "bias_hh")]
    known = [part.detach() for part in parts if isinstance(part, torch.Tensor)]
    if not known:
        return None, ""
    whole = torch.stack(known).sum(0)
    return whole.chunk(len(names))[names.index(key.gate)], f"bias_ih{suffix}"


def _largest_singular_value(matrix: torch.Tensor) -> float:
    """Return it by power iteration from a vector of ones and its alternation."""
    vector = torch.linspace(1.0, 2.0, matrix.shape[1], device=matrix.device)
    for _ in range(ITERATIONS):
        vector = matrix.t() @ (matrix @ vector)
        vector = vector / vector.norm().clamp(min=1e-30)
    return float((matrix @ vector).norm())


def _stem(kind: str) -> str:
    return kind.removesuffix("()").lower()


def _squashes(kind: str) -> bool:
    return _stem(kind) in _RANGES


def _range(module: nn.Module | None, stem: str) -> tuple[float, float]:
    if isinstance(module, nn.Hardtanh):
        return float(module.min_val), float(module.max_val)
    return _RANGES[stem]


def _shown(name: str) -> str:
    for call in _CALLS:
        name = name.replace(call, "")
    return name
