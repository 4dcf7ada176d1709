"""Sparse tensors whose indices lie: torch reads them, and `to_dense()` kills the process.

Weights that are sparse are refused, sound or not.
"""

import struct
from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Either, Refused, Shelf
from tests.hostile.opcodes import Raw, called, named
from tests.hostile.torch_files import storage, tensor, torch_zip

SHELF = Shelf("sparse tensors")

LIES = Refused(("sparse",))


def _whole(key: str, values: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Raw, bytes]:
    """Return a tensor of whole numbers, and its record's bytes."""
    strides = tuple(_product(shape[axis + 1 :]) for axis in range(len(shape)))
    of = storage(key=key, count=len(values), kind="LongStorage")
    return tensor(shape, strides, 0, of), struct.pack(f"<{len(values)}q", *values)


def _product(sides: tuple[int, ...]) -> int:
    total = 1
    for side in sides:
        total *= side
    return total


def _floats(key: str, count: int, shape: tuple[int, ...]) -> tuple[Raw, bytes]:
    strides = tuple(_product(shape[axis + 1 :]) for axis in range(len(shape)))
    return tensor(shape, strides, 0, storage(key=key, count=count)), bytes(4 * count)


def _coo(
    bait: Bait,
    indices: tuple[int, ...],
    shape: Any,
    coalesced: Any = False,
    count: int = 2,
    rows: int = 2,
) -> Path:
    at, at_bytes = _whole("0", indices, (rows, len(indices) // rows))
    values, value_bytes = _floats("1", count, (count,))
    made = called(
        named("torch._utils", "_rebuild_sparse_tensor"),
        named("torch", "sparse_coo"),
        (at, values, shape, coalesced),
    )
    return torch_zip(bait.file(), {"layer.weight": made}, {"0": at_bytes, "1": value_bytes})


def _compressed(
    bait: Bait,
    layout: str,
    rows: tuple[int, ...],
    columns: tuple[int, ...],
    shape: Any,
    values: tuple[int, ...] = (2,),
) -> Path:
    first, first_bytes = _whole("0", rows, (len(rows),))
    second, second_bytes = _whole("1", columns, (len(columns),))
    third, third_bytes = _floats("2", _product(values), values)
    made = called(
        named("torch._utils", "_rebuild_sparse_tensor"),
        named("torch", layout),
        (first, second, third, shape),
    )
    records = {"0": first_bytes, "1": second_bytes, "2": third_bytes}
    return torch_zip(bait.file(), {"layer.weight": made}, records)


for _id, _must, _arguments in (
    ("sound", LIES, ((0, 1, 0, 1), (2, 2))),
    ("index-beyond", LIES, ((0, 5, 0, 1), (2, 2))),
    ("index-far-beyond", LIES, ((0, 2**40, 0, 1), (2, 2))),
    ("index-negative", LIES, ((0, -1, 0, 1), (2, 2))),
    ("shape-too-small", LIES, ((0, 1, 0, 1), (1, 1))),
    ("shape-negative", LIES, ((0, 1, 0, 1), (-2, -2))),
    ("shape-of-fewer-dimensions", LIES, ((0, 1, 0, 1), (2,))),
    ("shape-overflows", LIES, ((0, 1, 0, 1), (2**62, 2**62))),
    ("shape-is-a-text", LIES, ((0, 1, 0, 1), "22")),
    ("shape-is-none", LIES, ((0, 1, 0, 1), None)),
    ("values-too-few", LIES, ((0, 1, 0, 1), (2, 2), False, 1)),
    ("said-to-be-coalesced", Either(), ((1, 0, 1, 0), (2, 2), True)),
):
    SHELF.add(f"coo-{_id}", _must, lambda bait, given=_arguments: _coo(bait, *given))


SHELF.add(
    "coo-of-exabytes-when-dense",
    Either(),
    lambda bait: _coo(bait, (0, 1, 0, 1), (2**30, 2**30)),
)

for _layout in ("sparse_csr", "sparse_csc"):
    for _id, _must, _given in (
        ("sound", LIES, ((0, 1, 2), (0, 1), (2, 2))),
        ("index-beyond", LIES, ((0, 1, 2), (0, 9), (2, 2))),
        ("index-negative", LIES, ((0, 1, 2), (0, -9), (2, 2))),
        ("pointers-beyond", LIES, ((0, 1, 2**40), (0, 1), (2, 2))),
        ("pointers-negative", LIES, ((0, -1, 2), (0, 1), (2, 2))),
        ("pointers-run-back", LIES, ((0, 2, 1), (0, 1), (2, 2))),
        ("pointers-too-few", LIES, ((0, 2), (0, 1), (2, 2))),
        ("pointers-none", LIES, ((), (0, 1), (2, 2))),
        ("shape-of-gigabytes", Either(), ((0, 1, 2), (0, 1), (2**30, 2**30))),
    ):
        SHELF.add(
            f"{_layout.removeprefix('sparse_')}-{_id}",
            _must,
            lambda bait, layout=_layout, given=_given: _compressed(bait, layout, *given),
        )

for _layout in ("sparse_bsr", "sparse_bsc"):
    for _id, _must, _given in (
        ("sound", LIES, ((0, 1, 2), (0, 1), (4, 4), (2, 2, 2))),
        ("index-beyond", LIES, ((0, 1, 2), (0, 9), (4, 4), (2, 2, 2))),
        ("blocks-do-not-fit", LIES, ((0, 1, 2), (0, 1), (5, 5), (2, 2, 2))),
        ("blocks-of-nothing", LIES, ((0, 1, 2), (0, 1), (4, 4), (2, 0, 0))),
    ):
        SHELF.add(
            f"{_layout.removeprefix('sparse_')}-{_id}",
            _must,
            lambda bait, layout=_layout, given=_given: _compressed(bait, layout, *given),
        )


def _odd(bait: Bait, *values: Any) -> Path:
    made = called(named("torch._utils", "_rebuild_sparse_tensor"), *values)
    return torch_zip(bait.file(), {"layer.weight": made})


for _id, _values in {
    "layout-unknown": (named("torch", "sparse_dream"), (tensor(), tensor(), (2, 2))),
    "layout-strided": (named("torch", "strided"), (tensor(), tensor(), (2, 2))),
    "layout-is-a-text": ("sparse_coo", (tensor(), tensor(), (2, 2))),
    "parts-missing": (named("torch", "sparse_coo"), ()),
    "parts-are-texts": (named("torch", "sparse_coo"), ("a", "b", "c", "d")),
    "parts-are-a-number": (named("torch", "sparse_coo"), 7),
    "indices-are-floats": (named("torch", "sparse_coo"), (tensor(), tensor((4,)), (2, 2), False)),
    "nothing": (),
}.items():
    SHELF.add(_id, LIES, lambda bait, values=_values: _odd(bait, *values))


@SHELF.refused("sparse")
def part_within_itself(bait: Bait) -> Path:
    inner = called(
        named("torch._utils", "_rebuild_sparse_tensor"),
        named("torch", "sparse_coo"),
        (tensor(), tensor((4,)), (2, 2), False),
    )
    return _odd(bait, named("torch", "sparse_coo"), (inner, inner, (2, 2), False))


@SHELF.refused("os.system")
def layout_is_a_function(bait: Bait) -> Path:
    return _odd(bait, named("os", "system"), (tensor(), tensor(), (2, 2)))
