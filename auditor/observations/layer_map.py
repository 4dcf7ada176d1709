"""What an audit saw of each layer, gathered for the map: answers that checks asked for, no more."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from auditor.core.layer import MODEL, USUAL_UPDATE, LayerFacts
from auditor.core.request import Failed, Request, Unavailable
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.observations.activation_scale import ActivationScale, ActivationScaleOver
from auditor.observations.activity import UnitActivity, UnitActivityOver
from auditor.observations.gradients import GradientNorms, GradientNormsOver
from auditor.observations.pace import typical_ratios
from auditor.observations.scale_sizes import sizes_of
from auditor.observations.structure import (
    INPUT,
    OUTPUT,
    Part,
    Structure,
    StructureOver,
    Tensors,
    TensorsOf,
    in_use,
)
from auditor.observations.updates import UpdateRatios, UpdateRatiosFrom

T = TypeVar("T")

STRUCTURE = StructureOver()
TENSORS = TensorsOf()
ACTIVATIONS = ActivationScaleOver(batches=8, split="val")
GRADIENTS = GradientNormsOver()
ACTIVITY = UnitActivityOver(split="val")
UPDATES = UpdateRatiosFrom(start="checkpoint")
REQUESTS: tuple[Request[Any], ...] = (
    STRUCTURE,
    TENSORS,
    ACTIVATIONS,
    GRADIENTS,
    ACTIVITY,
    UPDATES,
)
"""What is looked up. Each is a check's own request: the map costs no pass over the model."""


@dataclass(frozen=True)
class _Seen:
    """The answers to `REQUESTS`, None where there is none."""

    structure: Structure | None
    tensors: Tensors | None
    activations: ActivationScale | None
    gradients: GradientNorms | None
    activity: UnitActivity | None
    updates: UpdateRatios | None


def layers_seen(
    answers: Mapping[Request[Any], Any], settled: Callable[[Request[Any]], Request[Any]]
) -> tuple[LayerFacts, ...]:
    """Return the layers from the input to the output with what the answers tell of each.

    `settled` gives what a request of a check came to in this audit.
    """

    def get(request: Request[T]) -> T | None:
        answer: Any = answers.get(settled(request))
        return None if isinstance(answer, Failed | Unavailable) else answer

    seen = _Seen(*(get(request) for request in REQUESTS))
    activations, gradients = _activations(seen.activations), _gradients(seen.gradients)
    dead = _dead(seen.activity)
    measured = {_key(name) for name in (*activations, *gradients, *dead)}
    rows = _rows(seen, measured)
    updates = _updates(seen.updates, seen.gradients, rows)
    return tuple(
        replace(
            row,
            name=clean_text(row.name),
            kind=clean_text(row.kind, 80),
            output=clean_text(row.output, 80),
            activation=activations.get(key),
            gradient=gradients.get(key),
            dead=dead.get(key),
            update=updates.get(key),
        )
        for key, row in rows.items()
    )


def _key(name: str) -> str:
    """Return what a layer is known by: a function that was run is named with and without "()"."""
    return name.removesuffix("()")


def _rows(seen: _Seen, measured: set[str]) -> dict[str, LayerFacts]:
    """Return the layers in order, by key, with what the structure tells of them."""
    rows: dict[str, LayerFacts] = {}
    if seen.structure is not None:
        rows = _of_structure(seen.structure, measured)
    for sequence in _sequences(seen):
        rows = _merged(rows, sequence)
    if rows:
        return rows
    names: Sequence[str] = seen.updates.parameters if seen.updates is not None else ()
    sizes: Sequence[int] = ()
    if seen.tensors is not None:
        names, sizes = seen.tensors.names, seen.tensors.sizes
    for place, name in enumerate(names):
        home = _home(name)
        row = rows.setdefault(home, LayerFacts(home, ran=False))
        if sizes:
            rows[home] = replace(row, parameters=(row.parameters or 0) + int(sizes[place]))
    return rows


def _of_structure(structure: Structure, measured: set[str]) -> dict[str, LayerFacts]:
    """Return the parts of a network that are layers, and the modules with parameters beside them.

    Functions between layers are left out unless something was measured of them.
    """
    rows: dict[str, LayerFacts] = {}
    waiting = {part.name: part for part in structure.loose if in_use(part, structure)}
    for part in structure.parts:
        if part.kind in (INPUT, OUTPUT) or (_joins(part) and _key(part.name) not in measured):
            continue
        for name in [name for name in waiting if name == MODEL or _inside(part.name, name)]:
            rows[name] = _row(waiting.pop(name))
        rows[_key(part.name)] = _row(part)
    idle = (part for part in structure.loose if part.name not in rows)
    return rows | {part.name: replace(_row(part), ran=part.name in waiting) for part in idle}


