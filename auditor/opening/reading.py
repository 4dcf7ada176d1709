"""What a reader works with: the checkpoint's files, and a ledger of what it found in them."""

import copy
import os
from collections.abc import Iterable
from io import SEEK_END, BufferedReader, BufferedWriter
from pathlib import Path
from typing import IO

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.checksums import CHUNK, Run, hashed
from auditor.opening.contents import SPILL, Block, FileRead
from auditor.opening.files import identity, opened

MOST_SPILLED = 16 << 30
"""Bytes that may be written out: of compressed entries, and of arrays within pickles."""
ALWAYS_SPILLED = 256 << 20
MOST_SWOLLEN = 4
"""Times the bytes of its files that a checkpoint may write out, beside `ALWAYS_SPILLED`."""


class Reading:
    """One checkpoint being read: `first` is its file, or None where it is the folder `path`.

    `allow` holds what the user allowed by name. Readers put what they find into `blocks`, `classes`
    and `notes`.
    """

    def __init__(
        self, path: Path, first: BufferedReader | None, spill: BufferedWriter, allow: frozenset[str]
    ) -> None:
        self.path = path
        self._folder = path if first is None else path.parent
        self.allow = allow
        self.blocks: list[Block] = []
        self.classes: dict[str, None] = {}
        self.notes: list[str] = []
        self._files: list[tuple[str, BufferedReader]] = []
        self._number = 0
        self._spill = spill
        self._hashes: dict[int, str] = {}
        self._identities: list[tuple[int, int, int]] = []
        if first is not None:
            self._keep(path.name, first)

    @property
    def first(self) -> BufferedReader:
        """Return the checkpoint's only file."""
        return self._files[self._number][1]

    def part(self, name: str) -> "Reading":
        """Return a file of the checkpoint's folder as a checkpoint of its own.

        What is found in it goes into the same ledger.

        Raises:
            InputError: as `open`.
        """
        one = copy.copy(self)
        one._number, _ = self.open(name)
        one.path = self.path / name
        return one

    @property
    def size(self) -> int:
        """Return the bytes of the checkpoint's only file."""
        file = self.first
        place = file.tell()
        size = file.seek(0, SEEK_END)
        file.seek(place)
        return size

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
            file = opened(self._folder / name)
        except InputError as error:
            raise InputError(f"{shown}: {error}") from error
        self._keep(name, file)
        return len(self._files) - 1, file

    def beside(self, name: str) -> tuple[int, BufferedReader]:
        """Open a file by its place beside the only one, as `open` does."""
        return self.open(str(Path(self._files[self._number][0]).parent / name) if name else "")

    @property
    def number(self) -> int:
        """Return the number of the checkpoint's only file."""
        return self._number

    def _keep(self, name: str, file: BufferedReader) -> None:
        """Take a file down, and which one it is before anything of it is read."""
        self._files.append((name, file))
        self._identities.append(identity(file))

    def numbered(self, number: int) -> BufferedReader:
        """Return a file by its number."""
        return self._files[number][1]

    def block(self, file: int, offset: int, size: int) -> int:
        """Note down a run of bytes in one of the files, and return the number of its block.

        0 is the checkpoint's only file.
        """
        self.blocks.append(Block(file or self._number, offset, size))
        return len(self.blocks) - 1

    def spilled(self, data: bytes) -> int:
        """Write bytes out that stand in no file as they are, and return the number of their block.

        Raises:
            InputError: they are too many.
        """
        start = self._place_for(len(data))
        self._spill.write(data)
        return self.block(SPILL, start, len(data))

    def spilled_from(self, stream: IO[bytes], size: int) -> int:
        """Write out the bytes of a stream that has `size` of them; return their block's number.

        Raises:
            InputError: they are too many, or not as many.
        """
        start = self._place_for(size)
        left = size
        while left >= 0 and (data := stream.read(CHUNK)):
            left -= len(data)
            self._spill.write(data)
        if left:
            raise InputError("an entry is not as long as it says")
        return self.block(SPILL, start, size)

    def _place_for(self, size: int) -> int:
        """Return where bytes are written out that come next.

        One run of bytes can stand for many arrays, so that a small file would fill the disk.

        Raises:
            InputError: they are too many.
        """
        start = self._spill.tell()
        if start + size > ALWAYS_SPILLED:
            held = sum(os.fstat(file.fileno()).st_size for _, file in self._files)
            most = min(ALWAYS_SPILLED + MOST_SWOLLEN * held, MOST_SPILLED)
            if start + size > most:
                raise InputError(
                    f"more than {most:,} bytes of tensors when unpacked, from {held:,} bytes; save "
                    "the checkpoint anew with torch.save, which packs nothing"
                )
        return start

    def checked(self, runs: Iterable[Run]) -> None:
        """Compare the checksums of parts of the only file, and hash it, in one pass.

        Raises:
            InputError: a checksum does not fit.
        """
        self._hashes[self._number] = hashed(self.first, runs)

    def files(self) -> tuple[FileRead, ...]:
        """Return the hash of every file that was opened."""
        return tuple(
            FileRead(
                name,
                self._hashes.get(number) or hashed(file),
                os.fstat(file.fileno()).st_size,
                self._identities[number],
            )
            for number, (name, file) in enumerate(self._files)
        )
