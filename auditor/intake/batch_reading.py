"""From whatever a loader yields to inputs and a target."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.batches import Batch, described, tensors_in
from auditor.intake.reference import blame

TARGET_KEYS = ("labels", "label", "target", "targets", "y")

MOST_PROPOSED = 4
"""Inputs that a proposed spec names."""

Adapter = Callable[[Any], tuple[Any, Any]]


def understood(raw: Any, adapter: Adapter | None, split: str) -> Batch:
    """Return what a loader yielded as inputs and target.

    An adapter decides where there is one. Else a pair is (inputs, target); a mapping or a
    dataclass holds its target under one of `TARGET_KEYS` and the inputs beside it, given to the
    model by name where there are several; a tensor alone is its own target, as an autoencoder's.

    Raises:
        InputError: the batch can be read in more than one way, or in none.
    """
    if adapter is not None:
        return _adapted(raw, adapter)
    held = _as_mapping(raw)
    if isinstance(held, Mapping):
        keys = [key for key in TARGET_KEYS if key in held]
        inputs = {key: value for key, value in held.items() if key not in keys}
        if len(keys) == 1 and next(tensors_in(inputs), None) is not None:
            only = next(iter(inputs.values())) if len(inputs) == 1 else inputs
            return _from_pair(only, held[keys[0]])
        held = list(inputs.values()) if not keys else held
    if isinstance(held, tuple | list):
        if len(held) == 2 and held is raw and next(tensors_in(held[0]), None) is not None:
            return _from_pair(held[0], held[1])
        held = held[0] if len(held) == 1 else held
    if isinstance(held, torch.Tensor):
        return _from_pair(held, held)
    if next(tensors_in(raw), None) is None:
        raise InputError(
            f"data.{split}: no tensor in a batch that is {described(raw)}: have the loader yield "
            "tensors, or name a function that makes them, data: {batch: data:adapt}"
        )
    raise InputError(
        f"data.{split}: can't tell inputs from target in a batch that is {described(raw)}.\n"
        "Say in the spec which is which, for instance:\n"
        f"  data: {{batch: {_proposed(raw)}}}\n"
        "or name a function, data: {batch: data:adapt}, and in data.py:\n"
        "  def adapt(batch): return inputs, target"
    )


def _adapted(raw: Any, adapter: Adapter) -> Batch:
    try:
        pair = adapter(raw)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"data.batch: the adapter {blame(error)}\nIt was given {described(raw)}."
        ) from error
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InputError(
            f"data.batch: the adapter returned {described(pair)}, expected (inputs, target)"
        )
    if next(tensors_in(pair[0]), None) is None:
        raise InputError(
            f"data.batch: the adapter returned {described(pair)}: no tensor among the inputs"
        )
    return _from_pair(pair[0], pair[1])


def _as_mapping(raw: Any) -> Any:
    """Return a dataclass as the mapping of its fields; anything else as it is."""
    if dataclasses.is_dataclass(raw) and not isinstance(raw, type):
        return {field.name: getattr(raw, field.name) for field in dataclasses.fields(raw)}
    return raw


def _from_pair(inputs: Any, target: Any) -> Batch:
    if isinstance(inputs, Mapping):
        return Batch((), dict(inputs), target)
    if isinstance(inputs, tuple | list):
        return Batch(tuple(inputs), {}, target)
    return Batch((inputs,), {}, target)


def _proposed(raw: Any) -> str:
    """Return places for `data: batch`, as YAML in one line: the last tensor is the target."""
    places = list(_places(raw, ""))
    if len(places) < 2:
        return "{inputs: image, target: label}"
    *inputs, target = places
    named = [key for key in TARGET_KEYS if key in places]
    if named:
        target = named[0]
        inputs = [place for place in places if place not in TARGET_KEYS] or places[:1]
    shown = ", ".join(inputs[:MOST_PROPOSED])
    return f"{{inputs: {shown if len(inputs) == 1 else f'[{shown}]'}, target: {target}}}"


def _places(value: Any, place: str) -> Iterator[str]:
    """Yield the places of the tensors in a batch, as `batch_paths` reads them."""
    held = _as_mapping(value)
    if isinstance(held, torch.Tensor):
        yield place
        return
    items: Iterable[tuple[Any, Any]] = held.items() if isinstance(held, Mapping) else ()
    if isinstance(held, tuple | list):
        items = enumerate(held[:64])
    for key, inner in items:
        name = clean_text(key, 60)
        if name.isidentifier() or name.isdecimal():
            yield from _places(inner, f"{place}.{name}" if place else name)