def _row(part: Part) -> LayerFacts:
    output = part.outputs[0] if part.outputs else ""
    return LayerFacts(part.name, part.kind, output, parameters=part.parameters)


def _joins(part: Part) -> bool:
    """Tell whether a part is a function without weights, such as + or concat."""
    return not part.parameters and _own_name(part.name) == part.kind


def _own_name(name: str) -> str:
    return name.rpartition(".")[2].partition(", call ")[0]


def _inside(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _sequences(seen: _Seen) -> Iterable[list[tuple[str, str]]]:
    """Yield the names and kinds of the layers of which something was measured, as they ran."""
    if seen.activations is not None:
        yield [(kind.layer, kind.kind) for kind in seen.activations.layers if kind.leaf]
    if seen.gradients is not None:
        yield list(zip(seen.gradients.layers, seen.gradients.kinds, strict=False))
    if seen.activity is not None:
        yield [(layer.layer, layer.kind) for layer in seen.activity.layers]


def _merged(rows: dict[str, LayerFacts], sequence: list[tuple[str, str]]) -> dict[str, LayerFacts]:
    """Return rows with the layers of a sequence that they lack, each behind the one before it."""
    after: dict[str, list[LayerFacts]] = {}
    last = ""
    for name, kind in sequence:
        key = _key(name)
        if key in rows:
            last = key
        elif all(key != _key(row.name) for row in after.get(last, ())):
            after.setdefault(last, []).append(LayerFacts(name, kind))
    if not after:
        return rows
    merged = {_key(row.name): row for row in after.get("", ())}
    for key, row in rows.items():
        merged[key] = row
        merged |= {_key(more.name): more for more in after.get(key, ())}
    return merged


def _activations(seen: ActivationScale | None) -> dict[str, float]:
    if seen is None or not len(seen.rows):
        return {}
    size, met = sizes_of(seen)[0], seen.of("values") > 0
    typical = column_quantiles(size, (0.5,))[0]
    lost: Array = np.asarray((met & ~np.isfinite(size)).any(axis=0))
    return _by_layer([kind.layer for kind in seen.layers], np.where(lost, np.nan, typical), lost)


def _gradients(seen: GradientNorms | None) -> dict[str, float]:
    if seen is None or not len(seen.activation_norms):
        return {}
    table = np.asarray(seen.activation_norms, float)
    lost: Array = np.asarray(np.isinf(table).any(axis=0))
    typical = column_quantiles(np.where(np.isinf(table), np.nan, table), (0.5,))[0]
    return _by_layer(seen.layers, np.where(lost, np.inf, typical), lost)


def _by_layer(names: Sequence[str], values: Array, lost: Array) -> dict[str, float]:
    """Return the values that are known, those that are not finite included."""
    return {
        _key(name): float(value)
        for name, value, beyond in zip(names, values, lost, strict=True)
        if beyond or not math.isnan(value)
    }


def _dead(seen: UnitActivity | None) -> dict[str, float]:
    counts: dict[str, tuple[int, int]] = {}
    for layer in seen.layers if seen is not None else ():
        dead, units = counts.get(_key(layer.layer), (0, 0))
        counts[_key(layer.layer)] = dead + layer.dead, units + int(layer.fired.size)
    return {name: dead / units for name, (dead, units) in counts.items() if units}


def _updates(
    seen: UpdateRatios | None, gradients: GradientNorms | None, rows: Mapping[str, LayerFacts]
) -> dict[str, float]:
    """Return the ratio of each layer's weight that is farthest from the usual one."""
    homes: dict[str, str] = {}
    if gradients is not None:
        homes = dict(zip(gradients.parameters, gradients.homes, strict=False))
    found: dict[str, float] = {}
    known = typical_ratios(seen) if seen is not None and len(seen.ratios) else {}
    for weight, ratio in known.items():
        own = _home(weight)
        layer = own if own in rows else _key(homes.get(weight, own))
        if layer not in found or _far(ratio) > _far(found[layer]):
            found[layer] = ratio
    return found


def _home(parameter: str) -> str:
    return parameter.rpartition(".")[0] or MODEL


def _far(ratio: float) -> float:
    return abs(math.log(ratio / USUAL_UPDATE)) if ratio > 0 else math.inf
