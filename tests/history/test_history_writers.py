"""Many programs write one history at once, some of them to their end."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import time
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest
from kept_records import audited, found

from auditor.history.history import About, HistoryError
from auditor.history.schema import MIGRATIONS, version_of
from auditor.history.sqlite import SqliteHistory

FORK = multiprocessing.get_context("fork")


def write(file: Path, process: int, many: int, together: Barrier, begun: Event) -> None:
    together.wait(30)
    for place in range(many):
        SqliteHistory(file).add(audited(place % 28 + 1, process=1000 * process + place))
        if place == 4:
            begun.set()


def count(file: Path) -> int:
    return sum(1 for _ in SqliteHistory(file).entries(About()))


def test_eight_writers_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.sqlite"
    together = FORK.Barrier(8)  # all at once, into a file that is not there yet
    writers = [
        FORK.Process(target=write, args=(file, process, 15, together, FORK.Event()))
        for process in range(8)
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    assert [one.exitcode for one in writers] == [0] * 8
    assert count(file) == 8 * 15
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()


def test_a_history_that_another_makes_between_two_looks_is_none_of_another_program(
    tmp_path: Path,
) -> None:
    file = tmp_path / "history.sqlite"
    file.touch()

    class Overtaken(sqlite3.Connection):
        looks = 0

        def execute(self, *statement: Any) -> sqlite3.Cursor:
            if self.looks == 1:
                SqliteHistory(file).add(audited(1))
            self.looks += 1
            return super().execute(*statement)

    with contextlib.closing(sqlite3.connect(file, factory=Overtaken)) as db:
        assert version_of(db) == 0, "as it was when its tables were looked for"
        assert version_of(db) == len(MIGRATIONS)


def test_a_killed_writer_leaves_whole_audits_and_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "history.sqlite"
    history = SqliteHistory(file)
    for process in range(1, 6):
        begun = FORK.Event()
        one = FORK.Process(target=write, args=(file, process, 100_000, FORK.Barrier(1), begun))
        one.start()
        assert begun.wait(30)
        time.sleep(0.003 * process)
        os.kill(one.pid or 0, signal.SIGKILL)
        one.join(30)
        began = time.monotonic()
        last = history.add(audited(28, process=process))
        assert time.monotonic() - began < 5
        assert last in {entry.id for entry in history.entries(About())}
    kept = [history.record(entry.id) for entry in history.entries(About())]
    assert len(kept) >= 5 * (5 + 1)


def test_a_writer_waits_for_another_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.history.sqlite.PATIENCE", 0.2)
    history = SqliteHistory(tmp_path / "history.sqlite")
    id_ = history.add(audited(1))
    other = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(HistoryError, match=r"another program has held the history for 0\.2 s"):
        history.add(audited(2))
    assert [entry.id for entry in history.entries(About())] == [id_], "readers do not wait"
    other.execute("ROLLBACK")
    other.close()
    history.add(audited(2))


def test_where_there_is_no_write_ahead_log_it_goes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network: SQLite finds no memory to share there, here by a file system of its own."""
    connect = sqlite3.connect
    monkeypatch.setattr(
        "auditor.history.sqlite.sqlite3.connect",
        lambda address, **options: connect(f"{address}&vfs=unix-dotfile", **options),
    )
    history = SqliteHistory(tmp_path / "history.sqlite")
    kept = [history.add(audited(day)) for day in (1, 2)]
    assert [entry.id for entry in history.entries(About())] == kept[::-1]
    assert not [*tmp_path.glob("*-wal")]
    db = connect(tmp_path / "history.sqlite")
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()


def test_a_full_disk_costs_the_new_audit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = SqliteHistory(tmp_path / "history.sqlite")
    id_ = history.add(audited(1))
    connect = sqlite3.connect

    def small(address: str, **options: object) -> sqlite3.Connection:
        db = connect(address, **options)  # type: ignore[call-overload]
        db.execute("PRAGMA max_page_count = 1")
        return db  # type: ignore[no-any-return]

    monkeypatch.setattr("auditor.history.sqlite.sqlite3.connect", small)
    findings = [found(f"check-{place}", "pass", place / 7) for place in range(3000)]
    with pytest.raises(HistoryError, match="the disk is full"):
        history.add(audited(2, *findings))
    monkeypatch.undo()
    assert id_ in {entry.id for entry in history.entries(About())}
