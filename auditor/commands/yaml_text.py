"""Anybody's text as YAML and in comments, so that it says what it is and nothing else."""

import re

import yaml

from auditor.core.errors import InputError
from auditor.core.spec_yaml import NO_TEXT
from auditor.core.text import clean_text

_PLAIN = re.compile(r"(?:\.{0,2}/)*[A-Za-z_][A-Za-z0-9_./-]*(?::[A-Za-z_][A-Za-z0-9_.]*)?")
"""Words, paths and references that are read as they stand."""
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
"""Words that YAML reads as something else."""


def yaml_scalar(text: str) -> str:
    """Return a text as YAML that is read as just that text, on one line.

    Raises:
        InputError: it holds a zero byte or half a character, which no spec has.
    """
    if NO_TEXT.search(text):
        raise InputError(
            f"{clean_text(text, 80)!r} can't stand in a spec: it holds a zero byte or half a "
            "character; audit it with flags alone, for instance --key"
        )
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    written = yaml.dump(text, default_style='"', width=float("inf"), allow_unicode=False)
    return written.removesuffix("\n")


def comment(text: object, longest: int = 80) -> str:
    """Return a text for the rest of a line behind `#`, in YAML or in Python."""
    return clean_text(text, longest)
