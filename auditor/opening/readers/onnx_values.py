"""Where the values of an ONNX model's tensors lie: in the model, in a file beside it, or packed."""

import math
from array import array
from io import BufferedReader, RawIOBase
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, TensorAt
from auditor.opening.protobuf import Field
from auditor.opening.reading import Reading

TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    24: "float8_e8m0fnu",
}
"""Types of values, by their numbers in ONNX."""

STEPS = (0, 0.5, 1, 1.5, 2, 3, 4, 6)
OF_FOUR_BITS: dict[int, tuple[str, str, tuple[float, ...]]] = {
    21: ("uint8", "B", tuple(range(16))),
    22: ("int8", "b", (*range(8), *range(-8, 0))),
    23: ("float32", "f", (*STEPS, *(-step for step in STEPS))),
}
"""Types of which two values share a byte: what they are unpacked to, and what each code is."""

IN_MEMORY = (4, 9, 10)
"""Fields that hold values as they lie in memory: float_data, raw_data, double_data."""

EXTERNAL = 1


def tensor_at(reading: Reading, package: Any, told: Any, values: Field | None) -> TensorAt | None:
    """Return the place of a tensor's values, None for one of a type that is not read.

    `told` is the tensor as the package reads it, without the field `values`, where that holds them.

    Raises:
        InputError: its values are not there, or not as many as its shape wants.
    """
    shape = tuple(told.dims)
    if len(shape) > MOST_DIMENSIONS or not all(0 <= size < 2**62 for size in shape):
        raise InputError("damaged: a shape that is none")
    packed = told.data_type in OF_FOUR_BITS
    if not packed and told.data_type not in TYPES:
        return None
    dtype = OF_FOUR_BITS[told.data_type][0] if packed else TYPES[told.data_type]
    count = math.prod(shape)
    size = count * ITEM_BYTES[dtype]
    place = _place(reading, told, values, (count + 1) // 2 if packed else size)
    if place is None:
        block = reading.spilled(_typed(package, told, dtype if packed else ""))
        if reading.blocks[block].bytes != size:
            raise InputError(f"damaged: its values do not fill its shape {list(shape)}")
    elif packed:
        number, offset = place
        stream = _Unpacked(reading.numbered(number), offset, count, told.data_type)
        block = reading.spilled_from(BufferedReader(stream), size)
    else:
        block = reading.block(*place, size)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return TensorAt(dtype, shape, strides, 0, block)


def _place(reading: Reading, told: Any, values: Field | None, size: int) -> tuple[int, int] | None:
    """Return the file and the place of values that lie there as in memory, and are `size` bytes."""
    if told.data_location == EXTERNAL:
        said = {one.key: one.value for one in told.external_data}
        number, file = reading.beside(said.get("location", ""))
        offset, held = int(said.get("offset", 0)), int(said.get("length", size))
        if offset < 0 or offset + held > file.seek(0, 2):
            raise InputError(f"its values lie beyond the end of {clean_text(said['location'], 80)}")
    elif values is not None:
        number, offset, held = reading.number, values.offset, values.size
    else:
        return None
    if held != size:
        raise InputError(
            f"damaged: {held:,} bytes of values, where its shape {list(told.dims)} wants {size:,}"
        )
    return number, offset


def _typed(package: Any, told: Any, unpacked: str) -> bytes:
    """Return values that stand in the tensor as numbers, as they lie in memory."""
    values = package.numpy_helper.to_array(told)
    return bytes((values.astype(unpacked) if unpacked else values).tobytes())


class _Unpacked(RawIOBase):
    """Values of which two share a byte, the first in its lower half, one by one."""

    def __init__(self, file: BufferedReader, offset: int, count: int, kind: int) -> None:
        _, code, values = OF_FOUR_BITS[kind]
        self._pairs = [
            array(code, (values[byte & 15], values[byte >> 4])).tobytes() for byte in range(256)
        ]
        self._item = array(code).itemsize
        self._file = file
        self._at = offset
        self._left = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer)
        pairs = min(len(room) // (2 * self._item), (self._left + 1) // 2)
        self._file.seek(self._at)
        data = b"".join(map(self._pairs.__getitem__, self._file.read(pairs)))
        data = data[: self._left * self._item]
        self._at += pairs
        self._left -= len(data) // self._item
        room[: len(data)] = data
        return len(data)
