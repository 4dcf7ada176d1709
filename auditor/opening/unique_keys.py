"""Mappings of JSON in which no key may stand twice: which is meant could not be told."""

from collections.abc import Callable
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text


def unique_keys(what: str) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return what `json.loads` takes as `object_pairs_hook`; `what` is the text, for messages.

    The hook raises `InputError` where a key stands twice in a mapping.
    """

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key, value in pairs:
            if key in mapping:
                raise InputError(f"{what} names {clean_text(key, 80)!r} twice")
            mapping[key] = value
        return mapping

    return made
