"""A checkpoint within another one: a run of bytes of one of its files, read like a file."""

from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import SPILL
from auditor.opening.reading import Reading


class Inner(Reading):
    """What a reader works with where its file is a run of bytes of another reading's `file`.

    What is found goes into the ledger of `whole`, in which the file has the number `number`.
    """

    def __init__(
        self, whole: Reading, number: int, file: BufferedReader, offset: int, size: int
    ) -> None:
        vars(self).update(vars(whole))
        self._hashes = {}
        self._whole = whole
        self._file = number
        self._offset = offset
        self._window = BufferedReader(_Window(file, offset, size))

    @property
    def first(self) -> BufferedReader:
        """Return the run of bytes as a file."""
        return self._window  # type: ignore[return-value]

    def open(self, name: str) -> tuple[int, BufferedReader]:
        """Refuse: what lies within a file has no files beside it."""
        raise InputError(f"a part of it asks for a file: {clean_text(name, 120)}")

    def block(self, file: int, offset: int, size: int) -> int:
        """Note down a run of these bytes, by its place in the file that they lie in."""
        if file == SPILL:
            return self._whole.block(SPILL, offset, size)
        return self._whole.block(self._file, self._offset + offset, size)


class _Window(RawIOBase):
    """A run of bytes of a file, as a file."""

    def __init__(self, file: BufferedReader, offset: int, size: int) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        start = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        memory = memoryview(buffer)
        count = max(min(len(memory), self._size - self._at), 0)
        self._file.seek(self._offset + self._at)
        read = self._file.readinto(memory[:count])
        self._at += read
        return read
