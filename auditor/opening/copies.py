"""Whether a checkpoint's tensors can be copied: told without copying them, and without torch."""

import os
from typing import Any

import numpy as np

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, Opaque, PiecesAt, SparseAt, TensorAt
from auditor.opening.process import Opened

MOST_COPIED = 3
"""Times the bytes of its files that copies of tensors may come to: views share their storage."""

INDICES = ("int64", "int32")
"""The types of indices beside pointers."""

COMPRESSED = {
    "sparse_csr": (0, False),
    "sparse_csc": (1, False),
    "sparse_bsr": (0, True),
    "sparse_bsc": (1, True),
}
"""Of each layout with pointers, the dimension that they run along, and whether it has blocks."""


def check_copies(opened: Opened) -> None:
    """Make sure that all tensors of a checkpoint can be copied.

    Raises:
        InputError: they come to far more than the file, pieces do not make a tensor whole, or the
            indices of a sparse one lead out of it.
    """
    shown = clean_text(opened.path)
    held = sum(file.bytes for file in opened.contents.files)
    held += os.fstat(opened.spill.fileno()).st_size
    copied: set[TensorAt | PiecesAt] = set()
    sparse: list[SparseAt] = []

    def look(value: Any) -> None:
        match value:
            case dict():
                for inner in value.values():
                    look(inner)
            case list():
                for inner in value:
                    look(inner)
            case Opaque():
                look(value.held)
            case TensorAt() | PiecesAt():
                copied.add(value)
            case SparseAt():
                sparse.append(value)
                copied.update(value.parts)

    look(opened.contents.tree)
    if sum(place.values * ITEM_BYTES[place.dtype] for place in copied) > MOST_COPIED * held:
        raise InputError(
            f"{shown}: its tensors come to more than {MOST_COPIED} times the {held:,} bytes that "
            "it holds"
        )
    for place in copied:
        if isinstance(place, PiecesAt) and place.values != _in_pieces(place):
            raise InputError(f"{shown}: a tensor's pieces do not make it whole")
    for one in sparse:
        if not _is_sound(opened, one):
            raise InputError(f"{shown}: a sparse tensor whose indices do not fit its shape")


def _in_pieces(place: PiecesAt) -> int:
    return sum(piece.values for _, piece in place.pieces)


def _is_sound(opened: Opened, place: SparseAt) -> bool:
    """Tell whether torch would take the parts of a sparse tensor, with all that it checks."""
    *indices, values = place.parts
    if place.layout == "sparse_coo":
        return "int" in indices[0].dtype and _coo(
            _read(opened, indices[0]), values.shape, place.shape
        )
    if len({part.dtype for part in indices}) > 1 or indices[0].dtype not in INDICES:
        return False
    pointers, other = (_read(opened, part) for part in indices)
    along, blocks = COMPRESSED[place.layout]
    return _compressed(pointers, other, values.shape, place.shape, along, blocks)


def _coo(indices: np.ndarray, values: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if indices.ndim != 2 or not values:
        return False
    sparse, count = indices.shape
    if sparse > len(shape) or values != (count, *shape[sparse:]):
        return False
    return _within(indices, np.array(shape[:sparse], dtype=np.int64)[:, None])


def _compressed(
    pointers: np.ndarray,
    others: np.ndarray,
    values: tuple[int, ...],
    shape: tuple[int, ...],
    along: int,
    blocks: bool,
) -> bool:
    batch = pointers.ndim - 1
    first = batch + 1
    if batch < 0 or others.ndim != first or len(values) < first + 2 * blocks:
        return False
    if len(shape) < batch + 2:
        return False
    block = values[first : first + 2] if blocks else (1, 1)
    sizes = shape[batch : batch + 2]
    if 0 in block or any(size % step for size, step in zip(sizes, block, strict=True)):
        return False
    counts = [size // step for size, step in zip(sizes, block, strict=True)]
    count = others.shape[-1]
    lead = shape[:batch]
    dense = shape[batch + 2 :]
    if pointers.shape != (*lead, counts[along] + 1) or others.shape != (*lead, count):
        return False
    if values != (*lead, count, *(block if blocks else ()), *dense):
        return False
    steps = np.diff(pointers, axis=-1)
    ends = (pointers[..., 0] == 0).all() and (pointers[..., -1] == count).all()
    if not ends or not _within(steps, np.int64(counts[1 - along] + 1)):
        return False
    if count == 0:
        return True
    return _within(others, np.int64(counts[1 - along])) and all(
        _rises(row, starts)
        for row, starts in zip(
            others.reshape(-1, count), pointers.reshape(-1, counts[along] + 1), strict=True
        )
    )


def _within(numbers: np.ndarray, most: Any) -> bool:
    return bool((numbers >= 0).all() and (numbers < most).all())


def _rises(row: np.ndarray, starts: np.ndarray) -> bool:
    """Tell whether indices rise from each start to the next, none of them twice."""
    new = np.zeros(len(row) + 1, dtype=bool)
    new[starts] = True
    return bool((np.diff(row) > 0)[~new[1 : len(row)]].all())


def _read(opened: Opened, place: TensorAt) -> np.ndarray:
    """Return a dense tensor of whole numbers."""
    item = ITEM_BYTES[place.dtype]
    reach = max(place.reach - place.offset, 0) if place.values else 0
    memory = np.empty(reach, dtype=place.dtype)
    if reach:
        block = opened.contents.blocks[place.block]
        opened.fill(block, memory.data.cast("B"), place.offset * item)
    return np.lib.stride_tricks.as_strided(
        memory, place.shape, tuple(step * item for step in place.strides), writeable=False
    ).astype(np.int64)
