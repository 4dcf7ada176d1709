"""Three thousand files with a byte flipped or an end cut off: refused, or read without harm.

The files are read as they are in an audit, but for the start of Python (`many`); some of them go
through the real process as well. Where bytes have checksums, no flip in them goes unseen.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from tests.hostile.cases import Bait
from tests.hostile.faults import sound
from tests.hostile.judged import assert_fit

EACH = 500
"""Broken files made of each sound one."""
THROUGH_THE_PROCESS = 25
"""Of which so many go through the real process."""

Write = Callable[[Bait], Path]


def _distributed(bait: Bait) -> Path:
    held = {"model": {"a": torch.arange(12.0).reshape(3, 4)}, "epoch": 3}
    dcp.save(held, checkpoint_id=bait.file("folder"), no_dist=True)
    return bait.file("folder")


SOUND: dict[str, Write] = {
    "zip": sound.training_state,
    "legacy": sound.training_state_of_the_old_format,
    "tar": sound.written_by_hand_as_in_2017,
    "safetensors": sound.safetensors_file,
    "compressed": lambda bait: _compressed(sound.state_dict(bait)),
    "distributed": _distributed,
}


def _compressed(path: Path) -> Path:
    """Write a zip file anew with its entries packed."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    return path


@dataclass(frozen=True)
class Broken:
    """A file that was sound: what was done to which of its bytes."""

    what: str
    at: int
    data: bytes


def _broken(data: bytes, count: int, seed: str) -> Iterator[Broken]:
    """Return files of which one in five is cut, and the others have one bit or byte changed."""
    chance = random.Random(seed)
    for number in range(count):
        at = chance.randrange(len(data))
        if number % 5 == 0:
            yield Broken("cut", at, data[:at])
        else:
            flip = 1 << chance.randrange(8) if number % 2 else chance.randrange(1, 256)
            yield Broken("flipped", at, data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])


class _Many:
    """The process that reads many files."""

    def __init__(self, room: Path) -> None:
        room.mkdir()
        self._room = room
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.many"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def read(self, path: Path) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(path), str(self._room)]) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(10) == 0


@pytest.fixture
def many(tmp_path: Path) -> Iterator[_Many]:
    reader = _Many(tmp_path / "room")
    yield reader
    reader.close()


def _target(path: Path, number: int) -> Path:
    """Return the file to break: of a folder its files take turns."""
    if path.is_file():
        return path
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return files[number % len(files)]


def _values(path: Path, told: dict[str, Any]) -> list[bytes]:
    """Return the bytes of all that was found in a file and not unpacked out of it."""
    data = path.read_bytes() if path.is_file() else b""
    return [data[at : at + size] for file, at, size in told["blocks"] if file == 0]


def _is_in_tensors(told: dict[str, Any], at: int) -> bool:
    return any(file == 0 and start <= at < start + size for file, start, size in told["blocks"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_broken_files_are_refused_or_read(kind: str, many: _Many, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    path = SOUND[kind](Bait(folder, tmp_path / "MARKER"))
    whole = many.read(path)
    assert "tree" in whole, whole
    refused = 0
    for number in range(2 if path.is_dir() else 1):
        target = _target(path, number)
        data = target.read_bytes()
        count = EACH // 2 if path.is_dir() else EACH
        for broken in _broken(data, count, f"{kind} {number}"):
            target.write_bytes(broken.data)
            told = many.read(path)
            refused += "refused" in told
            if "refused" in told:
                assert_fit("\n".join(told["refused"].split("\n")[:4]))
                assert "Error:" not in told["refused"], (broken.what, broken.at, told)
                continue
            assert "tree" in told, (broken.what, broken.at, told)
            if kind in ("zip", "compressed"):
                assert not _is_in_tensors(whole, broken.at), "a checksum was not compared"
                assert told["tree"] == whole["tree"]
                assert _values(path, told) == _values(path, whole)
        target.write_bytes(data)
    assert refused > EACH // 10  # Many flips fall into values, which only zip files can tell.


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_broken_files_through_the_real_process(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    path = SOUND[kind](Bait(folder, tmp_path / "MARKER"))
    target = _target(path, 0)
    data = target.read_bytes()
    outcomes = set()
    for broken in _broken(data, THROUGH_THE_PROCESS, f"{kind} process"):
        target.write_bytes(broken.data)
        try:
            outcomes.add(bool(open_checkpoint(path).weights))
        except InputError as error:
            outcomes.add(False)
            assert_fit(str(error))
    assert False in outcomes
    shutil.rmtree(folder)
