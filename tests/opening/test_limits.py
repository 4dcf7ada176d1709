"""The process that reads a checkpoint is held to its limits, whatever happens in it."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from auditor.core.errors import InputError
from auditor.opening import process
from auditor.opening.process import looked_into
from tests.peak import peak_of_children

ROOT = Path(__file__).parents[2]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return what a reader that misbehaves is refused with."""
    monkeypatch.setattr(process, "READERS", "tests.opening")
    monkeypatch.setattr(process, "reader_of_file", lambda file, name: "misbehaving")
    monkeypatch.setattr(process, "COMPUTING", 1)
    monkeypatch.setattr(process, "SECONDS", 6)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def refused(name: str) -> str:
        path = tmp_path / f"{name}.pt"
        path.write_bytes(b"x")
        start = time.monotonic()
        with pytest.raises(InputError) as error, looked_into(path):
            pass
        assert time.monotonic() - start < 10
        message = str(error.value)
        assert len(message.splitlines()) <= 5
        assert "\x1b" not in message
        assert len(message) < 2_000
        return message

    return refused


@pytest.mark.parametrize("name", ["memory", "memory-bit-by-bit"])
def test_memory(name: str, told: Callable[[str], str]) -> None:
    assert "memory" in told(name)


@pytest.mark.parametrize("name", ["memory", "memory-bit-by-bit"])
def test_memory_is_bounded(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert peak_of_children(_misread, tmp_path / name) < 2 << 30


def _misread(path: Path) -> None:
    process.READERS = "tests.opening"
    process.reader_of_file = lambda file, name: "misbehaving"
    os.environ["PYTHONPATH"] = str(ROOT)
    with contextlib.suppress(InputError), looked_into(path):
        pass


def test_computing(told: Callable[[str], str]) -> None:
    assert "more time or memory" in told("computing")


def test_waiting(told: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SECONDS", 1)
    assert "takes longer than 1 s" in told("waiting")


def test_writing(
    told: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MOST_SPILLED", 8 << 20)
    said = told("writing")
    assert "File too large" in said or "ended the process" in said
    assert (tmp_path / "written").stat().st_size <= 8 << 20


@pytest.mark.parametrize("name", ["dying", "leaving"])
def test_dying(name: str, told: Callable[[str], str]) -> None:
    assert "ended the process" in told(name)


def test_telling_too_much(told: Callable[[str], str]) -> None:
    assert "more values than a checkpoint" in told("telling")


def test_nesting(told: Callable[[str], str]) -> None:
    assert "nested too deeply" in told("nested")


def test_raising(told: Callable[[str], str]) -> None:
    assert "damaged: KeyError" in told("raising")


def test_a_file_that_changes_is_refused(told: Callable[[str], str]) -> None:
    assert "changed while it was read" in told("changing")


def test_it_knows_nothing_of_the_parent(
    told: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    path = tmp_path / "environment.pt"
    path.write_bytes(b"x")
    with looked_into(path) as opened:
        assert "SECRET_TOKEN" not in opened.contents.tree
        assert opened.contents.tree["HOME"] != os.environ.get("HOME")


def test_nothing_is_left_behind(
    told: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    open_files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for name in ("dying", "raising", "computing"):
        told(name)
    assert list(rooms.iterdir()) == []
    if open_files:
        assert len(os.listdir("/proc/self/fd")) == open_files
