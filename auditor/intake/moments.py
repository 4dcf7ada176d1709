"""What a saved optimizer keeps of each parameter, and which parameter of the model that is.

PyTorch numbers the parameters of a saved optimizer and keeps no names, so that they are told by
their order and by the shapes of their moments.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.intake.optimizer import LiveOptimizer, rate_of
from auditor.intake.weights import LEADING

SECOND = ("exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum")
"""Means and sums of squares, which are never below zero."""

SHAPED = (
    "exp_avg",
    "momentum_buffer",
    "square_avg",
    "exp_avg_sq",
    "sum",
    "exp_inf",
    "acc_delta",
    "grad_avg",
    "ax",
)
"""What optimizers of torch.optim keep in the shape of the parameter."""

Shape = tuple[int, ...]
How = Literal["name", "order", "count", "shape", "subset", ""]


@dataclass(frozen=True)
class Entry:
    """A parameter as an optimizer holds it; `shape` is None where nothing kept tells it.

    `name` is empty where the optimizer doesn't say. `state` is empty where no step was made of it.
    """

    group: int
    rate: float
    name: str
    shape: Shape | None
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """A parameter of the model."""

    name: str
    shape: Shape
    trainable: bool


@dataclass(frozen=True)
class Match:
    """Which parameter each entry is of, empty where that can't be told, and `how` it was told.

    `missing` are parameters that no entry can be of. Of each group in `unsure` so many are missing,
    but which is not known. `strangers` counts entries that can be of no parameter.
    """

    names: tuple[str, ...]
    how: How
    missing: tuple[str, ...] = ()
    unsure: tuple[tuple[int, tuple[str, ...]], ...] = ()
    strangers: int = 0


def known_of(model: nn.Module) -> list[Known]:
    """Return the model's parameters in its own order."""
    named = model.named_parameters()
    return [Known(name, tuple(p.shape), p.requires_grad) for name, p in named]


def entries_of(saved: Mapping[str, Any]) -> list[Entry]:
    """Return the parameters that a saved optimizer holds, group by group; garbage is left out."""
    state = saved["state"]
    named = {key: value for key, value in state.items() if isinstance(value, Mapping)}
    found = []
    for place, group in enumerate(saved["param_groups"]):
        numbers = group.get("params")
        names = group.get("param_names")
        numbers = numbers if isinstance(numbers, list | tuple) else ()
        names = names if isinstance(names, list | tuple) and len(names) == len(numbers) else ()
        for index, number in enumerate(numbers):
            own = named.get(number, {}) if isinstance(number, int | str) else {}
            # FSDP and the like number by name.
            name = str(names[index]) if names else number if isinstance(number, str) else ""
            found.append(Entry(place, rate_of(group), name, _shape(own), own))
    return found


def entries_at_hand(live: LiveOptimizer) -> Iterator[Entry]:
    """Yield the parameters of an optimizer that is at hand; those of another model have no name."""
    state = live.optimizer.state
    for place, group in enumerate(live.optimizer.param_groups):
        for p in group["params"]:
            name = live.names.get(id(p), "")
            yield Entry(place, rate_of(group), name, tuple(p.shape), state.get(p, {}))


def _shape(state: Mapping[str, Any]) -> Shape | None:
    kept = (state[key] for key in SHAPED if isinstance(state.get(key), torch.Tensor))
    first = next(kept, None)
    return None if first is None else tuple(first.shape)


def identified(entries: Sequence[Entry], known: Sequence[Known]) -> Match:
    """Return the match of entries that carry names; those without one are strangers."""
    names = tuple(entry.name for entry in entries)
    wanted = {p.name for p in known}
    shortened = tuple(_without_prefix(name, wanted) for name in names)
    held = set(shortened)
    missing = tuple(p.name for p in known if p.trainable and p.name not in held)
    kept = tuple(name if name in wanted else "" for name in shortened)
    return Match(kept, "name", missing, strangers=kept.count(""))


def _without_prefix(name: str, wanted: set[str]) -> str:
    while name not in wanted:
        prefix = next((p for p in LEADING if name.startswith(p)), None)
        if prefix is None:
            return name
        name = name.removeprefix(prefix)
    return name


def matched(entries: Sequence[Entry], known: Sequence[Known]) -> Match:
    """Return which parameter each entry is of, as far as order and shapes tell."""
    if any(entry.name for entry in entries):
        return identified(entries, known)
    trainable = [p for p in known if p.trainable]
    shapes = [entry.shape for entry in entries]
    told = any(shape is not None for shape in shapes)
    groups = Counter(entry.group for entry in entries)
    for candidates in (known, trainable):
        for order in _orders(candidates, groups):
            if len(order) == len(entries) and _fits(shapes, order):
                names = tuple(p.name for p in order)
                return Match(names, "order" if told else "count", _beyond(trainable, names))
    lost = len(trainable) - len(entries)
    if not told:
        unsure = ((lost, tuple(p.name for p in trainable)),) if lost > 0 else ()
        strangers = max(0, len(entries) - len(known))
        return Match(("",) * len(entries), "", unsure=unsure, strangers=strangers)
    if len(entries) < len(known) and len(groups) == 1:
        found = _embedded(shapes, known)
        if found is not None:
            return found
    return _by_shape(shapes, known)


