"""The wire format of Protocol Buffers, as far as it tells where a message's fields lie."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields, by their numbers in the format."""

MOST_FIELDS = 1_000_000


@dataclass(frozen=True)
class Field:
    """A field of a message: its number and kind, where it starts, and where its value lies."""

    number: int
    kind: int
    start: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Return where the next field starts."""
        return self.offset + self.size


def fields(file: BufferedReader, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message that lies in a file from `start` to `end`, reading no value.

    Raises:
        ValueError: it is no message, or one of far too many fields.
    """
    at = start
    for _ in range(MOST_FIELDS):
        if at == end:
            return
        file.seek(at)
        head = file.read(min(20, end - at))
        tag, size = _varint(head, 0)
        kind = tag & 7
        if kind == VARINT:
            offset, length = size, _varint(head, size)[1] - size
        elif kind == LENGTH:
            length, offset = _varint(head, size)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            offset, length = size, 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError("a field of no known kind")
        field = Field(tag >> 3, kind, at, at + offset, length)
        if field.number == 0 or field.end > end:
            raise ValueError("a field beyond the end of its message")
        yield field
        at = field.end
    raise ValueError("too many fields")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the whole number that starts at a place, and the place after it."""
    value = 0
    for count in range(10):
        if at >= len(data):
            raise ValueError("a number beyond the end of its message")
        byte = data[at]
        value |= (byte & 0x7F) << (7 * count)
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("a number of too many bytes")
