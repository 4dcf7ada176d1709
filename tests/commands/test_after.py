"""What follows an audit never costs it: a history that can't be written is a line."""

import os
import sqlite3
import sys
from pathlib import Path

import pytest

from auditor.commands.after import follow_up, with_past
from auditor.core.record import AuditRecord, read_record
from auditor.core.spec import AuditSpec
from auditor.core.spec_file import spec_from
from auditor.history.history import About
from auditor.history.sqlite import SqliteHistory
from tests.subjects import ROOT


@pytest.fixture(scope="module")
def record() -> AuditRecord:
    return read_record(ROOT / "tests/golden/record.json")


def spec(base: Path, **history: object) -> AuditSpec:
    return spec_from({"history": {"file": "kept.sqlite", **history}}, "spec", base)


def test_an_audit_is_kept(record: AuditRecord, tmp_path: Path) -> None:
    assert follow_up(record, spec(tmp_path), tmp_path) == ()
    assert follow_up(record, spec(tmp_path), tmp_path) == ()
    (entry,) = SqliteHistory(tmp_path / "kept.sqlite").entries(About())
    assert entry.glance.subject.name == record.subject.name


def test_an_audit_that_is_not_to_be_kept_leaves_no_trace(
    record: AuditRecord, tmp_path: Path
) -> None:
    unkept = spec(tmp_path, keep=False)
    assert follow_up(record, unkept, tmp_path) == ()
    assert [*tmp_path.iterdir()] == []
    follow_up(record, spec(tmp_path), tmp_path)
    assert with_past(record, unkept) == record
    past = with_past(record, spec(tmp_path)).volatile.past
    assert past is not None
    assert len(past.audits) == 1


def no_history(path: Path) -> None:
    path.write_bytes(b"a diary" * 1000)


def newer(path: Path) -> None:
    SqliteHistory(path).add(read_record(ROOT / "tests/golden/record.json"))
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (no_history, "no history of audits, or a damaged one"),
        (newer, "of version 9, written by a newer auditor"),
        (Path.mkdir, "no regular file"),
        (os.mkfifo, "no regular file"),
    ],
)
def test_a_history_that_is_broken_costs_a_line(
    record: AuditRecord, tmp_path: Path, broken: object, says: str
) -> None:
    broken(tmp_path / "kept.sqlite")  # type: ignore[operator]
    assert with_past(record, spec(tmp_path)) == record
    (line,) = follow_up(record, spec(tmp_path), tmp_path)
    assert line.startswith("not kept in the history: ")
    assert says in line
    assert "\n" not in line


def test_a_user_without_a_home(
    record: AuditRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "AUDIT_HISTORY"):
        monkeypatch.delenv(name, raising=False)
    homeless = spec(tmp_path, file=None)
    assert with_past(record, homeless) == record
    (line,) = follow_up(record, homeless, tmp_path)
    assert "no home to keep the history of audits in" in line


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_home_that_can_not_be_written(record: AuditRecord, tmp_path: Path) -> None:
    (line,) = follow_up(record, spec(tmp_path, file="/proc/nobody/history.sqlite"), tmp_path)
    assert line.startswith("not kept in the history: /proc/nobody/history.sqlite: ")
