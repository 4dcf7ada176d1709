"""Three thousand files with a byte flipped or an end cut off: refused, or read without harm.

The files are read as they are in an audit, but for the start of Python (`forked`); some of them go
through the real process as well. Where bytes have checksums, no flip in them goes unseen.
"""

import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.opening.contents import Contents
from auditor.opening.process import looked_into
from tests.hostile.cases import Bait
from tests.hostile.faults import sound
from tests.hostile.forked import Forking
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


def _target(path: Path, number: int) -> Path:
    """Return the file to break: of a folder its files take turns."""
    if path.is_file():
        return path
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return files[number % len(files)]


@dataclass(frozen=True)
class _Found:
    """What was found in a file, and the bytes of it that were not unpacked."""

    contents: Contents
    values: list[bytes]

    def has(self, at: int) -> bool:
        """Tell whether the byte at a place of the file is one of a tensor's."""
        return any(
            block.file == 0 and block.offset <= at < block.offset + block.bytes
            for block in self.contents.blocks
        )


def _found(path: Path) -> _Found | str:
    """Return what was found in a file, or why it is refused."""
    try:
        with looked_into(path) as opened:
            contents = opened.contents
    except InputError as error:
        return str(error)
    data = path.read_bytes() if path.is_file() else b""
    blocks = (block for block in contents.blocks if block.file == 0)
    return _Found(contents, [data[one.offset : one.offset + one.bytes] for one in blocks])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOUND)
def test_broken_files_are_refused_or_read(kind: str, forking: Forking, tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    path = SOUND[kind](Bait(folder, tmp_path / "MARKER"))
    whole = _found(path)
    assert isinstance(whole, _Found), whole
    refused = 0
    for number in range(2 if path.is_dir() else 1):
        target = _target(path, number)
        data = target.read_bytes()
        count = EACH // 2 if path.is_dir() else EACH
        for broken in _broken(data, count, f"{kind} {number}"):
            target.write_bytes(broken.data)
            found = _found(path)
            if isinstance(found, str):
                refused += 1
                assert_fit(found)
                for sign in ("Error:", "ended the process", "takes longer"):
                    assert sign not in found, (broken.what, broken.at, found)
                continue
            if kind in ("zip", "compressed"):
                assert not whole.has(broken.at), "a checksum was not compared"
                assert found.contents.tree == whole.contents.tree
                assert found.values == whole.values
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
