"""Whether a checkpoint's tensors can be copied: told without copying them, and without torch."""

import os
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, Opaque, PiecesAt, TensorAt
from auditor.opening.process import Opened

MOST_COPIED = 3
"""Times the bytes of its files that copies of tensors may come to: views share their storage."""


def check_copies(opened: Opened) -> None:
    """Make sure that all tensors of a checkpoint can be copied.

    Raises:
        InputError: they come to far more than the file, or pieces do not make a tensor whole.
    """
    shown = clean_text(opened.path)
    held = sum(file.bytes for file in opened.contents.files)
    held += os.fstat(opened.spill.fileno()).st_size
    copied: set[TensorAt | PiecesAt] = set()

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

    look(opened.contents.tree)
    if sum(place.values * ITEM_BYTES[place.dtype] for place in copied) > MOST_COPIED * held:
        raise InputError(
            f"{shown}: its tensors come to more than {MOST_COPIED} times the {held:,} bytes that "
            "it holds"
        )
    for place in copied:
        if isinstance(place, PiecesAt) and place.values != _in_pieces(place):
            raise InputError(f"{shown}: a tensor's pieces do not make it whole")


def _in_pieces(place: PiecesAt) -> int:
    return sum(piece.values for _, piece in place.pieces)
