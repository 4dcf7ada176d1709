"""Which reader a checkpoint wants: told by what stands in it, never by its name."""

import struct
from io import BufferedReader
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.folders import DISTRIBUTED, layout_of
from auditor.opening.foreign import (
    Foreign,
    foreign_bytes,
    foreign_folder,
    foreign_message,
    foreign_pickle,
)
from auditor.opening.listing import listing_of
from auditor.opening.protobuf import LENGTH, VARINT, fields

HEAD = 512
"""Bytes at either end of a file by which its kind is told."""

LONGEST_HEADER = 100_000_000
"""Bytes of the longest header that safetensors allows."""

OLD_PICKLE = b"L119547037146038801333356L\n."
"""What files of torch.save start with whose pickles are of the protocols 0 and 1."""

OF_A_PIECE = 100
"""Bytes of values that take as long to read as one byte of the metadata of a distributed
checkpoint: each of its pieces takes some 200 there, and has headers of its own."""

OF_A_FILE = 20
"""Times the bytes of its other files that these come to at most: a piece takes a thousand there."""

OF_ONNX = frozenset({(1, VARINT), (7, LENGTH)})
"""Fields that every ONNX model has: its version, and its graph."""


def reader_of_file(file: BufferedReader, name: str) -> str:
    """Return the module in `readers` for an open file.

    Raises:
        InputError: it is no checkpoint, or one of a kind that is not read; it says what to do.
    """
    size = file.seek(0, 2)
    file.seek(max(size - HEAD, 0))
    tail = file.read(HEAD)
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if name == ".metadata" or name.endswith(".distcp"):
        raise InputError("a part of a distributed checkpoint; name the folder that it lies in")
    if head[:4] == b"PK\x03\x04":
        return "zipped"
    # First, for a header may be so long that its length opens as a pickle does.
    (length,) = struct.unpack("<Q", head[:8].ljust(8, b"\xff"))
    if head[8:9] == b"{" and length <= LONGEST_HEADER:
        return "safetensors"
    if head[:1] == b"\x80" or head.startswith(OLD_PICKLE):
        _refuse(foreign_pickle(head, tail))
        return "torch_legacy"
    if head[257:262] == b"ustar":
        return "torch_tar"
    _refuse(foreign_bytes(head, tail))
    message = _message(file, size)
    if message >= OF_ONNX:
        return "onnx"
    _refuse(foreign_message(message))
    raise InputError(
        "not a checkpoint: expected a file written by torch.save or safetensors, this one starts "
        f"with {clean_text(head[:16])}"
    )


def reader_of_folder(path: Path) -> tuple[str, int]:
    """Return the module in `readers` for a folder, and about how many bytes lie in it.

    Raises:
        InputError: it holds no checkpoint, or one of a kind that is not read.
    """
    there = listing_of(path)
    try:
        layout = layout_of(there)
    except InputError:
        _refuse(foreign_folder(path))
        raise
    inner = [listing_of(path / name).bytes for name in layout.folders if name in there.folders]
    size = sum(there.files[name] for name in layout.files) + sum(inner)
    if layout.reader == "dcp":
        described = there.files[DISTRIBUTED]
        size += min(OF_A_PIECE * described, OF_A_FILE * (size - described))
    return layout.reader, size


def _message(file: BufferedReader, size: int) -> frozenset[tuple[int, int]]:
    """Return number and kind of the fields of a file that is one message: none if it is none."""
    try:
        held = frozenset((field.number, field.kind) for field in fields(file, 0, size))
    except ValueError:
        held = frozenset()
    file.seek(0)
    return held


def _refuse(kind: Foreign | None) -> None:
    if kind is not None:
        raise InputError(str(kind))
