"""Zip files of any make, entry by entry, for tests of what is held to be one."""

import struct
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch


@dataclass(frozen=True)
class Entry:
    """An entry of a zip file: what its own header and the list at the end say of it.

    What is None follows from `data`. `packed` are its bytes as they stand in the file.
    """

    name: str
    data: bytes
    packed: bytes | None = None
    method: int = 0
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    own_name: str | None = None
    own_crc: int | None = None
    own_flags: int | None = None
    offset: int | None = None
    more: dict[str, int] = field(default_factory=dict)


def written(path: Path, entries: list[Entry], before: bytes = b"", after: bytes = b"") -> Path:
    """Write a zip file of exactly these entries, between bytes that belong to nothing."""
    body, listing = bytearray(before), bytearray()
    for one in entries:
        packed = one.data if one.packed is None else one.packed
        crc = zlib.crc32(one.data) if one.crc is None else one.crc
        size = len(one.data) if one.size is None else one.size
        offset = len(body) if one.offset is None else one.offset
        own = (one.own_name or one.name).encode()
        flags = one.flags if one.own_flags is None else one.own_flags
        own_crc = crc if one.own_crc is None else one.own_crc
        head = (b"PK\x03\x04", 20, flags, one.method, 0, 33, own_crc, len(packed), size)
        body += struct.pack("<4s5H3I2H", *head, len(own), 0) + own + packed
        name = one.name.encode()
        entry = (b"PK\x01\x02", 20, 20, one.flags, one.method, 0, 33, crc, len(packed), size)
        listing += struct.pack("<4s6H3I5H2I", *entry, len(name), 0, 0, 0, 0, 0, offset) + name
    end = (b"PK\x05\x06", 0, 0, len(entries), len(entries), len(listing), len(body), 0)
    path.write_bytes(body + listing + struct.pack("<4s4H2IH", *end) + after)
    return path


def entries_of(path: Path) -> list[Entry]:
    """Return the entries of a zip file that torch.save wrote, as plainly as can be."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        return [Entry(one.filename, archive.read(one)) for one in archive.infolist()]


def good(path: Path) -> list[Entry]:
    """Return the entries of a small checkpoint."""
    torch.save({"w": torch.arange(6.0), "v": torch.ones(3)}, path)
    return entries_of(path)


def changed(entries: list[Entry], end: str, **what: object) -> list[Entry]:
    """Return entries of which the one whose name ends so is otherwise."""
    return [replace(one, **what) if one.name.endswith(end) else one for one in entries]  # type: ignore[arg-type]
