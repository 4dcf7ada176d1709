"""Folders of torch.distributed.checkpoint (DCP), which FSDP writes too.

`.metadata` is a pickle that tells of each tensor its type, its shape and its pieces, and where in
which file each piece lies, as torch.save writes it. Beside tensors there are single values.
"""

import math
from collections.abc import Mapping
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, PiecesAt, TensorAt
from auditor.opening.part import Part
from auditor.opening.pickled import StandIn, nothing, read_pickle
from auditor.opening.readers import zipped
from auditor.opening.readers.dcp_tree import is_whole, nested
from auditor.opening.readers.torch_zip import LONGEST_PICKLE
from auditor.opening.reading import Reading

METADATA = ".metadata"
MOST_ENTRIES = 200_000
MOST_PIECES = 16_384

KNOWN = frozenset(
    {
        *(
            f"torch.distributed.checkpoint.metadata.{name}"
            for name in (
                "BytesStorageMetadata",
                "ChunkStorageMetadata",
                "Metadata",
                "MetadataIndex",
                "StorageMeta",
                "TensorProperties",
                "TensorStorageMetadata",
                "_MEM_FORMAT_ENCODING",
            )
        ),
        "torch.distributed._shard.sharded_tensor.metadata.MEM_FORMAT_ENCODING",
        "torch.distributed._shard.sharded_tensor.metadata.TensorProperties",
        "torch.distributed.checkpoint.filesystem._StorageInfo",
        "torch.serialization._get_layout",
        "torch.Size",
        "collections.OrderedDict",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        *(f"torch.{dtype}" for dtype in ITEM_BYTES),
    }
)
"""All that the metadata of a checkpoint asks for, over the versions of torch."""

Sizes = tuple[int, ...]
Place = tuple[str, int, int]
"""A file, and where in it so many bytes start."""


def read(reading: Reading) -> tuple[str, Any]:
    """Return the nested tree that was saved, each tensor put together from its pieces."""
    _, file = reading.open(METADATA)
    if file.seek(0, 2) > LONGEST_PICKLE:
        raise InputError("its .metadata is larger than any checkpoint's")
    file.seek(0)
    metadata = _fields(read_pickle(file, nothing, KNOWN), "Metadata")
    saved = metadata.get("state_dict_metadata")
    if not isinstance(saved, dict) or not all(isinstance(name, str) for name in saved):
        raise InputError("damaged: .metadata does not say what was saved")
    if len(saved) > MOST_ENTRIES:
        raise InputError(f"its .metadata tells of more than {MOST_ENTRIES:,} entries")
    places = _places(metadata.get("storage_data"))
    paths = metadata.get("planner_data")
    paths = paths if isinstance(paths, dict) else {}
    values: list[tuple[Any, Any]] = []
    for name, entry in saved.items():
        try:
            value = _entry(reading, name, entry, places)
        except InputError as error:
            raise InputError(f"{clean_text(name, 120)}: {error}") from error
        values.append((paths.get(name, (name,)), value))
    return "torch distributed checkpoint", nested(values)


def _fields(value: Any, kind: str) -> dict[str, Any]:
    """Return the attributes of an object of one of DCP's classes."""
    if not isinstance(value, StandIn) or value.name.rpartition(".")[2] != kind:
        raise InputError(f"damaged: .metadata lacks a {kind}")
    return value.state if isinstance(value.state, dict) else {}


def _places(storage: Any) -> dict[tuple[str, Sizes], Place]:
    """Return where each piece lies: by the name of its tensor, and its place in it."""
    if not isinstance(storage, dict):
        raise InputError("damaged: .metadata does not say where anything lies")
    places: dict[tuple[str, Sizes], Place] = {}
    for key, value in storage.items():
        index, info = _fields(key, "MetadataIndex"), _fields(value, "_StorageInfo")
        if packed := info.get("transform_descriptors"):
            raise InputError(
                f"its pieces are packed by an extension ({clean_text(packed, 80)}), which is not "
                "read; save it without extensions"
            )
        offset = index.get("offset")
        name, start, size = (
            info.get("relative_path"),
            _whole(info, "offset"),
            _whole(info, "length"),
        )
        if not isinstance(name, str) or start is None or size is None:
            raise InputError("damaged: .metadata gives a piece no place")
        at = () if offset is None else _sizes(offset)
        places[str(index.get("fqn")), at] = name, start, size
    return places


