"""What every format is read into: rows of numbers by the log's own column names."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 200_000
MOST_COLUMNS = 400
LONGEST_NAME = 120
MOST_DEEP = 3
"""How deep values may lie in one another: {"train": {"loss": 1}} has the column "train/loss"."""

Row = dict[str, float]

SPLIT_KEYS = ("split", "phase", "mode", "stage", "subset", "set")
"""Columns in which logs say which data a row is of."""


class UnreadableLogError(Exception):
    """A file can't be read as a log of training; the message says why, and begins in lower case."""


@dataclass(frozen=True)
class LogTable:
    """The rows of a log in order. `notes` tell of what was left out."""

    format: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def tabled(format: str, rows: Iterable[Mapping[str, Any]], notes: Iterable[str] = ()) -> LogTable:
    """Return the numbers of rows that hold anything; rows and columns beyond the bounds are cut.

    A row that names its split has it put before its columns.
    """
    kept: list[Row] = []
    known: set[str] = set()
    said = list(notes)
    for row in rows:
        numbers = _numbers(row, known)
        if not numbers:
            continue
        if len(kept) >= MOST_ROWS:
            said.append(f"Only the first {MOST_ROWS:,} rows are read.")
            break
        kept.append(numbers)
    if len(known) >= MOST_COLUMNS:
        said.append(f"Only the first {MOST_COLUMNS:,} columns are read.")
    return LogTable(format, tuple(kept), tuple(said))


def _numbers(row: Mapping[str, Any], known: set[str]) -> Row:
    split = next((v for k in SPLIT_KEYS if isinstance(v := row.get(k), str)), "").strip()[:20]
    found: Row = {}

    def take(name: str, value: Any, depth: int) -> None:
        if isinstance(value, Mapping):
            if depth < MOST_DEEP:
                for key, inner in value.items():
                    take(f"{name}/{key}" if name else str(key), inner, depth + 1)
            return
        number = number_of(value)
        if number is None or len(name) > LONGEST_NAME:
            return
        if name not in known:
            if len(known) >= MOST_COLUMNS:
                return
            known.add(name)
        found[name] = number

    take("", row, 0)
    if not split.isalpha():
        return found
    places = ("epoch", "step", "iter", "iteration", "global_step")
    return {k if k.lower() in places else f"{split}/{k}": v for k, v in found.items()}


def number_of(value: object) -> float | None:
    """Return a value, or the text of one, as a number; None where it is none, or empty."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if isinstance(value, list) and len(value) == 1:
        return number_of(value[0])
    if not isinstance(value, str) or not value or len(value) > 40:
        return None
    try:
        return float(value.strip().rstrip("%") if "_" not in value else "none")
    except ValueError:
        return None
