"""Safetensors files: good ones read as the library reads them, others refused with the reason."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from auditor.core.errors import InputError
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.live_tensors import live
from auditor.opening.process import looked_into
from auditor.opening.readers import safetensors as reader

KINDS = [
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32,
    torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64,
    torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


def of_bytes(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(shape: Any = (2,), offsets: Any = (0, 8), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def said(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_checkpoint(path)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert len(told.splitlines()) <= 5
    return told


def test_every_type_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    torch.manual_seed(3)
    held = {}
    for kind in KINDS:
        raw = torch.randint(0, 2, (48,), dtype=torch.uint8)
        held[f"w.{kind}"] = raw.view(kind) if kind is not torch.bool else raw.bool()
        held[f"m.{kind}"] = held[f"w.{kind}"][:2].reshape(1, 2, 1)
    held |= {"empty": torch.empty(0, 3), "scalar": torch.tensor(1.5), "ü 名": torch.ones(2, 3).T}
    held = {name: tensor.contiguous().clone() for name, tensor in held.items()}
    save_file(held, tmp_path / "w.safetensors", metadata={"format": "pt", "epoch": "3"})
    mine = open_checkpoint(tmp_path / "w.safetensors")
    theirs = load_file(tmp_path / "w.safetensors")
    assert mine.weights.keys() == theirs.keys() == held.keys()
    for name, tensor in theirs.items():
        assert mine.weights[name].dtype == tensor.dtype
        assert mine.weights[name].shape == tensor.shape
        assert mine.weights[name].is_contiguous()
        if tensor.numel():
            ours = mine.weights[name].reshape(-1).view(torch.uint8)
            assert torch.equal(ours, tensor.reshape(-1).view(torch.uint8))
    assert mine.extras == {"format": "pt", "epoch": "3"}
    assert mine.facts.format == "safetensors"


def test_the_reader_knows_every_type_of_the_library() -> None:
    from safetensors.torch import _TYPES

    for name, kind in _TYPES.items():
        assert f"torch.{reader.TYPES[name]}" == str(kind)


GOOD = json.dumps({"w": entry()}).encode()
REFUSED: dict[str, tuple[bytes, str]] = {
    "past the end": (of_bytes(GOOD, bytes(8), 10_000), "truncated"),
    "too long": (of_bytes(GOOD, bytes(8), 2**60), "not a checkpoint"),
    "not UTF-8": (of_bytes(b'{"\xff":1}'), "UTF-8"),
    "cut in the header": (of_bytes(GOOD[:-3], bytes(8)), "damaged"),
    "text after it": (of_bytes(GOOD + b"{}", bytes(8)), "damaged"),
    "a name twice": (
        of_bytes(b'{"w":%s,"w":%s}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)),
        "'w' twice",
    ),
    "a key of an entry twice": (
        of_bytes(b'{"w":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        "'dtype' twice",
    ),
    "deep": (of_bytes(b'{"w":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "nested too deeply"),
    "less deep": (of_bytes(b'{"w":' + b"[" * 90 + b"]" * 90 + b"}"), "expected dtype"),
    "NaN": (of_bytes(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}'), "NaN"),
    "a fraction": (of_bytes(b'{"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}'), "2.0"),
    "a lone surrogate": (of_bytes(b'{"\\ud800":{}}'), "no text"),
    "no mapping": (of_bytes(b'{"w":3}'), "expected dtype"),
}
REFUSED |= {
    name: (of_bytes(json.dumps(header).encode(), bytes(data)), why)
    for name, header, data, why in (
        ("one key more", {"w": {**entry(), "x": 1}}, 8, "no more"),
        ("unknown type", {"w": entry(dtype="F31")}, 8, "unknown type"),
        ("no type", {"w": entry(dtype=["F32"])}, 8, "unknown type"),
        ("below a byte", {"w": entry(dtype="F4")}, 8, "below a byte"),
        ("six bits", {"w": entry(dtype="F6_E2M3")}, 8, "below a byte"),
        ("negative", {"w": entry((-2,))}, 8, "whole numbers"),
        ("true", {"w": entry((True, 2))}, 8, "whole numbers"),
        ("no list", {"w": entry(2)}, 8, "whole numbers"),
        ("many dimensions", {"w": entry((1,) * 65)}, 8, "whole numbers"),
        ("overflow", {"w": entry((2**62, 2**62), (0, 8))}, 8, "counted"),
        ("overflow of none", {"w": entry((0, 2**62, 2**62), (0, 0))}, 0, "counted"),
        ("one offset", {"w": entry(offsets=(8,))}, 8, "beginning and an end"),
        ("backwards", {"w": entry(offsets=(8, 0))}, 8, "beginning and an end"),
        ("too many bytes", {"w": entry((1,))}, 8, "want 4"),
        ("too few bytes", {"w": entry((3,))}, 8, "want 12"),
        ("beyond the data", {"w": entry()}, 4, "truncated"),
        ("bytes after it", {"w": entry()}, 9, "belong to none"),
        ("a hole at the start", {"w": entry(offsets=(4, 12))}, 12, "hole"),
        ("a hole", {"v": entry(), "w": entry(offsets=(12, 20))}, 20, "hole"),
        ("overlap", {"v": entry(), "w": entry(offsets=(4, 12))}, 12, "overlaps"),
        ("the same bytes", {"v": entry(), "w": entry()}, 8, "overlaps"),
        ("metadata of numbers", {"__metadata__": {"a": 1}, "w": entry()}, 8, "mapping of texts"),
        ("metadata as a list", {"__metadata__": ["a"], "w": entry()}, 8, "mapping of texts"),
        ("a long name", {"w" * 5_000: entry()}, 8, "5,000 characters"),
    )
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_as_the_format_says_is_refused(name: str, tmp_path: Path) -> None:
    data, why = REFUSED[name]
    (tmp_path / "w.safetensors").write_bytes(data)
    assert why in said(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "header",
    [
        {"w": entry(), "__metadata__": {"format": "pt"}},
        {"w": entry(), "__metadata__": None},
        {"b": entry(offsets=(8, 16)), "a": entry(), "e": entry((0,), (8, 8))},
    ],
)
def test_what_the_library_takes_is_taken(header: dict[str, Any], tmp_path: Path) -> None:
    size = max(one["data_offsets"][1] for one in header.values() if one and "dtype" in one)
    text = json.dumps(header).encode() + b"   "
    data = torch.arange(size // 4, dtype=torch.float32).numpy().tobytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes(of_bytes(text, data))
    theirs = load_file(path)
    mine = open_checkpoint(path).weights
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_long_metadata_is_cut(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"tags": "x" * 100_000})
    with looked_into(tmp_path / "w.safetensors") as opened:
        assert len(opened.contents.tree["tags"]) < 66_000
        assert live(opened)["state_dict"]["w"].tolist() == [1, 1]
