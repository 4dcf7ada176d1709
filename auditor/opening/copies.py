"""Whether a checkpoint's tensors can be copied: told without copying them, and without torch."""

import os

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, PiecesAt, TensorAt
from auditor.opening.process import Opened
from auditor.opening.trees import leaves

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
    copied = {one for one in leaves(opened.contents.tree) if isinstance(one, TensorAt | PiecesAt)}
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
