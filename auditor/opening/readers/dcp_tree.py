"""The tree that saving made flat: mappings and lists, by the paths to their values."""

from collections.abc import Iterable
from typing import Any, TypeGuard

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.meaning import DEEPEST


class _Branch(dict[str | int, Any]):
    """A mapping or a list in the making, as opposed to one that was saved as a value."""


def nested(values: Iterable[tuple[Any, Any]]) -> Any:
    """Return the tree of values, each with its path: keys of mappings, and places in lists.

    Raises:
        InputError: a path is none, or leads to or through the value of another.
    """
    root = _Branch()
    for path, value in values:
        if (
            not isinstance(path, tuple)
            or not 0 < len(path) <= DEEPEST
            or not all(isinstance(key, str) or is_whole(key) for key in path)
        ):
            raise InputError(
                f"damaged: .metadata gives a path that is none: {clean_text(path, 80)}"
            )
        inner: Any = root
        for key in path[:-1]:
            inner = inner.setdefault(key, _Branch())
            if not isinstance(inner, _Branch):
                raise InputError(f"damaged: two values under {clean_text(key, 80)}")
        if path[-1] in inner:
            raise InputError(f"damaged: two values under {clean_text(path[-1], 80)}")
        inner[path[-1]] = value
    return _grown(root)


def is_whole(value: Any) -> TypeGuard[int]:
    """Tell whether a value is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _grown(value: Any) -> Any:
    """Return a branch as the list or the mapping that it was before."""
    if not isinstance(value, _Branch):
        return value
    inner = {key: _grown(part) for key, part in value.items()}
    if inner and inner.keys() == set(range(len(inner))):
        return [inner[place] for place in range(len(inner))]
    return _with_state(inner) if isinstance(inner.get("param_groups"), list) else inner


def _with_state(optimizer: dict[str | int, Any]) -> dict[str | int, Any]:
    """Give an optimizer its state back: an empty one was left out, and numbers became texts."""
    state = optimizer.get("state", {})
    if isinstance(state, dict) and all(str(key).isdecimal() for key in state):
        state = {int(key): part for key, part in state.items()}
    return {**optimizer, "state": state}
