"""Inputs and target of a batch by the places in a spec: `{inputs: image, target: meta.y}`."""

import difflib
from collections.abc import Mapping
from typing import Any

from auditor.core.errors import InputError
from auditor.core.spec import BatchSpec, Places
from auditor.core.text import clean_text, listed
from auditor.intake.batch_reading import Adapter
from auditor.intake.batches import described


def adapter_of(spec: BatchSpec) -> Adapter:
    """Return what takes a batch apart by the places in a spec."""

    def adapter(raw: Any) -> tuple[Any, Any]:
        return _at(raw, spec.inputs, "inputs"), _at(raw, spec.target, "target")

    return adapter


def _at(raw: Any, places: Places, key: str) -> Any:
    match places:
        case dict():
            return {name: _one(raw, str(place), key) for name, place in places.items()}
        case list() | tuple():
            return tuple(_one(raw, str(place), key) for place in places)
    return _one(raw, str(places), key)


def _one(raw: Any, place: str, key: str) -> Any:
    """Return what stands at a dotted place: keys, numbers of items, names of attributes.

    Raises:
        InputError: there is nothing.
    """
    held = raw
    for name in place.split("."):
        try:
            held = _part(held, name)
        except (LookupError, AttributeError, TypeError, ValueError):
            known = _known(held)
            near = difflib.get_close_matches(name, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"there is {listed(known) or 'nothing'}"
            )
            raise InputError(
                f"data.batch.{key}: no {clean_text(name, 60)!r} of {clean_text(place, 80)!r} in a "
                f"batch that is {described(raw)}; {hint}"
            ) from None
    return held


def _part(held: Any, name: str) -> Any:
    if isinstance(held, Mapping):
        return held[name] if name in held else held[int(name)]
    if name.isdecimal():
        return held[int(name)]
    if name.startswith("_"):
        raise AttributeError(name)
    return getattr(held, name)


def _known(held: Any) -> list[str]:
    if isinstance(held, Mapping):
        return [clean_text(key, 60) for key in list(held)[:64]]
    if isinstance(held, tuple | list):
        return [str(number) for number in range(min(len(held), 64))]
    return [clean_text(name, 60) for name in list(getattr(held, "__dict__", {}))[:64]]
