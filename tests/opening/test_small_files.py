"""What a small file can make of itself, in bytes written out and in time, stays small."""

import tempfile
from pathlib import Path

import pytest

from auditor.core.errors import InputError
from auditor.opening import reading
from auditor.opening.files import opened
from auditor.opening.kinds import OF_A_FILE, reader_of_folder
from auditor.opening.process import looked_into
from auditor.opening.reading import Reading

MB = 1_000_000

HEADER = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
SMALL = len(HEADER).to_bytes(8, "little") + HEADER + bytes(4)


def test_the_same_bytes_do_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ALWAYS_SPILLED", 10_000)
    path = tmp_path / "w.pt"
    path.write_bytes(b"x" * 1_000)
    with opened(path) as file, (tmp_path / "spill").open("wb") as spill:
        one = Reading(path, file, spill, frozenset())
        for _ in range(14):
            one.spilled(b"y" * 1_000)
        with pytest.raises(InputError, match=r"more than 14,000 bytes .* from 1,000 bytes"):
            one.spilled(b"y" * 1_000)


def test_metadata_without_pieces_buys_no_time(tmp_path: Path) -> None:
    (tmp_path / ".metadata").write_bytes(b"x" * MB)
    assert reader_of_folder(tmp_path) == ("dcp", MB)
    (tmp_path / "__0_0.distcp").write_bytes(b"x" * MB)
    assert reader_of_folder(tmp_path) == ("dcp", 2 * MB + OF_A_FILE * MB)


def test_what_is_open_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the process that copies tensors, no file of theirs is left."""
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    path = tmp_path / "w.safetensors"
    path.write_bytes(SMALL)
    with looked_into(path):
        assert list(rooms.iterdir()) == []
