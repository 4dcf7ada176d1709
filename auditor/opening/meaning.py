"""From stand-ins to tensors and plain values: what a pickle means, without having made it."""

import math
from dataclasses import dataclass
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, Opaque, TensorAt
from auditor.opening.pickled import StandIn
from auditor.opening.reading import Reading

DEEPEST = 64
MOST_VALUES = 1_000_000
LONGEST_TEXT = 65_536
LONGEST_KEY = 4_096

STORAGES = {
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Float": "float32",
    "Double": "float64",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
"""The types of the values in torch's typed storages, by their names without "Storage"."""


@dataclass(frozen=True)
class Storage:
    """A storage of a tensor: the type of its values ("" where untyped) and its block."""

    dtype: str
    block: int


def dtype_of_storage(asked: Any) -> str:
    """Return the type of values in a storage by its class: "" for one without a type.

    Raises:
        InputError: there is no such storage.
    """
    name = getattr(asked, "name", "")
    short = str(name).removeprefix("torch.").removeprefix("storage.").removeprefix("cuda.")
    if short == "UntypedStorage":
        return ""
    if short.endswith("Storage") and short.removesuffix("Storage") in STORAGES:
        return STORAGES[short.removesuffix("Storage")]
    raise InputError(f"a tensor's storage is of an unknown kind: {clean_text(name or asked, 80)}")


class Meaning:
    """Turns what `read_pickle` returned into a tree of `Contents`."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._left = MOST_VALUES
        self._open: set[int] = set()

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the tree of a value.

        Raises:
            InputError: it is nested too deeply, in itself, too large, or a tensor in it lies.
        """
        self._left -= 1
        if self._left < 0:
            raise InputError(f"it holds more than {MOST_VALUES:,} values")
        if depth > DEEPEST:
            raise InputError(f"its values are nested more than {DEEPEST} deep")
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else clean_text(value, 40)
        if isinstance(value, str):
            return value if len(value) <= LONGEST_TEXT else clean_text(value, LONGEST_TEXT)
        if id(value) in self._open:
            raise InputError("it holds a value that stands within itself")
        self._open.add(id(value))
        try:
            return self._composed(value, depth + 1)
        finally:
            self._open.discard(id(value))

    def _composed(self, value: Any, depth: int) -> Any:
        if isinstance(value, dict):
            return self._mapping(value.items(), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(inner, depth) for inner in value]
        if isinstance(value, StandIn):
            return self._object(value, depth)
        if isinstance(value, type) and issubclass(value, StandIn):
            return self._named(value.name)
        return Opaque(type(value).__name__)

    def _mapping(self, items: Any, depth: int) -> dict[str | int, Any]:
        made: dict[str | int, Any] = {}
        for key, inner in items:
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise InputError(f"a key of it is neither a text nor a whole number: {key!r:.80}")
            if isinstance(key, str) and len(key) > LONGEST_KEY:
                raise InputError(f"a key of it is too long: {clean_text(key, 80)}")
            made[key] = self.of(inner, depth)
        return made

    def _object(self, value: StandIn, depth: int) -> Any:
        match value.name:
            case "collections.OrderedDict":
                first = value.made_of[0] if value.made_of else ()
                return self._mapping([*first, *value.pairs], depth)
            case "torch._utils._rebuild_tensor_v2":
                storage, offset, shape, strides, *_ = value.made_of
                return self._tensor(storage, offset, shape, strides)
            case "torch._utils._rebuild_parameter":
                return self.of(value.made_of[0], depth)
            case "torch.Size":
                return self.of(list(value.made_of[0]), depth)
        self._reading.classes[value.name] = None
        return Opaque(value.name)

    def _named(self, name: str) -> Any:
        short = name.removeprefix("torch.")
        if short in ITEM_BYTES:
            return name
        self._reading.classes[name] = None
        return Opaque(name)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any) -> TensorAt:
        if not isinstance(storage, Storage):
            raise InputError("a tensor without a storage")
        numbers = [offset, *shape, *strides]
        if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers):
            raise InputError("a tensor whose shape is not made of whole numbers from 0 on")
        if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
            raise InputError("a tensor whose shape and strides do not fit")
        held = self._reading.blocks[storage.block].bytes // ITEM_BYTES[storage.dtype]
        made = TensorAt(storage.dtype, tuple(shape), tuple(strides), offset, storage.block)
        if made.reach > held or math.prod(shape) > held:
            raise InputError(
                f"a tensor of shape {clean_text(list(shape), 80)} wants more than the {held:,} "
                "values of its storage"
            )
        return made
