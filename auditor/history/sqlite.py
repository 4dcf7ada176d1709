"""A history in one SQLite file, which many audits may write at once.

Every call opens the file anew and does its work in one transaction, so that a program that is
killed leaves whole audits behind, and nothing stays locked.
"""

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from auditor.core.fingerprint import Identity
from auditor.core.glance import Glance
from auditor.core.past import Point
from auditor.core.record import AuditRecord, record_from_json, record_to_json
from auditor.core.text import clean_text
from auditor.history.entry import entry_of, measures_of, seconds
from auditor.history.history import About, Entry, HistoryError, Measures
from auditor.history.place import checked, made
from auditor.history.schema import MIGRATIONS, brought_up, version_of

PATIENCE = 30.0
"""Seconds to wait for another writer; each takes some milliseconds."""
LARGEST = 1 << 29
"""Bytes of the largest record that is unpacked."""

_GLANCE: TypeAdapter[Glance] = TypeAdapter(Glance)
_MEASURES: TypeAdapter[list[tuple[str, str, Point]]] = TypeAdapter(list[tuple[str, str, Point]])
_ONLY: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])
_ENTRY = "id, glance, clean, by_hand, only"
_T = TypeVar("_T")


class SqliteHistory:
    """The history in a file; see `History`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def shown(self) -> str:
        """Return the file, for people."""
        return clean_text(self._file)

    @property
    def exists(self) -> bool:
        """Return whether anything was ever kept there."""
        with self._told():
            return self._file.exists()

    def add(self, record: AuditRecord) -> str:
        """Keep an audit and return its id; one that is there already is replaced."""
        text = record_to_json(record).encode("utf-8")
        kept = record_from_json(text)  # as it will be read
        entry, subject = entry_of(kept), kept.subject
        row = {
            "id": entry.id,
            "name": entry.identity.name,
            "factory": entry.identity.factory,
            "task": entry.identity.task,
            "started": kept.volatile.started,
            "moment": seconds(kept.volatile.started),
            "verdict": kept.verdict.value,
            "checkpoint": subject.checkpoint.sha256 if subject.checkpoint else "",
            "clean": entry.clean,
            "only": None if entry.only is None else json.dumps(entry.only),
            "glance": zlib.compress(_GLANCE.dump_json(entry.glance)),
            "measures": zlib.compress(
                _MEASURES.dump_json([(*key, point) for key, point in measures_of(kept).items()])
            ),
            "record": zlib.compress(text),
        }
        names = ", ".join(row)
        again = ", ".join(f"{name} = excluded.{name}" for name in row if name != "id")
        marks = ", ".join(f":{name}" for name in row)
        with self._writing() as db:
            db.execute(
                f"INSERT INTO audits ({names}) VALUES ({marks}) "
                f"ON CONFLICT (id) DO UPDATE SET {again}",
                row,
            )
        return entry.id

    def entries(self, about: About) -> Iterator[Entry]:
        """Yield the audits looked for, the newest first."""
        wanted: dict[str, Any] = {
            "name = ?": about.name,
            "factory = ?": about.factory,
            "task = ?": about.task,
            "moment <= ?": None if about.before is None else seconds(about.before),
            "id <> ?": about.besides,
        }
        given = {term: value for term, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(given)}" if given else ""
        with self._reading() as db:
            for row in db.execute(
                f"SELECT {_ENTRY} FROM audits {where} ORDER BY moment DESC, rowid DESC",
                [*given.values()],
            ):
                yield self._entry(row)

    def subjects(self) -> tuple[Identity, ...]:
        """Return everything that was ever audited."""
        with self._reading() as db:
            rows = db.execute("SELECT DISTINCT name, factory, task FROM audits ORDER BY 1, 2, 3")
            return tuple(Identity(*map(str, row)) for row in rows)

    def id_of(self, start: str) -> str | None:
        """Return the one id that begins so; None where there is none.

        Raises:
            HistoryError: there are several.
        """
        with self._reading() as db:
            rows = db.execute(
                "SELECT id FROM audits WHERE substr(id, 1, ?) = ? LIMIT 2", (len(start), start)
            ).fetchall()
        if len(rows) > 1:
            raise HistoryError(f"{clean_text(start, 40)}: several audits begin so; give more of it")
        return str(rows[0][0]) if rows else None

    def record(self, id_: str) -> AuditRecord:
        """Return the record of an audit."""
        origin = f"{self.shown}: audit {clean_text(id_, 40)}"
        return record_from_json(self._blob(id_, "record"), origin)

    def measures(self, id_: str) -> Measures:
        """Return what an audit measured."""
        read = self._parsed(id_, _MEASURES, self._blob(id_, "measures"))
        return {(check, name): point for check, name, point in read}

    def accept(self, id_: str, accepted: bool) -> None:
        """Note that somebody accepts an audit as it is, or no longer does."""
        with self._writing() as db:
            db.execute("UPDATE audits SET by_hand = ? WHERE id = ?", (accepted, id_))

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        id_, glance, clean, by_hand, only = row
        return Entry(
            id=str(id_),
            glance=self._parsed(id_, _GLANCE, self._unpacked(id_, glance)),
            clean=bool(clean),
            by_hand=bool(by_hand),
            only=None if only is None else self._parsed(id_, _ONLY, str(only).encode("utf-8")),
        )

    def _blob(self, id_: str, column: str) -> bytes:
        with self._reading() as db:
            row = db.execute(f"SELECT {column} FROM audits WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise HistoryError(f"{self.shown}: no audit {clean_text(id_, 40)}")
        return self._unpacked(id_, row[0])

    def _unpacked(self, id_: object, packed: object) -> bytes:
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(packed, LARGEST)  # type: ignore[arg-type]
        except (zlib.error, TypeError) as error:
            raise self._damaged(id_) from error
        if not unpacking.eof:
            raise self._damaged(id_)
        return data

    def _parsed(self, id_: object, adapter: TypeAdapter[_T], data: bytes) -> _T:
        try:
            return adapter.validate_json(data)
        except ValidationError as error:
            raise self._damaged(id_) from error

    def _damaged(self, id_: object) -> HistoryError:
        return HistoryError(f"{self.shown}: what is kept of audit {clean_text(id_, 40)} is damaged")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._told():
            checked(self._file)
            with contextlib.closing(self._connected(self._only_reading())) as db:
                if version_of(db) < len(MIGRATIONS):
                    with self._writing():
                        pass
                yield db

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open a file that is made where there is none, for one transaction."""
        with self._told():
            made(self._file)
            with contextlib.closing(self._connected("mode=rw")) as db:
                version_of(db)  # of a database that is not ours, not even the journal is changed
                with contextlib.suppress(sqlite3.OperationalError):
                    # Not every file system can; then readers and writers wait for one another.
                    db.execute("PRAGMA journal_mode = WAL")
                brought_up(db)
                db.execute("BEGIN IMMEDIATE")
                yield db
                db.execute("COMMIT")

    def _only_reading(self) -> str:
        """Return how to open the file for reading alone.

        Readers of a write-ahead log need a file of their own beside it. Where none can be made and
        there is no log, nobody can be writing.
        """
        folder, log = self._file.absolute().parent, Path(f"{self._file}-wal")
        fixed = not os.access(folder, os.W_OK) and not log.exists()
        return f"mode=ro{'&immutable=1' if fixed else ''}"

    def _connected(self, options: str) -> sqlite3.Connection:
        address = f"{self._file.absolute().as_uri()}?{options}"
        return sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Let every error name the file."""
        try:
            yield
        except HistoryError as error:
            if str(error).startswith(self.shown):
                raise
            raise HistoryError(f"{self.shown}: {error}") from error
        except sqlite3.Error as error:
            raise HistoryError(f"{self.shown}: {_reason(error)}") from error
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise HistoryError(f"{self.shown}: the history can't be used: {reason}") from error


def _reason(error: sqlite3.Error) -> str:
    """Return what is wrong with a database and what to do, in our words where we know."""
    match getattr(error, "sqlite_errorname", "").split("_")[1:2]:
        case ["NOTADB" | "CORRUPT"]:
            return "no history of audits, or a damaged one: move it away, or name another file"
        case ["BUSY" | "LOCKED"]:
            return f"another program has held the history for {PATIENCE:g} s"
        case ["FULL"]:
            return "the history can't be written: the disk is full"
        case ["IOERR"]:
            return "the history can't be used: the disk is full or fails"
        case ["READONLY"]:
            return "the history can't be written: it is read-only"
    return f"the history can't be used: {clean_text(error)}"
