"""A checkpoint within another one: a run of bytes of one of its files, read like a file."""

from collections.abc import Iterable
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from typing import IO, Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.checksums import Run, compare
from auditor.opening.contents import Block
from auditor.opening.reading import Reading


class Part(Reading):
    """The reading of such a run; what is found in it goes into the ledger of the whole."""

    def __init__(self, whole: Reading, file: int, offset: int, size: int) -> None:
        self.path = whole.path
        self.allow = whole.allow
        self.blocks = whole.blocks
        self.classes = whole.classes
        self.notes = whole.notes
        self._whole = whole
        self._place = Block(file, offset, size)
        self._first: BufferedReader = BufferedReader(_Window(whole.numbered(file), self._place))

    @property
    def first(self) -> BufferedReader:
        """Return the run of bytes as a file."""
        return self._first

    def open(self, name: str) -> tuple[int, BufferedReader]:
        """Refuse: a part has no files of its own."""
        raise InputError(f"a part of it asks for a file: {clean_text(name, 120)}")

    def block(self, file: int, offset: int, size: int) -> int:
        """Note down a run of bytes in the part, by its place in the whole."""
        return self._whole.block(self._place.file, self._place.offset + offset, size)

    def spilled(self, data: bytes) -> int:
        """Write bytes out with those of the whole."""
        return self._whole.spilled(data)

    def spilled_from(self, stream: IO[bytes], size: int) -> int:
        """Write a stream out with the bytes of the whole."""
        return self._whole.spilled_from(stream, size)

    def checked(self, runs: Iterable[Run]) -> None:
        """Compare the checksums of runs of bytes in the part."""
        compare(self._first, runs)


class _Window(RawIOBase):
    """A run of bytes of a file, as a file."""

    def __init__(self, file: BufferedReader, place: Block) -> None:
        self._file = file
        self._place = place
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._place.bytes}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        memory = memoryview(buffer)
        count = max(min(len(memory), self._place.bytes - self._at), 0)
        self._file.seek(self._place.offset + self._at)
        read = self._file.readinto(memory[:count])
        self._at += read
        return read
