"""A history in one file: what goes in comes out, whatever is in it and whatever befell the file."""

import os
import sqlite3
import stat
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from kept_records import audited, found

from auditor.core.errors import InputError
from auditor.core.fingerprint import Identity
from auditor.core.record import safe
from auditor.history import schema
from auditor.history.entry import id_of
from auditor.history.history import About, HistoryError
from auditor.history.place import made
from auditor.history.sqlite import SqliteHistory

HOSTILE = "'; DROP TABLE audits; --\x1b[31m<script>\u202e\x00"


@pytest.fixture
def history(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "state" / "history.sqlite")


def ids(history: SqliteHistory, about: About | None = None) -> list[str]:
    return [entry.id for entry in history.entries(about or About())]


def test_an_audit_comes_back_as_it_was(history: SqliteHistory) -> None:
    record = audited(1, found("dead-units", "fail"), found("other", "pass", float("inf")))
    id_ = history.add(record)
    assert id_ == id_of(record)
    assert history.record(id_) == record
    (entry,) = history.entries(About())
    assert entry.identity == Identity("digits", "model:build", "multiclass")
    assert (entry.clean, entry.by_hand, entry.accepted, entry.only) == (False, False, False, None)
    assert entry.glance.outcomes[0].where[0].name == "a"
    point = history.measures(id_)["dead-units", "dead units"]
    assert (point.value, point.low, point.high) == (0.5, 0.4, 0.6)
    assert history.measures(id_)["other", "dead units"].value == float("inf")


def test_the_newest_comes_first_however_its_moment_is_written(history: SqliteHistory) -> None:
    odd = {"started": "2026-01-02T01:00:00+14:00"}  # before noon of the first
    records = [
        audited(3),
        audited(1),
        replace(audited(2), volatile=replace(audited(2).volatile, **odd)),
        replace(audited(4), volatile=replace(audited(4).volatile, started="yesterday")),
    ]
    kept = [history.add(record) for record in records]
    assert ids(history) == [kept[0], kept[1], kept[2], kept[3]]


def test_an_audit_is_kept_once(history: SqliteHistory) -> None:
    first = audited(1, found("a", "fail"))
    id_ = history.add(first)
    history.accept(id_, True)
    assert history.add(first) == id_
    again = replace(first, sections=audited(1, found("a", "pass")).sections)
    assert history.add(again) == id_
    (entry,) = history.entries(About())
    assert history.record(id_) == again
    assert entry.by_hand, "what somebody accepted stays accepted"
    assert history.add(audited(1, process=2)) != id_


def test_what_is_looked_for(history: SqliteHistory) -> None:
    one, two = history.add(audited(1)), history.add(audited(2))
    other = history.add(audited(3, name="letters", factory="model:other", task=None))
    assert ids(history, About(name="digits")) == [two, one]
    assert ids(history, About(name="digits", besides=two)) == [one]
    assert ids(history, About(before="2026-01-02T12:00:00+00:00")) == [two, one]
    assert ids(history, About(before="2026-01-02T11:00:00+00:00")) == [one]
    assert ids(history, About(factory="model:other")) == [other]
    assert ids(history, About(task="binary")) == []
    assert [subject.name for subject in history.subjects()] == ["digits", "letters"]


def test_acceptance(history: SqliteHistory) -> None:
    id_ = history.add(audited(1, found("a", "fail")))
    for accepted in (True, False):
        history.accept(id_, accepted)
        (entry,) = history.entries(About())
        assert entry.accepted is accepted
    clean = [
        (found("a", "pass"), True),
        (found("a", "warn"), True),
        (found("a", "fail", waived="on purpose"), True),
        (found("a", "fail"), False),
        (found("a", "error"), False),
    ]
    for day, (finding, _) in enumerate(clean, 2):
        history.add(audited(day, finding))
    told = [entry.accepted for entry in history.entries(About())][::-1][1:]
    assert told == [accepted for _, accepted in clean]
    assert not any(
        entry.accepted for entry in [*_entries_of(history, audited(20, error="the worker died"))]
    )


