"""Settings out of anybody's files as plain values: bounded, and without secrets."""

from collections.abc import Mapping
from typing import Any

from auditor.core.secrets import MASK, is_secret
from auditor.core.text import clean_text
from auditor.intake.kept import scalar
from auditor.observations.settings import Plain


def plain_of(name: str, value: Any) -> Plain:
    """Return a setting as a plain value of bounded size; one that looks like a secret is hidden."""
    if is_secret(name, value):
        return MASK
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        known = abs(value) < 1e30
        return value if known else clean_text(value, 40)
    if isinstance(value, list | tuple):
        short = value[:16]
        if short and all(is_finite(one) for one in short):
            return tuple(float(one) for one in short)
        return clean_text(", ".join(map(_word, short)), 120)
    if isinstance(value, Mapping):
        return clean_text(", ".join(clean_text(key, 40) for key in list(value)[:16]), 120)
    return clean_text(value, 120)


def _word(value: Any) -> str:
    """Return an entry of a list as text; what may hold names and secrets of its own as dots."""
    return clean_text(value, 40) if isinstance(value, str | int | float | None) else "..."


def number_in(value: Any) -> float | None:
    """Return a finite number, also where a text writes it; None of anything else."""
    if isinstance(value, str) and len(value) < 40:
        value = scalar(value)
    one = getattr(value, "item", None)
    if one is not None and getattr(value, "numel", lambda: 0)() == 1:
        value = one()
    return float(value) if is_finite(value) else None


def is_finite(value: Any) -> bool:
    """Tell whether a value is a number that a setting can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
