"""What numpy's arrays, scalars and types mean in a pickle: tensors and plain values."""

import math
import struct
from typing import TYPE_CHECKING, Any

from auditor.opening.contents import MOST_DIMENSIONS, Opaque, TensorAt
from auditor.opening.pickled import StandIn

if TYPE_CHECKING:
    from auditor.opening.meaning import Meaning

TYPES = {
    "b1": ("bool", "?"),
    "u1": ("uint8", "B"),
    "i1": ("int8", "b"),
    "u2": ("uint16", "H"),
    "i2": ("int16", "h"),
    "u4": ("uint32", "I"),
    "i4": ("int32", "i"),
    "u8": ("uint64", "Q"),
    "i8": ("int64", "q"),
    "f2": ("float16", "e"),
    "f4": ("float32", "f"),
    "f8": ("float64", "d"),
    "c8": ("complex64", "2f"),
    "c16": ("complex128", "2d"),
}
"""Numpy's types of numbers: their names in torch, and in `struct`."""

MOST_TEXTS = 10_000


def raw_bytes(value: Any) -> bytes:
    """Return bytes as pickles of all protocols, and those of Python 2, write them.

    Raises:
        TypeError: it is none of that.
    """
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):  # of Python 2
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, StandIn) and value.name == "_codecs.encode":
        text, encoding = value.made_of
        if encoding in ("latin1", "latin-1"):
            return str(text).encode("latin-1")
    if isinstance(value, StandIn) and value.name in ("builtins.bytes", "builtins.bytearray"):
        first, *encoding = value.made_of or (b"",)
        return first.encode("latin-1") if encoding else raw_bytes(first)
    raise TypeError("no bytes")


def _kind(dtype: Any) -> tuple[str, bool]:
    """Return a type of values as "f4", and whether its bytes are swapped."""
    if not isinstance(dtype, StandIn) or dtype.name != "numpy.dtype":
        return "", False
    text = dtype.made_of[0] if dtype.made_of else ""
    state = dtype.state
    plain = isinstance(text, str) and isinstance(state, tuple) and len(state) >= 5
    if not plain or any(part is not None for part in state[2:5]):
        return "", False
    return text.lstrip("<>|="), state[1] == ">"


def _array(meaning: "Meaning", value: StandIn) -> Any:
    """Return the array that an empty one was filled to be."""
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        return Opaque(value.name)
    _, shape, dtype, columns_first, held = value.state
    if isinstance(held, list):
        return meaning.of(held)
    return _filled(meaning, raw_bytes(held), dtype, shape, bool(columns_first))


def _buffer(meaning: "Meaning", value: StandIn) -> Any:
    held, dtype, shape, order = value.made_of
    return _filled(meaning, raw_bytes(held), dtype, shape, order == "F")


def _filled(
    meaning: "Meaning", data: bytes, dtype: Any, shape: Any, columns_first: bool
) -> TensorAt | Opaque | list[Any]:
    sizes = tuple(shape)
    if not all(type(n) is int and 0 <= n < 2**62 for n in sizes) or len(sizes) > MOST_DIMENSIONS:
        raise ValueError("a shape that is none")
    kind, swapped = _kind(dtype)
    count = math.prod(sizes)
    if kind not in TYPES:
        if kind[:1] == "U" and count <= MOST_TEXTS:
            width = 4 * int(kind[1:])
            texts = [data[at * width : (at + 1) * width] for at in range(count)]
            return [meaning.of(_text(text, swapped)) for text in texts]
        return Opaque("numpy.ndarray")
    item = int(kind[1:])
    if len(data) != count * item:
        raise ValueError("not as many bytes as its shape wants")
    strides, step = [0] * len(sizes), 1
    places = range(len(sizes)) if columns_first else reversed(range(len(sizes)))
    for place in places:
        strides[place] = step
        step *= sizes[place]
    if swapped:
        data = _swapped(data, item // 2 if kind[0] == "c" else item)
    block = meaning.reading.spilled(data)
    return TensorAt(TYPES[kind][0], sizes, tuple(strides), 0, block)


def _swapped(data: bytes, item: int) -> bytes:
    made = bytearray(len(data))
    for place in range(item):
        made[place::item] = data[item - 1 - place :: item]
    return bytes(made)


def _scalar(meaning: "Meaning", value: StandIn) -> Any:
    dtype, *held = value.made_of
    kind, swapped = _kind(dtype)
    if not held or (kind not in TYPES and kind[:1] != "U"):
        return Opaque("numpy.generic")
    data = raw_bytes(held[0])
    if kind[:1] == "U":
        return meaning.of(_text(data, swapped))
    parts = struct.unpack(f"{'>' if swapped else '<'}{TYPES[kind][1]}", data)
    return parts[0] if len(parts) == 1 else str(complex(*parts))


def _text(data: bytes, swapped: bool) -> str:
    return data.decode(f"utf-32-{'be' if swapped else 'le'}", "replace").rstrip("\0")


def _dtype(meaning: "Meaning", value: StandIn) -> str:
    kind, _ = _kind(value)
    return f"numpy.{TYPES[kind][0]}" if kind in TYPES else "numpy.dtype"


MAKERS = {
    "numpy._core.multiarray._reconstruct": _array,
    "numpy.ma.core._mareconstruct": lambda meaning, value: Opaque(value.name),
    "numpy._core.numeric._frombuffer": _buffer,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.dtype": _dtype,
}
"""What tells the meaning of numpy's functions and classes, by their dotted names."""
