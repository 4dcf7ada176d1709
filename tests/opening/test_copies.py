"""What is refused before tensors are copied: sparse ones exactly where torch refuses them."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.core.errors import InputError
from auditor.opening.contents import Block, Contents, PiecesAt, SparseAt, TensorAt
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


MAKERS = {
    torch.sparse_coo: torch.sparse_coo_tensor,
    torch.sparse_csr: torch.sparse_csr_tensor,
    torch.sparse_csc: torch.sparse_csc_tensor,
    torch.sparse_bsr: torch.sparse_bsr_tensor,
    torch.sparse_bsc: torch.sparse_bsc_tensor,
}


def parts_of(tensor: torch.Tensor) -> list[torch.Tensor]:
    match tensor.layout:
        case torch.sparse_coo:
            return [tensor._indices(), tensor._values()]
        case torch.sparse_csr | torch.sparse_bsr:
            return [tensor.crow_indices(), tensor.col_indices(), tensor.values()]
    return [tensor.ccol_indices(), tensor.row_indices(), tensor.values()]


def examples() -> list[torch.Tensor]:
    dense = torch.tensor([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 0, 0], [4, 5, 6, 7.0]])
    batch = torch.stack([dense, dense.flip(0).flip(1)])
    found = [dense.to_sparse(), dense.to_sparse(1), torch.zeros(3, 2).to_sparse()]
    for layout in (torch.sparse_csr, torch.sparse_csc):
        found += [dense.to_sparse(layout=layout), batch.to_sparse(layout=layout)]
        found.append(torch.zeros(3, 2).to_sparse(layout=layout))
    for layout in (torch.sparse_bsr, torch.sparse_bsc):
        found += [dense.to_sparse(layout=layout, blocksize=(2, 2))]
    return found


@pytest.mark.parametrize("example", range(len(examples())))
def test_sparse_tensors_are_refused_where_torch_refuses_them(example: int, tmp_path: Path) -> None:
    tensor = examples()[example]
    draw = random.Random(example)
    seen = set()
    for _ in range(60):
        parts, shape = [part.clone() for part in parts_of(tensor)], list(tensor.shape)
        for _ in range(draw.choice([0, 1, 1, 2])):
            what = draw.choice(["index", "shape", "part", "type"])
            part = draw.randrange(len(parts))
            if what == "index" and part < len(parts) - 1 and parts[part].numel():
                place = draw.randrange(parts[part].numel())
                parts[part].view(-1)[place] += draw.choice([-5, -1, 1, 2, 9])
            elif what == "shape":
                shape[draw.randrange(len(shape))] += draw.choice([-1, 1, 3])
            elif what == "part" and parts[part].ndim and parts[part].shape[-1] > 1:
                parts[part] = parts[part][..., :-1].contiguous()
            elif what == "type" and part < len(parts) - 1:
                parts[part] = parts[part].to(draw.choice([torch.int32, torch.int16]))
        if min(shape) < 0:
            continue
        try:
            with torch.sparse.check_sparse_tensor_invariants():
                MAKERS[tensor.layout](*parts, tuple(shape))
            taken = True
        except (RuntimeError, IndexError):
            taken = False
        opened, places = placed(parts, tmp_path / "parts")
        layout = str(tensor.layout).removeprefix("torch.")
        said = verdict(opened, SparseAt(layout, tuple(places), tuple(shape)))
        assert said == ("" if taken else "a sparse tensor whose indices do not fit its shape"), (
            taken, parts, shape,
        )  # fmt: skip
        seen.add(taken)
    assert True in seen
    assert False in seen or not parts_of(tensor)[-1].numel()


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