def _entry(
    reading: Reading, name: str, entry: Any, places: Mapping[tuple[str, Sizes], Place]
) -> Any:
    """Return a tensor or a value that was saved under a name."""
    if not isinstance(entry, StandIn) or not entry.name.endswith(".TensorStorageMetadata"):
        _fields(entry, "BytesStorageMetadata")
        return _saved(reading, places.get((name, ())))
    told = _fields(entry, "TensorStorageMetadata")
    dtype, shape = _dtype(told.get("properties")), _sizes(told.get("size"))
    chunks = told.get("chunks")
    if not isinstance(chunks, list) or len(chunks) > MOST_PIECES:
        raise InputError(f"damaged: not a tensor of up to {MOST_PIECES:,} pieces")
    pieces: dict[Sizes, TensorAt] = {}
    for chunk in chunks:
        of_chunk = _fields(chunk, "ChunkStorageMetadata")
        at, sizes = _sizes(of_chunk.get("offsets")), _sizes(of_chunk.get("sizes"))
        if 0 in sizes and 0 not in shape:
            continue
        if at in pieces:
            raise InputError("damaged: two of its pieces overlap")
        piece = _saved(reading, places.get((name, at)) or places.get((name, ())))
        if not isinstance(piece, TensorAt) or (piece.dtype, piece.shape) != (dtype, sizes):
            raise InputError(
                f"damaged: a piece of it is not the {dtype} tensor of shape {list(sizes)} that "
                ".metadata tells of"
            )
        pieces[at] = piece
    _check_tiling(shape, pieces)
    if len(pieces) == 1:
        return next(iter(pieces.values()))
    return PiecesAt(dtype, shape, tuple(pieces.items()))


def _saved(reading: Reading, place: Place | None) -> Any:
    """Return what torch.save wrote to a place."""
    if place is None:
        raise InputError("damaged: .metadata does not say where a piece of it lies")
    name, start, size = place
    number, file = reading.open(name)
    if start + size > file.seek(0, 2):
        raise InputError(f"truncated: a piece of it lies beyond the end of {clean_text(name, 80)}")
    part = Part(reading, number, start, size)
    if part.first.read(4) != b"PK\x03\x04":
        raise InputError(
            f"a piece of it in {clean_text(name, 80)} is not written by torch.save; save it with "
            "SerializationFormat.TORCH_SAVE"
        )
    return zipped.read(part)[1]


def _check_tiling(shape: Sizes, pieces: Mapping[Sizes, TensorAt]) -> None:
    """Make sure that pieces cover a tensor, and none of them another or what is outside."""
    for at, piece in pieces.items():
        if len(at) != len(shape) or any(
            start + size > length
            for start, size, length in zip(at, piece.shape, shape, strict=True)
        ):
            raise InputError(f"damaged: a piece of it lies outside of its shape {list(shape)}")
    if sum(piece.values for piece in pieces.values()) != math.prod(shape) or not pieces:
        raise InputError(f"damaged: its pieces do not make up its shape {list(shape)}")
    # Along the dimension that is cut most, few pieces lie side by side.
    cut = max(range(len(shape)), key=lambda d: len({at[d] for at in pieces}), default=0)
    ordered = sorted(pieces.items(), key=lambda item: item[0][cut:])
    for number, (at, piece) in enumerate(ordered):
        for other_at, other in ordered[number + 1 :]:
            if other_at[cut] >= at[cut] + piece.shape[cut]:
                break
            if all(
                start < other_start + other_size and other_start < start + size
                for start, size, other_start, other_size in zip(
                    at, piece.shape, other_at, other.shape, strict=True
                )
            ):
                raise InputError("damaged: two of its pieces overlap")


def _dtype(properties: Any) -> str:
    """Return the type of a tensor's values: the first of its properties."""
    state = properties.state if isinstance(properties, StandIn) else None
    dtype = state[0] if isinstance(state, tuple) and state else None
    if isinstance(state, dict):
        dtype = state.get("dtype")
    name = dtype.name if isinstance(dtype, type) and issubclass(dtype, StandIn) else ""
    if name.removeprefix("torch.") not in ITEM_BYTES:
        raise InputError("damaged: .metadata gives it no type of values that is read")
    return name.removeprefix("torch.")


def _sizes(value: Any) -> Sizes:
    """Return the whole numbers of a `torch.Size`."""
    held = value.made_of[:1] if isinstance(value, StandIn) else (value,)
    sizes = held[0] if held else ()
    if (
        not isinstance(sizes, tuple | list)
        or len(sizes) > MOST_DIMENSIONS
        or not all(map(is_whole, sizes))
    ):
        raise InputError("damaged: .metadata gives a shape that is none")
    return tuple(sizes)


def _whole(fields: Mapping[str, Any], name: str) -> int | None:
    value = fields.get(name)
    return value if is_whole(value) else None
