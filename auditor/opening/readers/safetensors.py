"""Safetensors files: a JSON header, and the values of tensors after it."""

import json
import struct
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import TensorAt
from auditor.opening.kinds import LONGEST_HEADER
from auditor.opening.reading import Reading

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
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
}


def read(reading: Reading) -> tuple[str, Any]:
    """Return the tensors of a safetensors file, and its metadata beside them."""
    file = reading.first
    size = file.seek(0, 2)
    file.seek(0)
    (length,) = struct.unpack("<Q", file.read(8))
    if length > size - 8:
        raise InputError(
            f"the checkpoint is truncated: its safetensors header wants {length:,} bytes, the file "
            f"has {size:,}"
        )
    assert length <= LONGEST_HEADER
    try:
        header = json.loads(file.read(length).decode())
        metadata = header.pop("__metadata__", None) or {}
        weights = {
            name: _tensor(reading, entry, 8 + length, size) for name, entry in header.items()
        }
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"a truncated or damaged safetensors file: {clean_text(error, 120)}"
        ) from error
    return "safetensors", {**metadata, "state_dict": weights}


def _tensor(reading: Reading, entry: Any, start: int, size: int) -> TensorAt:
    begin, end = entry["data_offsets"]
    shape = tuple(entry["shape"])
    if not 0 <= begin <= end <= size - start:
        raise ValueError("a tensor lies beyond the end of the file")
    strides: list[int] = []
    step = 1
    for length in reversed(shape):
        strides.insert(0, step)
        step *= length
    block = reading.block(0, start + begin, end - begin)
    return TensorAt(TYPES[entry["dtype"]], shape, tuple(strides), 0, block)
