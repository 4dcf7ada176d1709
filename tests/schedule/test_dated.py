"""Folders of reports by date: what is kept, and all that is never deleted."""

import fcntl
import json
import os
from contextlib import suppress
from datetime import datetime, timedelta, timezone

import pytest

from auditor.core.fingerprint import Identity
from auditor.schedule.dated import dated_folder, old_folders, prune
from tests.subjects import ROOT

RECORD = (ROOT / "tests/golden/record.json").read_bytes()


@pytest.fixture(scope="module")
def subject():
    told = json.loads(RECORD)["subject"]
    return Identity(told["name"], told["factory"], told["task"])


def report(parent, name, record=RECORD):
    (parent / name / "journal").mkdir(parents=True)
    (parent / name / "journal" / "audit.json").write_text("{}", encoding="utf-8")
    (parent / name / "record.json").write_bytes(record)
    return parent / name


def test_the_name_is_when_it_began(tmp_path):
    moment = datetime(2026, 11, 27, 4, 0, tzinfo=timezone(timedelta(hours=2)))
    for name in ("2026-11-27T0200Z", "2026-11-27T0200Z-2", "2026-11-27T0200Z-3"):
        with dated_folder(tmp_path / "new", moment) as folder:
            assert folder == tmp_path / "new" / name
            (folder / "record.json").touch()
        assert folder.exists()


def test_a_folder_that_nothing_was_written_to_goes(tmp_path):
    with suppress(ValueError), dated_folder(tmp_path, datetime.now()) as folder:
        assert folder.is_dir()
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_the_newest_are_kept(tmp_path, subject):
    names = ["2026-01-01T0000Z", "2026-01-02T0000Z", "2026-01-02T0000Z-2", "2026-01-02T0000Z-10"]
    for name in names:
        report(tmp_path, name)
    assert old_folders(tmp_path, subject, 4) == ()
    assert [path.name for path in old_folders(tmp_path, subject, 1)] == names[:3]
    assert prune(tmp_path, subject, 2) == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[2:])


def test_nothing_else_is_ever_deleted(tmp_path, subject):
    outside = report(tmp_path, "outside")
    parent = tmp_path / "reports"
    for name in ("2026-06-01T0000Z", "2026-06-02T0000Z"):
        report(parent, name)
    # Named as ours, but no report of this subject's.
    (parent / "2026-01-01T0000Z").symlink_to(outside)
    (parent / "2026-01-02T0000Z").mkdir()
    (parent / "2026-01-03T0000Z").write_text("a file", encoding="utf-8")
    report(parent, "2026-01-04T0000Z", b"{}")
    report(parent, "2026-01-05T0000Z", RECORD.replace(b"digits-cnn-broken", b"another"))
    (parent / "2026-01-06T0000Z").mkdir()
    (parent / "2026-01-06T0000Z" / "record.json").symlink_to(outside / "record.json")
    (parent / "2026-01-07T0000Z" / "record.json").mkdir(parents=True)
    # A report of this subject's, but not named as ours.
    for name in (
        "best",
        "2026-01-08",
        "2026-01-08T0000Z-best",
        "2026-01-08T0000Z-",
        "２０26-01-08T0000Z",
    ):
        report(parent, name)
    # Ours, with a way out of it.
    old = report(parent, "2026-05-01T0000Z")
    (old / "way out").symlink_to(outside)
    before = {path.name for path in parent.iterdir()}
    assert prune(parent, subject, 1) == ()
    gone = before - {path.name for path in parent.iterdir()}
    assert gone == {"2026-05-01T0000Z", "2026-06-01T0000Z"}
    assert (outside / "record.json").read_bytes() == RECORD
    assert (outside / "journal" / "audit.json").exists()


def test_a_folder_in_use_is_left_for_the_next_time(tmp_path, subject):
    for day in (1, 2):
        report(tmp_path, f"2026-01-0{day}T0000Z")
    held = os.open(tmp_path / "2026-01-01T0000Z", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert prune(tmp_path, subject, 1) == ()
    assert len(list(tmp_path.iterdir())) == 2
    os.close(held)
    assert prune(tmp_path, subject, 1) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["2026-01-02T0000Z"]
