"""Safetensors files: a JSON header, and the values of tensors after it.

The header is held to the whole of the format here, more strictly than the library does; the bytes
are then read from where it says they lie. `tests/opening/test_safetensors.py` holds both against
each other.
"""

import json
import math
import struct
from io import BufferedReader
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, TensorAt
from auditor.opening.kinds import LONGEST_HEADER
from auditor.opening.reading import Reading
from auditor.opening.unique_keys import unique_keys

TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "C64": "complex64",
}
PACKED = ("F4", "F6_E2M3", "F6_E3M2")
"""Types of the format whose values are smaller than a byte."""

METADATA = "__metadata__"

MOST_TENSORS = 150_000
MOST_METADATA = 10_000
LONGEST_NAME = 4_096
LONGEST_TEXT = 65_536
"""Characters of the longest text of metadata that is kept whole."""

LARGEST = 2**63 - 1
"""The largest length and number of values that torch can count."""


def read(reading: Reading) -> tuple[str, Any]:
    """Return the tensors of a safetensors file, and its metadata beside them."""
    metadata, weights = tensors(reading)
    return "safetensors", {**metadata, "state_dict": weights}


def tensors(reading: Reading) -> tuple[dict[str, str], dict[str, TensorAt]]:
    """Return the metadata of a safetensors file, and its tensors by name.

    Raises:
        InputError: the file is not as the format says.
    """
    file = reading.first
    size = file.seek(0, 2)
    text = _header(file, size)
    start = 8 + len(text)
    header = _parsed(text)
    metadata = _metadata(header.pop(METADATA, None))
    if len(header) > MOST_TENSORS:
        raise InputError(f"{len(header):,} tensors; at most {MOST_TENSORS:,} are read")
    places = {name: _place(name, entry) for name, entry in header.items()}
    _whole(places, size - start)

    def at(dtype: str, shape: tuple[int, ...], begin: int, end: int) -> TensorAt:
        block = reading.block(0, start + begin, end - begin)
        return TensorAt(dtype, shape, _strides(shape), 0, block)

    return metadata, {name: at(*place) for name, place in places.items()}


def _header(file: BufferedReader, size: int) -> bytes:
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
    if length > LONGEST_HEADER:
        raise InputError(
            f"its safetensors header wants {length:,} bytes; at most {LONGEST_HEADER:,} are allowed"
        )
    if length > size - 8:
        raise InputError(
            f"the checkpoint is truncated: its safetensors header wants {length:,} bytes, the file "
            f"has {size:,}"
        )
    text = file.read(length)
    if not text.startswith(b"{"):
        raise InputError("its safetensors header does not start with '{'")
    return text


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        held = json.loads(
            text.decode(),
            object_pairs_hook=unique_keys("its safetensors header"),
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except UnicodeDecodeError as error:
        raise InputError("its safetensors header is not UTF-8 text") from error
    except RecursionError as error:
        raise InputError("its safetensors header is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"its safetensors header is damaged: {clean_text(error, 120)}") from error
    assert isinstance(held, dict)
    return held


def _no_number(text: str) -> Any:
    raise InputError(
        f"its safetensors header holds {clean_text(text, 40)}, expected whole numbers alone"
    )


def _metadata(held: Any) -> dict[str, str]:
    if held is None:
        return {}
    if not isinstance(held, dict) or not all(isinstance(text, str) for text in held.values()):
        raise InputError("the metadata of its safetensors header is not a mapping of texts")
    if len(held) > MOST_METADATA:
        raise InputError(f"{len(held):,} entries of metadata; at most {MOST_METADATA:,} are read")
    return {
        _name(key): text if len(text) <= LONGEST_TEXT else clean_text(text, LONGEST_TEXT)
        for key, text in held.items()
    }


def _name(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise InputError(
            f"a name of {len(name):,} characters in its safetensors header: {clean_text(name, 80)}"
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"a name that is no text in its header: {clean_text(name, 80)}") from error
    return name


def _place(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Return the type and shape of a tensor, and between which of the data's bytes it lies."""
    shown = clean_text(_name(name), 120)
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise InputError(f"the tensor {shown}: expected dtype, shape and data_offsets, no more")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind in PACKED:
        raise InputError(f"the tensor {shown} is of type {kind}: values below a byte are not read")
    if not isinstance(kind, str) or kind not in TYPES:
        raise InputError(f"the tensor {shown} is of an unknown type: {clean_text(kind, 40)}")
    if not _counts(shape) or len(shape) > MOST_DIMENSIONS:
        raise InputError(f"the shape of {shown} is not made of whole numbers from 0 on")
    if math.prod(length or 1 for length in shape) > LARGEST:
        raise InputError(f"the shape of {shown} is larger than can be counted")
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InputError(f"the offsets of {shown} are not a beginning and an end")
    begin, end = offsets
    wanted = math.prod(shape) * ITEM_BYTES[TYPES[kind]]
    if end - begin != wanted:
        raise InputError(
            f"the tensor {shown} has {end - begin:,} bytes, its type and shape want {wanted:,}"
        )
    return TYPES[kind], tuple(shape), begin, end


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in values
    )


def _whole(places: dict[str, tuple[str, tuple[int, ...], int, int]], size: int) -> None:
    """Make sure that tensors lie one after the other, from the data's first byte to its last."""
    reached = 0
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            how = "overlaps the one before it" if begin < reached else "leaves a hole before it"
            raise InputError(f"the tensor {clean_text(name, 120)} {how} in the safetensors file")
        reached = end
    if reached > size:
        raise InputError(
            f"the checkpoint is truncated: its tensors want {reached:,} bytes, {size:,} are there"
        )
    if reached < size:
        raise InputError(f"{size - reached:,} bytes after its last tensor belong to none")


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.insert(0, step)
        step *= length
    return tuple(strides)
