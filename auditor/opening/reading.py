"""What a reader works with: the checkpoint's files, and a ledger of what it found in them."""

import hashlib
import os
import zlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import IO, NamedTuple

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import SPILL, Block, FileRead
from auditor.opening.files import identity, opened

MOST_SPILLED = 16 << 30
"""Bytes that may be written out: of compressed entries, and of arrays within pickles."""

CHUNK = 4 << 20
"""Bytes that are read at once."""


class Part(NamedTuple):
    """A run of bytes whose checksum (CRC-32) is known, and what it is called."""

    start: int
    size: int
    crc: int
    name: str


class Reading:
    """One checkpoint being read: `first` is its file, or None where it is the folder `path`.

    `allow` holds what the user allowed by name. Readers put what they find into `blocks`, `classes`
    and `notes`.
    """

    def __init__(
        self, path: Path, first: BufferedReader | None, spill: BufferedWriter, allow: frozenset[str]
    ) -> None:
        self.path = path
        self.allow = allow
        self.blocks: list[Block] = []
        self.classes: dict[str, None] = {}
        self.notes: list[str] = []
        self._files: list[tuple[str, BufferedReader]] = []
        self._spill = spill
        self._spilled = 0
        self._hash = ""
        if first is not None:
            self._files.append((path.name, first))

    @property
    def first(self) -> BufferedReader:
        """Return the checkpoint's only file."""
        return self._files[0][1]

    @property
    def size(self) -> int:
        """Return the bytes of the checkpoint's only file."""
        return os.fstat(self.first.fileno()).st_size

    def open(self, name: str) -> tuple[int, BufferedReader]:
        """Open a file of the checkpoint's folder; return its number for blocks, and the file.

        Raises:
            InputError: the name leads out of the folder, or the file can't be opened.
        """
        shown = clean_text(name, 120)
        if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts or not name:
            raise InputError(f"the name {shown!r} leads out of the checkpoint's folder")
        for number, (known, file) in enumerate(self._files):
            if known == name:
                return number, file
        try:
            file = opened(self.path / name)
        except InputError as error:
            raise InputError(f"{shown}: {error}") from error
        self._files.append((name, file))
        return len(self._files) - 1, file

    def block(self, file: int, offset: int, size: int) -> int:
        """Note down a run of bytes in one of the files, and return the number of its block."""
        self.blocks.append(Block(file, offset, size))
        return len(self.blocks) - 1

    def spilled(self, data: bytes) -> int:
        """Write bytes out that stand in no file as they are, and return the number of their block.

        Raises:
            InputError: they are too many.
        """
        start = self._spilled
        self._spilled += len(data)
        if self._spilled > MOST_SPILLED:
            raise InputError(f"more than {MOST_SPILLED:,} bytes of tensors when unpacked")
        self._spill.write(data)
        return self.block(SPILL, start, len(data))

    def spilled_from(self, stream: IO[bytes], size: int) -> int:
        """Write out the bytes of a stream that has `size` of them; return their block's number.

        Raises:
            InputError: they are too many, or not as many.
        """
        start = self._spilled
        if start + size > MOST_SPILLED:
            raise InputError(f"more than {MOST_SPILLED:,} bytes of tensors when unpacked")
        while data := stream.read(CHUNK):
            self._spilled += len(data)
            if self._spilled > start + size:
                break
            self._spill.write(data)
        if self._spilled != start + size:
            raise InputError("an entry is not as long as it says")
        return self.block(SPILL, start, size)

    def checked(self, parts: Iterable[Part]) -> None:
        """Compare the checksums of parts of the only file, and hash it, in one pass.

        Raises:
            InputError: a checksum does not fit.
        """
        whole, found = hashlib.sha256(), [0] * len(ordered := sorted(parts))
        waiting = deque(range(len(ordered)))
        self.first.seek(0)
        place = 0
        with ThreadPoolExecutor(1) as beside:
            while data := self.first.read(CHUNK):
                hashing = beside.submit(whole.update, data)
                end = place + len(data)
                while waiting and (part := ordered[waiting[0]]).start < end:
                    within = memoryview(data)[max(part.start - place, 0) :]
                    within = within[: part.start + part.size - max(part.start, place)]
                    found[waiting[0]] = zlib.crc32(within, found[waiting[0]])
                    if part.start + part.size > end:
                        break
                    waiting.popleft()
                place = end
                hashing.result()
        for part, crc in zip(ordered, found, strict=True):
            if part.crc != crc:
                raise InputError(
                    f"the checkpoint is damaged: the checksum of {clean_text(part.name, 120)} does "
                    "not fit its bytes"
                )
        self._hash = whole.hexdigest()

    def files(self) -> tuple[FileRead, ...]:
        """Return the hash of every file that was opened."""
        return tuple(_read(name, file, self._hash) for name, file in self._files)


def _read(name: str, file: BufferedReader, known: str) -> FileRead:
    if not known:
        file.seek(0)
        known = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRead(name, known, file.seek(0, 2), identity(file))
