"""What is refused before tensors are copied."""

from pathlib import Path
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.opening.contents import Block, Contents, PiecesAt, TensorAt
from auditor.opening.copies import check_copies
from auditor.opening.process import Opened


def placed(tensors: list[torch.Tensor], path: Path) -> tuple[Opened, list[TensorAt]]:
    """Lay tensors into a file, one after the other, and return their places."""
    blocks, places, data = [], [], b""
    for number, tensor in enumerate(tensors):
        flat = tensor.contiguous().numpy().tobytes()
        blocks.append(Block(0, len(data), len(flat)))
        data += flat
        dtype = str(tensor.dtype).removeprefix("torch.")
        places.append(TensorAt(dtype, tuple(tensor.shape), tensor.contiguous().stride(), 0, number))
    path.write_bytes(data)
    file = path.open("rb")
    return Opened(path, Contents("made", {}, (), tuple(blocks)), (file,), file), places


def verdict(opened: Opened, tree: Any) -> str:
    contents = Contents("made", tree, (), opened.contents.blocks)
    try:
        check_copies(Opened(opened.path, contents, opened.files, opened.spill))
    except InputError as error:
        return str(error).partition(": ")[2]
    return ""


def test_views_that_come_to_far_more_than_the_file_are_refused(tmp_path: Path) -> None:
    opened, _ = placed([torch.zeros(100)], tmp_path / "parts")
    few = [TensorAt("float32", (100 - n,), (1,), 0, 0) for n in range(3)]
    assert verdict(opened, few) == ""
    assert verdict(opened, few * 9) == ""  # equal views share a copy
    many = [TensorAt("float32", (100 - n,), (1,), 0, 0) for n in range(10)]
    assert "more than 3 times the 400 bytes" in verdict(opened, {"a": many})
    assert "more than 3 times" in verdict(opened, TensorAt("float32", (10**12,), (0,), 0, 0))


def test_pieces_have_to_make_a_tensor_whole(tmp_path: Path) -> None:
    opened, _ = placed([torch.zeros(4)], tmp_path / "parts")
    piece = TensorAt("float32", (2,), (1,), 0, 0)
    whole = PiecesAt("float32", (4,), (((0,), piece), ((2,), piece)))
    assert verdict(opened, whole) == ""
    part = PiecesAt("float32", (4,), (((0,), piece),))
    assert verdict(opened, part) == "a tensor's pieces do not make it whole"
