"""JSON and JSON lines: rows of trainers, histories as lists, and the Recorder's file."""

import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from auditor.core.text import counted
from auditor.intake.recorder_file import MARK
from auditor.intake.training_logs.table import MOST_ROWS, LogTable, UnreadableLogError, tabled

TRAINER = "`log_history` of a Hugging Face trainer"
LINES = "JSON lines"
RECORDER = "the Recorder's file"

UNREADABLE = (ValueError, RecursionError)


def read_json(text: str) -> LogTable:
    """Return the rows of a text of JSON, one value or one a line.

    Raises:
        UnreadableLogError: it is no JSON, or holds no rows.
    """
    try:
        held = json.loads(text)
    except UNREADABLE:
        return _read_lines(text)
    return _table_of(held)


def _read_lines(text: str) -> LogTable:
    """Return the rows of JSON lines. The last line of a run that was killed may be half a one."""
    lines = [line for line in text.splitlines() if line.strip()]
    rows, broken, recorder = [], 0, False
    for line in lines[: MOST_ROWS + 1]:
        try:
            row = json.loads(line)
        except UNREADABLE:
            broken += 1
            continue
        if not isinstance(row, Mapping):
            broken += 1
        elif MARK in row:
            recorder = True
        else:
            rows.append(row)
    if broken * 2 > len(lines) or (not rows and not recorder):
        raise UnreadableLogError("it begins like JSON, and is neither JSON nor JSON lines")
    notes = [f"{counted(broken, 'line')} without a JSON object: ignored."] if broken else []
    return _filled(tabled(RECORDER if recorder else LINES, rows, notes))


def _table_of(held: Any) -> LogTable:
    if isinstance(held, Mapping):
        if isinstance(rows := held.get("log_history"), list):
            return _filled(tabled(TRAINER, _of_trainer(rows)))
        if MARK in held:
            raise UnreadableLogError("the Recorder wrote no row after its header")
        for key in ("history", "logs", "log", "metrics"):
            if isinstance(inner := held.get(key), list | Mapping):
                return _table_of(inner)
        if any(isinstance(value, list) for value in held.values()):
            return _filled(tabled("a history (JSON)", _columns(held)))
        return _filled(tabled("one row (JSON)", [held]))
    if isinstance(held, list):
        rows = [row for row in held if isinstance(row, Mapping)]
        if rows:
            return _filled(tabled("rows (JSON)", rows))
    raise UnreadableLogError("it is JSON without rows of numbers")


def _of_trainer(rows: list[Any]) -> list[Mapping[str, Any]]:
    """Return a trainer's rows without its summary, whose `train_loss` is a mean over the run."""
    return [row for row in rows if isinstance(row, Mapping) and "train_runtime" not in row]


def _columns(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a history that keeps a list a column, an entry an epoch, as Keras does."""
    lists = {str(k): v[:MOST_ROWS] for k, v in held.items() if isinstance(v, list)}
    if not {"epoch", "step"} & set(lists):
        lists["epoch"] = list(range(1, max(map(len, lists.values())) + 1))
    return [dict(zip(lists, values, strict=True)) for values in zip_longest(*lists.values())]


def _filled(table: LogTable) -> LogTable:
    if not table.rows:
        raise UnreadableLogError("it is JSON without rows of numbers")
    return table
