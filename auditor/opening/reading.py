"""What a reader works with: the checkpoint's files, and a ledger of what it found in them."""

import hashlib
from io import BufferedReader, BufferedWriter
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import SPILL, Block, FileRead
from auditor.opening.files import identity, opened

MOST_SPILLED = 16 << 30
"""Bytes that may be written out: of compressed entries, and of arrays within pickles."""


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
        if first is not None:
            self._files.append((path.name, first))

    @property
    def first(self) -> BufferedReader:
        """Return the checkpoint's only file."""
        return self._files[0][1]

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

    def files(self) -> tuple[FileRead, ...]:
        """Return the hash of every file that was opened."""
        return tuple(_read(name, file) for name, file in self._files)


def _read(name: str, file: BufferedReader) -> FileRead:
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRead(name, sha256, file.tell(), identity(file))
