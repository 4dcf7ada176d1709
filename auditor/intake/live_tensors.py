"""From the places of tensors to tensors: clean copies, which share nothing with the file."""

from typing import Any

import torch

from auditor.opening.contents import ITEM_BYTES, PiecesAt, SparseAt, TensorAt
from auditor.opening.copies import check_copies
from auditor.opening.process import Opened
from auditor.opening.trees import mapped


def live(opened: Opened) -> Any:
    """Return a checkpoint's tree with its tensors on the CPU, each a copy of its own.

    Views that are equal share one copy. Stand-ins become the plain values that they hold. Sparse
    tensors are left out: indices that lie would reach into memory, and weights are audited dense.

    Raises:
        InputError: a tensor reaches beyond its bytes, or they come to far more than the file.
    """
    copies: dict[TensorAt | PiecesAt, torch.Tensor] = {}
    check_copies(opened)

    def made(value: Any) -> Any:
        match value:
            case TensorAt() | PiecesAt():
                if value not in copies:
                    copies[value] = _copy(opened, value)
                return copies[value]
            case SparseAt():
                return None
        return value

    tree = mapped(opened.contents.tree, made)
    opened.unchanged()
    return tree


def _copy(opened: Opened, place: TensorAt | PiecesAt) -> torch.Tensor:
    """Return the tensor at a place, read from its first value to its last, or piece by piece."""
    if isinstance(place, PiecesAt):
        return _joined(opened, place)
    item = ITEM_BYTES[place.dtype]
    reach = place.reach - place.offset if place.values else 0
    memory = torch.empty(max(reach, 0) * item, dtype=torch.uint8)
    if reach > 0:
        block = opened.contents.blocks[place.block]
        opened.fill(block, memory.numpy().data, place.offset * item)
    values = memory.view(getattr(torch, place.dtype))
    if not place.values:
        return values.new_empty(place.shape)
    shaped = values.as_strided(place.shape, place.strides)
    if reach == place.values and shaped.is_contiguous():
        return shaped
    return shaped.clone(memory_format=torch.contiguous_format)


def _joined(opened: Opened, place: PiecesAt) -> torch.Tensor:
    """Return the tensor that pieces make, each of them read and put where it belongs."""
    joined = torch.empty(place.shape, dtype=getattr(torch, place.dtype))
    for offsets, piece in place.pieces:
        where = tuple(slice(at, at + n) for at, n in zip(offsets, piece.shape, strict=True))
        joined[where] = _copy(opened, piece)
    return joined
