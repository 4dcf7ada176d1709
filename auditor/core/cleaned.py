"""Plain values made safe to show, whole: what is done to every record that is made or read."""

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from auditor.core.text import LONGEST, clean_text, is_plain, visible, without_login

LONGEST_TEXT = 10_000
"""Characters kept of any one text, whatever its words."""

_LONG_WORDS = {"path": 4096, "spec": 4096, "command": 4096}
"""Characters that words keep below the fields of these names: they are paths, and the user's."""

T = TypeVar("T")

_PICTURE = re.compile(r"iVBORw0KGgo[A-Za-z0-9+/]*=*\Z")
"""A PNG file as base64, by its first bytes."""


def cleaned(value: T, word: int = LONGEST) -> T:
    """Return `value` with every text in it cleaned as `clean_text` does; lines stay lines.

    Words (names, most of them) keep `word` characters. What needs no cleaning is returned itself.
    Records are cleaned where they are made and where they are read, for anybody may have written
    one; whatever is drawn from them may clean again.

    Raises:
        ValueError: a whole number in it is so long that no floating-point number comes near.
    """
    done: Any = _cleaned(value, word)
    return done  # type: ignore[no-any-return]


def _cleaned(value: Any, word: int) -> Any:
    if isinstance(value, str):
        return _text(value, word)
    if type(value) is int and value.bit_length() > 1000:
        raise ValueError("a number in it has 300 digits or more")
    if isinstance(value, tuple | list):
        parts = [_cleaned(part, word) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    if isinstance(value, dict):
        pairs = [(_cleaned(key, word), _cleaned(part, word)) for key, part in value.items()]
        old = value.items()
        same = all(k is key and v is part for (k, v), (key, part) in zip(pairs, old, strict=True))
        return value if same else dict(pairs)
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in fields(value)}
        made = {name: _field(name, part, word) for name, part in given.items()}
        changed = {name: part for name, part in made.items() if part is not given[name]}
        return replace(value, **changed) if changed else value
    return value


def _field(name: str, value: Any, word: int) -> Any:
    if name == "png" and isinstance(value, str) and _PICTURE.match(value):
        return value
    return _cleaned(value, _LONG_WORDS.get(name, word))


def _text(given: str, word: int) -> str:
    if type(given) is not str or (len(given) <= word and is_plain(given) and "://" not in given):
        return given
    long = re.compile(rf"\S{{{word + 1},}}")

    def cut(found: re.Match[str]) -> str:
        return clean_text(found[0], word)

    text = long.sub(cut, without_login(given))
    if len(text) <= LONGEST_TEXT:
        text = "\n".join(map(visible, text.split("\n")))
    shown = long.sub(cut, text if len(text) <= LONGEST_TEXT else clean_text(text, LONGEST_TEXT))
    return given if shown == given else shown
