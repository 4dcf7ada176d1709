"""The numbers in tensors of one value, such as counters of steps: read without torch."""

import struct
from dataclasses import dataclass
from typing import Any, ClassVar

from auditor.opening.contents import ITEM_BYTES, TensorAt
from auditor.opening.process import Opened
from auditor.opening.trees import mapped

MOST = 20_000
"""Tensors of one value that are read."""

FORMATS = {
    "bool": "?",
    "uint8": "B",
    "int8": "b",
    "uint16": "H",
    "int16": "h",
    "uint32": "I",
    "int32": "i",
    "uint64": "Q",
    "int64": "q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
"""How `struct` names the types of tensors."""


@dataclass(frozen=True)
class Scalar(TensorAt):
    """A tensor of one value that was read; it answers what code asks of one of torch's."""

    number: float = 0.0
    layout: ClassVar[str] = "torch.strided"

    def numel(self) -> int:
        """Return the number of values."""
        return 1

    def is_complex(self) -> bool:
        """Tell whether the value is complex; such are not read."""
        return False

    def item(self) -> float:
        """Return the value."""
        return self.number


def with_scalars(opened: Opened) -> Any:
    """Return a checkpoint's tree with its tensors of one value read, and stand-ins looked through.

    Other tensors stay the places that they are.

    Raises:
        InputError: the file has changed.
    """
    left = MOST

    def made(value: Any) -> Any:
        nonlocal left
        match value:
            case TensorAt() if value.values == 1 and value.dtype in FORMATS and left > 0:
                left -= 1
                return _read(opened, value)
        return value

    tree = mapped(opened.contents.tree, made)
    opened.unchanged()
    return tree


def _read(opened: Opened, place: TensorAt) -> Scalar:
    item = ITEM_BYTES[place.dtype]
    memory = bytearray(item)
    opened.fill(opened.contents.blocks[place.block], memoryview(memory), place.offset * item)
    (number,) = struct.unpack(f"<{FORMATS[place.dtype]}", memory)
    return Scalar(place.dtype, place.shape, place.strides, place.offset, place.block, number)
