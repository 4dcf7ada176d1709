"""One audit of a subject at a time."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from auditor.core.spec_file import spec_from
from auditor.schedule.lock import alone, subject_key
from tests.subjects import ROOT

HOLDS = """
import sys, time
from auditor.schedule.lock import alone
with alone("key", waits=True, say=print) as got:
    print(got, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process that holds the lock."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_one_that_won_t_wait_leaves(other):
    said = []
    with alone("key", waits=False, say=said.append) as got:
        assert got is False
    assert said == [f"left alone: process {other.pid} is auditing the same subject"]


def test_one_that_waits_goes_on_once_the_other_is_gone_however_it_went(other):
    said = []
    began = time.monotonic()
    threading.Timer(0.3, other.send_signal, [signal.SIGKILL]).start()
    with alone("key", waits=True, say=said.append) as got:
        assert got is True
        assert 0.2 < time.monotonic() - began < 20
        with alone("key", waits=False, say=said.append) as inner:
            assert inner is False
    assert said == [
        f"waiting: process {other.pid} is auditing the same subject",
        f"left alone: process {os.getpid()} is auditing the same subject",
    ]


def test_another_subject_is_free(other):
    with alone("another", waits=False, say=pytest.fail) as got:
        assert got is True


def test_without_a_place_for_locks_the_run_goes_on(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    said = []
    with alone("key", waits=False, say=said.append) as got:
        assert got is True
    assert said == [
        "no lock could be made (Not a directory): another audit may run beside this one"
    ]


def test_without_a_home_the_run_goes_on(monkeypatch):
    for name in ("HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    said = []
    with alone("key", waits=False, say=said.append) as got:
        assert got is True
    assert said == ["no lock could be made (no home folder): another audit may run beside this one"]


def test_what_makes_a_subject_one(tmp_path):
    def key(**changed):
        values = {"name": "a", "model": {"factory": "m:f", "checkpoint": "w.pt"}}
        return subject_key(spec_from({**values, **changed}, "", tmp_path))

    (tmp_path / "link").symlink_to(tmp_path)
    assert key() == key(audit={"profile": "quick"}) == key(output={"dir": "elsewhere"})
    assert key() != key(name="b")
    assert key() != key(model={"factory": "m:f", "checkpoint": "v.pt"})
    values = {"name": "a", "model": {"factory": "m:f", "checkpoint": "w.pt"}}
    assert subject_key(spec_from(values, "", tmp_path / "link")) == key()