def _entries_of(history: SqliteHistory, record: object) -> list[object]:
    id_ = history.add(record)  # type: ignore[arg-type]
    return [entry for entry in history.entries(About()) if entry.id == id_]


def test_ids_by_their_first_digits(history: SqliteHistory) -> None:
    id_ = history.add(audited(1))
    assert history.id_of(id_[:4]) == history.id_of(id_) == id_
    assert history.id_of("0000" if id_[0] != "0" else "ffff") is None
    assert history.id_of("%") is None
    for day in range(2, 29):
        history.add(audited(day))
    with pytest.raises(HistoryError, match="several audits begin so"):
        history.id_of("")


def test_names_are_text_and_nothing_else(history: SqliteHistory) -> None:
    names = [HOSTILE, "half \ud800", "", "%", "a" * 100_000]
    for day, name in enumerate(names, 1):
        id_ = history.add(audited(day, name=name, factory=name))
        assert id_ == id_of(history.record(id_))
    first = safe(audited(1, name=HOSTILE, factory=HOSTILE))
    assert "\x1b" not in first.subject.name
    assert ids(history, About(name=first.subject.name)) == [id_of(first)]
    assert len(history.subjects()) == len(names)
    assert len(ids(history, About(name="%"))) == 1


def test_nobody_else_can_read_it(history: SqliteHistory, tmp_path: Path) -> None:
    with_umask = os.umask(0)
    try:
        history.add(audited(1))
        kept = sqlite3.connect(tmp_path / "state/history.sqlite")
        kept.execute("SELECT * FROM audits").fetchone()
        history.add(audited(2))
        modes = {
            path.name: stat.S_IMODE(path.stat().st_mode) for path in history._file.parent.iterdir()
        }
        kept.close()
    finally:
        os.umask(with_umask)
    assert len(modes) == 3, "the file, its log and its index"
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_folder_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    SqliteHistory(tmp_path / "history.sqlite").add(audited(1))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def altered(history: SqliteHistory, statement: str, *values: object) -> None:
    with sqlite3.connect(history._file) as db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("glance", b"no zlib"),
        ("glance", zlib.compress(b"{")),
        ("glance", zlib.compress(b"{}")),
        ("glance", "text"),
        ("glance", 7),
        ("only", "no list"),
    ],
)
def test_a_damaged_entry_is_named(history: SqliteHistory, column: str, value: object) -> None:
    id_ = history.add(audited(1))
    altered(history, f"UPDATE audits SET {column} = ?", value)
    with pytest.raises(HistoryError, match=f"audit {id_} is damaged"):
        [*history.entries(About())]


def test_a_damaged_record_is_named(history: SqliteHistory) -> None:
    id_ = history.add(audited(1))
    altered(history, "UPDATE audits SET record = ?", zlib.compress(b"{}")[:-3])
    with pytest.raises(HistoryError, match=f"audit {id_} is damaged"):
        history.record(id_)
    altered(history, "UPDATE audits SET record = ?", zlib.compress(b'{"schema_version": 7}'))
    with pytest.raises(InputError, match=rf"sqlite: audit {id_}: a record of schema version 7"):
        history.record(id_)
    with pytest.raises(HistoryError, match="no audit nowhere"):
        history.record("nowhere")
    altered(history, "UPDATE audits SET measures = ?", zlib.compress(b"[1]"))
    with pytest.raises(HistoryError, match="is damaged"):
        history.measures(id_)


