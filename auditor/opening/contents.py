"""What a checkpoint comes to once it was looked into: plain values, and where tensors' bytes lie.

It crosses from the child process as JSON; what does not have this shape is refused there.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

ITEM_BYTES = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "uint64": 8,
    "int64": 8,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "bfloat16": 2,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
}
"""The types of tensors that are read, by their names in torch, and the bytes of one value."""

SPILL = -1
"""The file of a block whose bytes the child process wrote out itself."""

MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class Block:
    """A run of bytes: in which of `Contents.files` (or `SPILL`), from where, how many."""

    file: int
    offset: int
    bytes: int


@dataclass(frozen=True)
class TensorAt:
    """A dense tensor, by the place of its values.

    `block` is an index of `Contents.blocks`; `strides` and `offset` count values within it.
    """

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    block: int

    @property
    def values(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)

    @property
    def reach(self) -> int:
        """Return how many values of its block, from the first on, it reaches over."""
        if not self.values:
            return 0
        last = sum((size - 1) * step for size, step in zip(self.shape, self.strides, strict=True))
        return self.offset + last + 1


@dataclass(frozen=True)
class PiecesAt:
    """A dense tensor that lies in pieces: each with where in the tensor its first value belongs.

    The pieces cover the tensor, and none of them another.
    """

    dtype: str
    shape: tuple[int, ...]
    pieces: tuple[tuple[tuple[int, ...], TensorAt], ...]

    @property
    def values(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class SparseAt:
    """A sparse tensor: its layout in torch ("sparse_coo", ...), its parts in the order in which
    torch's constructor takes them, and its shape.
    """

    layout: str
    parts: tuple[TensorAt, ...]
    shape: tuple[int, ...]


Tensor = TensorAt | PiecesAt | SparseAt
"""What stands for a tensor in a tree."""


@dataclass(frozen=True)
class Opaque:
    """What stands in for an object of a class: the class's dotted name, and the plain values in it.

    `held` is a mapping of the object's attributes, or a list of what it was made of.
    """

    name: str
    held: Any = None


@dataclass(frozen=True)
class FileRead:
    """A file that was read whole: its name in the checkpoint's folder, its hash and size.

    `identity` (device, inode, time of the last change in nanoseconds) tells whether it is still the
    same file.
    """

    name: str
    sha256: str
    bytes: int
    identity: tuple[int, int, int]


@dataclass(frozen=True)
class Contents:
    """What stands in a checkpoint.

    `container` says what it is, for people ("torch zip"). `tree` is made of dicts with keys that
    are texts or whole numbers, lists, plain values, `TensorAt`, `PiecesAt`, `SparseAt` and
    `Opaque`. `classes` are the dotted names that it asks Python for, beyond those that plain
    tensors need; nothing was made of them. `notes` are sentences for the report.
    """

    container: str
    tree: Any
    files: tuple[FileRead, ...]
    blocks: tuple[Block, ...] = ()
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Return the bytes of all its files."""
        return sum(file.bytes for file in self.files)

    @property
    def sha256(self) -> str:
        """Return its hash: of its file, or of the list of its files with theirs."""
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = sorted((file.name, f"{file.sha256}  {file.name}\n") for file in self.files)
        listing = "".join(line for _, line in lines)
        return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def contents_to_json(contents: Contents) -> dict[str, Any]:
    """Return contents as values that JSON has."""
    return {
        "container": contents.container,
        "tree": _tagged(contents.tree),
        "files": [[f.name, f.sha256, f.bytes, list(f.identity)] for f in contents.files],
        "blocks": [[block.file, block.offset, block.bytes] for block in contents.blocks],
        "classes": list(contents.classes),
        "notes": list(contents.notes),
    }


def contents_from_json(values: dict[str, Any]) -> Contents:
    """Return the contents that `contents_to_json` wrote."""
    return Contents(
        container=values["container"],
        tree=_untagged(values["tree"]),
        files=tuple(
            FileRead(name, sha256, size, (i[0], i[1], i[2]))
            for name, sha256, size, i in values["files"]
        ),
        blocks=tuple(Block(*block) for block in values["blocks"]),
        classes=tuple(values["classes"]),
        notes=tuple(values["notes"]),
    )


def _tagged(value: Any) -> Any:
    """Return a tree in which a list opens with what it stands for; plain values are themselves."""
    match value:
        case dict():
            return ["d", *([key, _tagged(inner)] for key, inner in value.items())]
        case list():
            return ["l", *map(_tagged, value)]
        case TensorAt(dtype, shape, strides, offset, block):
            return ["t", dtype, shape, strides, offset, block]
        case PiecesAt(dtype, shape, pieces):
            return ["p", dtype, shape, [[offsets, _tagged(piece)] for offsets, piece in pieces]]
        case SparseAt(layout, parts, shape):
            return ["s", layout, [_tagged(part) for part in parts], shape]
        case Opaque(name, held):
            return ["o", name, _tagged(held)]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"{type(value).__name__} has no place in a checkpoint's tree")


def _untagged(value: Any) -> Any:
    match value:
        case ["d", *items]:
            return {key: _untagged(inner) for key, inner in items}
        case ["l", *items]:
            return [_untagged(inner) for inner in items]
        case ["t", dtype, shape, strides, offset, block]:
            return TensorAt(dtype, tuple(shape), tuple(strides), offset, block)
        case ["p", dtype, shape, pieces]:
            placed = tuple((tuple(offsets), _untagged(piece)) for offsets, piece in pieces)
            return PiecesAt(dtype, tuple(shape), placed)
        case ["s", layout, parts, shape]:
            return SparseAt(layout, tuple(map(_untagged, parts)), tuple(shape))
        case ["o", name, held]:
            return Opaque(name, _untagged(held))
    return value
