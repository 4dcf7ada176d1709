"""Which reader a checkpoint wants: told by what stands in it, never by its name."""

import struct
from io import BufferedReader
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.folders import MLFLOW_DATA, layout_of
from auditor.opening.listing import listing_of

HEAD = 512
"""Bytes at the start of a file by which its kind is told."""

LONGEST_HEADER = 100_000_000
"""Bytes of the longest header that safetensors allows."""

OLD_PICKLE = b"L119547037146038801333356L\n."
"""What files of torch.save start with whose pickles are of the protocols 0 and 1."""


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
    # First, for a header may be so long that its length opens as a pickle does.
    (length,) = struct.unpack("<Q", head[:8].ljust(8, b"\xff"))
    if head[8:9] == b"{" and length <= LONGEST_HEADER:
        return "safetensors"
    if head[:1] == b"\x80" or head.startswith(OLD_PICKLE):
        return "torch_legacy"
    if head[257:262] == b"ustar":
        return "torch_tar"
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
    inner = [MLFLOW_DATA] if layout.reader == "mlflow" and MLFLOW_DATA in there.folders else []
    return layout.reader, layout.bytes + sum(listing_of(path / name).bytes for name in inner)