def _beyond(trainable: Sequence[Known], names: Sequence[str]) -> tuple[str, ...]:
    held = set(names)
    return tuple(p.name for p in trainable if p.name not in held)


def _orders(known: Sequence[Known], groups: Mapping[int, int]) -> Iterator[list[Known]]:
    """Yield the orders in which scripts hand parameters to an optimizer, the model's own first."""
    yield list(known)
    if len(groups) < 2:
        return
    large = [p for p in known if len(p.shape) >= 2]
    small = [p for p in known if len(p.shape) < 2]
    yield large + small
    yield small + large
    first = groups[min(groups)]
    yield [*known[-first:], *known[:-first]]


def _fits(shapes: Sequence[Shape | None], order: Sequence[Known]) -> bool:
    return all(s is None or s == p.shape for s, p in zip(shapes, order, strict=True))


def _embedded(shapes: Sequence[Shape | None], known: Sequence[Known]) -> Match | None:
    """Return the match of entries that are part of the parameters, in the model's order.

    A parameter is missing where no such embedding uses it; the first and the last embedding bound
    all others. None where there is none.
    """
    first = _first(shapes, known)
    last = _first(shapes[::-1], known[::-1])
    if first is None or last is None:
        return None
    latest = [len(known) - 1 - place for place in reversed(last)]
    users: dict[int, list[int]] = defaultdict(list)
    for entry, (low, high) in enumerate(zip(first, latest, strict=True)):
        for place in range(low, high + 1):
            if shapes[entry] is None or shapes[entry] == known[place].shape:
                users[place].append(entry)
    names = tuple(
        known[low].name if low == high else "" for low, high in zip(first, latest, strict=True)
    )
    trainable = [place for place, p in enumerate(known) if p.trainable]
    missing = tuple(known[place].name for place in trainable if not users[place])
    sure = {low for low, high in zip(first, latest, strict=True) if low == high}
    doubtful = [place for place in trainable if users[place] and place not in sure]
    loose = sum(low != high for low, high in zip(first, latest, strict=True))
    lost = len(doubtful) - loose
    unsure = ((lost, tuple(known[place].name for place in doubtful)),) if lost > 0 else ()
    return Match(names, "subset", missing, unsure)


def _first(shapes: Sequence[Shape | None], known: Sequence[Known]) -> list[int] | None:
    places, place = [], 0
    for shape in shapes:
        while place < len(known) and shape is not None and known[place].shape != shape:
            place += 1
        if place == len(known):
            return None
        places.append(place)
        place += 1
    return places


def _by_shape(shapes: Sequence[Shape | None], known: Sequence[Known]) -> Match:
    """Return the match of entries in an order that can't be told, by how many have each shape."""
    free: dict[Shape, list[str]] = defaultdict(list)
    for p in known:
        free[p.shape].append(p.name)
    total = {shape: list(names) for shape, names in free.items()}
    held = Counter(shape for shape in shapes if shape is not None)
    strangers = sum(max(0, n - len(total.get(shape, ()))) for shape, n in held.items())
    blank = sum(shape is None for shape in shapes)
    names = tuple(
        free[shape].pop(0) if shape is not None and free.get(shape) else "" for shape in shapes
    )
    trainable = {p.name for p in known if p.trainable}
    wanted = {shape: [n for n in all_ if n in trainable] for shape, all_ in total.items()}
    short = {s: len(all_) - held[s] for s, all_ in wanted.items() if len(all_) > held[s]}
    if sum(short.values()) <= blank:
        return Match(names, "shape", strangers=strangers)
    missing = tuple(n for s in short if not held[s] and not blank for n in wanted[s])
    unsure = tuple((count, tuple(wanted[s])) for s, count in short.items() if held[s] and not blank)
    if blank:
        unsure = ((sum(short.values()) - blank, tuple(n for s in short for n in wanted[s])),)
    return Match(names, "shape", missing, unsure, strangers)


def spoilt(state: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of what an optimizer can't go on from.

    These are moments that are not finite, second moments below zero, and such a step count.
    """
    count = number(state.get("step"))
    found = ["step"] if math.isinf(count) or count < 0 else []
    for key, value in state.items():
        if key == "step" or not isinstance(value, torch.Tensor) or not value.numel():
            continue
        if value.layout is torch.strided and value.is_floating_point():
            values = value.detach()
            ends = (values if values.dtype.itemsize >= 4 else values.float()).aminmax()
            low, high = float(ends.min), float(ends.max)
            if not math.isfinite(low + high) or (key in SECOND and low < 0):
                found.append(clean_text(key, 40))
    return tuple(found)


def number(value: Any) -> float:
    """Return a step count, kept as a number or as a tensor; NaN where it is neither."""
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan
