"""Which reader a checkpoint wants: told by what stands in it, never by its name."""

import struct
from io import BufferedReader
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.folders import layout_of
from auditor.opening.listing import listing_of

HEAD = 512
"""Bytes at the start of a file by which its kind is told."""

LONGEST_HEADER = 100_000_000
"""Bytes of the longest header that safetensors allows."""


def reader_of_file(file: BufferedReader, name: str) -> str:
    """Return the module in `readers` for an open file.

    Raises:
        InputError: it is no checkpoint, or one of a kind that is not read; it says what to do.
    """
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    if head[:4] == b"PK\x03\x04":
        return "zipped"
    if head[:1] == b"\x80":
        return "torch_legacy"
    (length,) = struct.unpack("<Q", head[:8].ljust(8, b"\xff"))
    if head[8:9] == b"{" and length <= LONGEST_HEADER:
        return "safetensors"
    if head.startswith(b"version https://git-lfs"):
        raise InputError("a Git LFS pointer, not the weights; run `git lfs pull`")
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
    layout = layout_of(there)
    inner = [listing_of(path / name).bytes for name in layout.folders if name in there.folders]
    return layout.reader, sum(there.files[name] for name in layout.files) + sum(inner)