def test_a_record_that_grows_without_end_is_not_unpacked(
    history: SqliteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = history.add(audited(1))
    monkeypatch.setattr("auditor.history.sqlite.LARGEST", 1000)
    with pytest.raises(HistoryError, match="is damaged"):
        history.record(id_)


def refused(history: SqliteHistory, says: str) -> None:
    """Both ways into a history end in one clear error that names the file."""
    for use in (lambda: history.add(audited(1)), lambda: [*history.entries(About())]):
        with pytest.raises(HistoryError, match=says) as told:
            use()
        assert str(told.value).startswith(history.shown)


def test_what_is_no_history_stays_as_it_is(history: SqliteHistory, tmp_path: Path) -> None:
    made(history._file)
    history._file.write_bytes(b"a diary of mine, which is longer than a header of SQLite\n" * 40)
    before = history._file.read_bytes()
    refused(history, "no history of audits, or a damaged one: move it away")
    assert history._file.read_bytes() == before
    other = SqliteHistory(tmp_path / "other.sqlite")
    with sqlite3.connect(other._file) as db:
        db.execute("CREATE TABLE mine (it)")
    db.close()
    content = other._file.read_bytes()
    refused(other, "a database of another program")
    assert other._file.read_bytes() == content, "not even its journal's mode"


def test_a_newer_version_is_refused(history: SqliteHistory) -> None:
    history.add(audited(1))
    altered(history, "PRAGMA user_version = 99")
    refused(history, "of version 99, written by a newer auditor; this one reads up to version")


def test_a_torn_file_is_refused(history: SqliteHistory) -> None:
    history.add(audited(1))
    altered(history, "PRAGMA journal_mode = DELETE")
    data = history._file.read_bytes()
    history._file.write_bytes(data[:4096] + os.urandom(4096) * (len(data) // 4096 - 1))
    refused(history, "damaged|malformed")


def test_places_that_are_no_file(history: SqliteHistory, tmp_path: Path) -> None:
    refused(SqliteHistory(tmp_path), "no regular file")
    os.mkfifo(tmp_path / "pipe")
    refused(SqliteHistory(tmp_path / "pipe"), "no regular file")
    (tmp_path / "file").write_bytes(b"")
    refused(SqliteHistory(tmp_path / "file" / "below.sqlite"), "the history can't be used")
    with pytest.raises(HistoryError, match="No such file"):
        [*history.entries(About())]
    assert not history._file.parent.exists(), "looking makes nothing"


def test_an_earlier_version_is_brought_up_and_keeps_its_audits(
    history: SqliteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = history.add(audited(1))
    more = (*schema.MIGRATIONS, ("ALTER TABLE audits ADD COLUMN note TEXT",))
    for module in ("schema", "sqlite"):
        monkeypatch.setattr(f"auditor.history.{module}.MIGRATIONS", more)
    assert ids(history) == [id_], "reading brings it up too"
    with sqlite3.connect(history._file) as db:
        assert db.execute("SELECT note FROM audits").fetchall() == [(None,)]
        assert db.execute("PRAGMA user_version").fetchone() == (len(more),)
    db.close()
    monkeypatch.undo()
    refused(history, "written by a newer auditor")


def test_a_migration_that_fails_changes_nothing(
    history: SqliteHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = history.add(audited(1))
    with monkeypatch.context() as patched:
        broken = (*schema.MIGRATIONS, ("ALTER TABLE audits ADD COLUMN a TEXT", "NO SQL"))
        for module in ("schema", "sqlite"):
            patched.setattr(f"auditor.history.{module}.MIGRATIONS", broken)
        with pytest.raises(HistoryError, match="syntax error"):
            history.add(audited(2))
    assert ids(history) == [id_]


def test_an_empty_file_is_an_empty_history(history: SqliteHistory) -> None:
    made(history._file)
    assert ids(history) == []
    assert history.subjects() == ()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_history_that_can_only_be_read_is_read(history: SqliteHistory) -> None:
    id_ = history.add(audited(1))
    history._file.chmod(0o400)
    history._file.parent.chmod(0o500)
    try:
        assert ids(history) == [id_]
        with pytest.raises(HistoryError, match="read-only"):
            history.add(audited(2))
    finally:
        history._file.parent.chmod(0o700)


def test_a_file_whose_name_is_no_address(tmp_path: Path) -> None:
    for name in ("a?mode=memory", "50%", "a#b", "ä \udc80"):
        history = SqliteHistory(tmp_path / name)
        id_ = history.add(audited(1))
        assert ids(history) == [id_]
        assert (tmp_path / name).stat().st_size > 1000
