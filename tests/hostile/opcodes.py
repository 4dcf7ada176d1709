"""Pickles put together opcode by opcode: what no pickler writes can be written so.

`ops` turns plain values into opcodes; what is opcodes already (`Raw`) goes in as it is. So a call
of anything stands wherever a value may stand.
"""

import struct
from typing import Any


class Raw(bytes):
    """Opcodes that leave one value on the stack."""


def ops(value: Any) -> Raw:
    """Return opcodes that put a value onto the stack."""
    match value:
        case Raw():
            return value
        case None:
            return Raw(b"N")
        case bool():
            return Raw(b"\x88" if value else b"\x89")
        case int():
            return _whole(value)
        case float():
            return Raw(b"G" + struct.pack(">d", value))
        case str():
            return text(value.encode("utf-8", "surrogatepass"))
        case bytes():
            return Raw(b"B" + struct.pack("<I", len(value)) + value)
        case tuple():
            return Raw(b"(" + b"".join(map(ops, value)) + b"t")
        case list():
            return Raw(b"](" + b"".join(map(ops, value)) + b"e")
        case dict():
            return pairs(list(value.items()))
    raise TypeError(type(value))


def text(encoded: bytes) -> Raw:
    """Return opcodes for a text by its bytes, whether they are UTF-8 or not."""
    return Raw(b"X" + struct.pack("<I", len(encoded)) + encoded)


def pairs(items: list[tuple[Any, Any]]) -> Raw:
    """Return opcodes for a dict of these items, the same key twice where it stands there twice."""
    return Raw(b"}(" + b"".join(ops(key) + ops(value) for key, value in items) + b"u")


def named(module: str, name: str) -> Raw:
    """Return opcodes for what a module calls by that name (GLOBAL)."""
    return Raw(b"c" + module.encode() + b"\n" + name.encode() + b"\n")


def named_by_texts(module: Any, name: Any) -> Raw:
    """Return opcodes for the same by two texts from the stack (STACK_GLOBAL)."""
    return Raw(ops(module) + ops(name) + b"\x93")


def called(what: Raw, *values: Any) -> Raw:
    """Return opcodes that call something (REDUCE)."""
    return Raw(what + ops(values) + b"R")


def built(what: Raw, state: Any) -> Raw:
    """Return opcodes that give an object its state (BUILD)."""
    return Raw(what + ops(state) + b"b")


def stored(number: int, what: Any) -> Raw:
    """Return opcodes that also remember a value under a number (LONG_BINPUT)."""
    return Raw(ops(what) + b"r" + struct.pack("<I", number))


def fetched(number: int) -> Raw:
    """Return opcodes for the value that was remembered (LONG_BINGET)."""
    return Raw(b"j" + struct.pack("<I", number))


def persistent(pid: Any) -> Raw:
    """Return opcodes for what a persistent id stands for (BINPERSID)."""
    return Raw(ops(pid) + b"Q")


def pickled(value: Any, protocol: int = 2) -> bytes:
    """Return a whole pickle; protocols 0 and 1 have no opcode that says so."""
    start = bytes([0x80, protocol]) if protocol >= 2 else b""
    return start + ops(value) + b"."


def _whole(value: int) -> Raw:
    if -(2**31) <= value < 2**31:
        return Raw(b"J" + struct.pack("<i", value))
    size = value.bit_length() // 8 + 1
    length = bytes([0x8A, size]) if size < 256 else b"\x8b" + struct.pack("<i", size)
    return Raw(length + value.to_bytes(size, "little", signed=True))
