"""Records by the names that people give them: a file, a folder, or an id in the history."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.record import RECORD, AuditRecord, read_record
from auditor.core.text import clean_text
from auditor.history.sqlite import SqliteHistory

LAST = "last"
"""Names the audit before another one of the same subject."""

ID = re.compile(r"[0-9a-f]{4,64}\Z")
"""An audit's id, or as much of its beginning as is enough."""


@dataclass(frozen=True)
class Named:
    """A record, and how to name it for people; `path` is its file where it is in one."""

    record: AuditRecord
    source: str
    path: Path | None


def record_named(name: str, opened: Callable[[], SqliteHistory], base: Path = Path()) -> Named:
    """Return the record that is meant: a file, a folder with `record.json`, or an id.

    Paths are relative to `base`. Of an id, the first four digits or more are enough; only for one
    is the history `opened`.

    Raises:
        InputError: there is none, or it can't be read.
    """
    path = base / name
    if path.is_dir():
        if not (path / RECORD).exists():
            raise InputError(f"{clean_text(path)}: a folder without {RECORD}")
        path /= RECORD
    if path.exists() or not ID.match(name):
        return Named(read_record(path), clean_text(path), path)
    history = opened()
    id_ = history.id_of(name) if history.exists else None
    if id_ is None:
        raise InputError(
            f"{clean_text(name)}: no such record or folder, and no such audit in the history "
            f"({history.shown})"
        )
    return kept(history, id_)


def kept(history: SqliteHistory, id_: str) -> Named:
    """Return an audit of the history."""
    return Named(history.record(id_), f"{id_} in the history", None)
