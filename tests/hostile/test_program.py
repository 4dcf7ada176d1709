"""The corpus through the program, as a user who was sent a file: `audit inspect`, `audit run`.

`audit inspect` must say in one message what is wrong, end with exit code 2, take neither long nor
much memory, and leave nothing behind.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor.cli import main
from tests.hostile.cases import Bait, Case, Read, Refused
from tests.hostile.corpus import CORPUS
from tests.hostile.faults import texts
from tests.hostile.judged import assert_fit, assert_untouched, assert_what_must, looked_at
from tests.peak import measuring

SECONDS = 10
LONGEST = 60
MOST_MEMORY = 2 << 30

SPREAD = [case for number, case in enumerate(CORPUS) if number % 60 == 0 and not case.slow]
REST = [
    case
    for number, case in enumerate(CORPUS)
    if case not in SPREAD and (number % 4 == 0 or not isinstance(case.must, Refused))
]
"""What is read, and a quarter of what is refused: each refusal itself is held by `test_corpus`."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, what it said where, and the seconds it computed."""

    code: int
    out: str
    err: str
    computed: float


def _ended(arguments: list[str], cwd: Path, rooms: Path) -> Ended:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = cwd.parent / "peak"
    done = subprocess.run(
        [*measuring(peak), sys.executable, "-m", "auditor.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        env={**os.environ, "NO_COLOR": "1", "TMPDIR": str(rooms)},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    computed = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert int(peak.read_text()) < MOST_MEMORY
    return Ended(done.returncode, done.stdout, done.stderr, computed)


def _ended_here(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ended:
    """Run a command in this process, which spares the start of Python and all imports."""
    monkeypatch.setattr(sys, "argv", ["audit", *arguments])
    computed = _computed()
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return Ended(int(ended.value.code or 0), told.out, told.err, _computed() - computed)


def _computed() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass(frozen=True)
class Scene:
    """A case's file, written, and the folders in which a command works."""

    case: Case
    bait: Bait
    path: Path
    cwd: Path
    rooms: Path

    @classmethod
    def of(cls, case: Case, tmp_path: Path) -> "Scene":
        if case.id == "unreadable" and os.geteuid() == 0:
            pytest.skip("root reads everything")
        bait = Bait(tmp_path / "f", tmp_path / "MARKER")
        rooms, cwd = tmp_path / "rooms", tmp_path / "cwd"
        for folder in (bait.folder, rooms, cwd):
            folder.mkdir()
        return cls(case, bait, case.write(bait), cwd, rooms)

    def assert_well_ended(self, ended: Ended, before: dict[str, tuple[int, int]]) -> None:
        assert ended.code in (0, 2), ended
        assert "Traceback" not in ended.out + ended.err
        assert_what_must(self.case, self.path, ended.err if ended.code == 2 else None)
        if ended.code == 0:
            assert all(line.isprintable() for line in ended.out.split("\n")), ascii(ended.out)
        else:
            assert ended.out == ""
        assert ended.computed < SECONDS
        assert_untouched(self.bait, before)
        assert list(self.rooms.iterdir()) == list(self.cwd.iterdir()) == []


@pytest.mark.parametrize("case", SPREAD, ids=str)
def test_inspect(case: Case, tmp_path: Path) -> None:
    scene = Scene.of(case, tmp_path)
    before = looked_at(scene.bait.folder)
    ended = _ended(["inspect", str(scene.path)], scene.cwd, scene.rooms)
    scene.assert_well_ended(ended, before)


@pytest.mark.slow
@pytest.mark.parametrize("case", REST, ids=str)
def test_inspect_in_this_process(
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scene = Scene.of(case, tmp_path)
    before = looked_at(scene.bait.folder)
    monkeypatch.chdir(scene.cwd)
    monkeypatch.setattr(tempfile, "tempdir", str(scene.rooms))
    ended = _ended_here(["inspect", str(scene.path)], monkeypatch, capsys)
    scene.assert_well_ended(ended, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "id", ["reduce-in-zip", "bomb", "same-key-twice", "coo-index-beyond", "fifo"]
)
def test_run_refuses_what_inspect_refuses(id: str, tmp_path: Path) -> None:
    case = next(case for case in CORPUS if case.id == id)
    assert isinstance(case.must, Refused)
    bait = Bait(tmp_path / "f", tmp_path / "MARKER")
    bait.folder.mkdir()
    path = case.write(bait)
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    ended = _ended(["run", str(path), "--out", str(tmp_path / "report")], tmp_path, rooms)
    assert ended.code == 2, ended
    assert_what_must(case, path, ended.err)
    assert not bait.marker.exists()
    assert not (tmp_path / "report").exists()
    assert list(rooms.iterdir()) == []


HARMLESS = [
    case
    for case in CORPUS
    if isinstance(case.must, Read)
    and case.id in ("all-at-once", "all-in-safetensors", "hostile-name", "sparse-layouts")
]


@pytest.mark.slow
@pytest.mark.parametrize("case", HARMLESS, ids=str)
def test_hostile_texts_reach_no_report(case: Case, tmp_path: Path) -> None:
    bait = Bait(tmp_path / "f", tmp_path / "MARKER")
    bait.folder.mkdir()
    path = case.write(bait)
    report = tmp_path / "report"
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    forms = [f"--format={form}" for form in ("html", "json", "markdown", "junit")]
    ended = _ended(["run", str(path), "--out", str(report), *forms], tmp_path, rooms)
    assert ended.code in (0, 1), ended.err
    assert "Traceback" not in ended.out + ended.err
    assert not bait.marker.exists()
    assert all(line.isprintable() for line in (ended.out + ended.err).split("\n"))
    json.loads((report / "record.json").read_text())
    page = (report / "report.html").read_text()
    for hostile in texts.TEXTS.values():
        if hostile.startswith("<") and hostile.endswith(">"):
            assert hostile not in page
    assert not any(mark in page for mark in "\x1b\x07\x9b\u202e\u2066\u200e\0")


def test_the_message_is_fit_for_a_terminal() -> None:
    """The judge itself sees what must not be."""
    for unfit in (
        "\x1b[31mred",
        "a\u202eb",
        "1\n2\n3\n4\n5\n6",
        "use weights_only=False",
        "",
        "a\0",
    ):
        with pytest.raises(AssertionError):
            assert_fit(unfit)
