"""Safetensors files whose header lies, or is no header."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Either, Read, Refused, Shelf
from tests.hostile.safetensors_files import safetensors, with_header

SHELF = Shelf("safetensors headers")


def _written(bait: Bait, data: bytes) -> Path:
    bait.file("model.safetensors").write_bytes(data)
    return bait.file("model.safetensors")


def _entry(
    dtype: Any = "F32", shape: Any = (4,), offsets: Any = (0, 16), **more: Any
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def _add(id: str, must: Refused | Read | Either, header: Any, data: bytes = bytes(16)) -> None:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    SHELF.add(id, must, lambda bait: _written(bait, with_header(told, data)))


LIES = Refused(
    ("safetensors", "offsets", "shape", "type", "the tensor", "its tensors", "metadata", "belong")
)

for _id, _header in {
    "end-before-begin": {"a": _entry(offsets=(16, 0))},
    "end-past-the-file": {"a": _entry(shape=(8,), offsets=(0, 32))},
    "begin-negative": {"a": _entry(offsets=(-16, 0))},
    "begin-huge": {"a": _entry(offsets=(2**63, 2**63 + 16))},
    "begin-that-wraps": {"a": _entry(offsets=(2**64 - 16, 2**64))},
    "offsets-of-floats": {"a": _entry(offsets=(0.0, 16.0))},
    "offsets-of-texts": {"a": _entry(offsets=("0", "16"))},
    "offsets-of-booleans": {"a": _entry(dtype="U8", shape=(1,), offsets=(False, True))},
    "offsets-too-few": {"a": _entry(offsets=(0,))},
    "offsets-too-many": {"a": _entry(offsets=(0, 16, 32))},
    "offsets-a-number": {"a": _entry(offsets=16)},
    "offsets-none": {"a": _entry(offsets=None)},
    "shape-too-large": {"a": _entry(shape=(5,))},
    "shape-too-small": {"a": _entry(shape=(3,))},
    "shape-negative": {"a": _entry(shape=(-2, -2))},
    "shape-of-floats": {"a": _entry(shape=(4.0,))},
    "shape-of-booleans": {"a": _entry(shape=(True, 4))},
    "shape-of-texts": {"a": _entry(shape=("4",))},
    "shape-a-text": {"a": _entry(shape="4")},
    "shape-a-number": {"a": _entry(shape=4)},
    "shape-none": {"a": _entry(shape=None)},
    "shape-nested": {"a": _entry(shape=[[4]])},
    "shape-overflows": {"a": _entry(shape=(2**32, 2**32, 4))},
    "shape-overflows-to-four": {"a": _entry(shape=(2**62, 4, 4))},
    "shape-of-ten-thousand-ones": {"a": _entry(shape=[1] * 10_000 + [4])},
    "shape-of-exabytes-but-empty": {"a": _entry(shape=(2**62, 2**62, 0, 4))},
    "type-unknown": {"a": _entry(dtype="F33")},
    "type-hostile": {"a": _entry(dtype="\x1b[2J\nF32")},
    "type-of-torch": {"a": _entry(dtype="float32")},
    "type-lower-case": {"a": _entry(dtype="f32")},
    "type-a-number": {"a": _entry(dtype=32)},
    "type-a-list": {"a": _entry(dtype=["F32"])},
    "type-none": {"a": _entry(dtype=None)},
    "type-of-other-size": {"a": _entry(dtype="F64")},
    "overlap": {"a": _entry(shape=(3,), offsets=(0, 12)), "b": _entry(shape=(2,), offsets=(8, 16))},
    "the-same-bytes-twice": {"a": _entry(), "b": _entry()},
    "hole-at-the-start": {"a": _entry(shape=(3,), offsets=(4, 16))},
    "hole-within": {
        "a": _entry(shape=(1,), offsets=(0, 4)),
        "b": _entry(shape=(1,), offsets=(12, 16)),
    },
    "hole-at-the-end": {"a": _entry(shape=(3,), offsets=(0, 12))},
    "entry-a-list": {"a": [1, 2]},
    "entry-a-text": {"a": "F32"},
    "entry-none": {"a": None},
    "entry-without-a-type": {"a": {"shape": [4], "data_offsets": [0, 16]}},
    "entry-without-a-shape": {"a": {"dtype": "F32", "data_offsets": [0, 16]}},
    "entry-without-offsets": {"a": {"dtype": "F32", "shape": [4]}},
    "entry-with-more": {"a": _entry(evil=1)},
    "metadata-a-list": {"__metadata__": [1], "a": _entry()},
    "metadata-a-text": {"__metadata__": "x", "a": _entry()},
    "metadata-of-numbers": {"__metadata__": {"a": 1}, "a": _entry()},
    "metadata-nested": {"__metadata__": {"a": {"b": "c"}}, "a": _entry()},
    "a-list": [1, 2],
    "a-text": "safetensors",
    "duplicate-names": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
    b'"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
    "duplicate-metadata": b'{"__metadata__":{"a":"1"},"__metadata__":{"a":"2"},'
    b'"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "duplicate-names-within": b'{"a":{"dtype":"F32","dtype":"I32","shape":[4],'
    b'"data_offsets":[0,16]}}',
    "duplicate-by-escapes": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
    b'"\\u0061":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}',
    "not-a-number": b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,16]}}',
    "infinity": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,Infinity]}}',
    "exponent": b'{"a":{"dtype":"F32","shape":[4e0],"data_offsets":[0,1.6e1]}}',
    "comment": b'{"a":{"dtype":"F32",/* x */"shape":[4],"data_offsets":[0,16]}}',
    "trailing-comma": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},}',
    "cut-short": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,',
    "two-objects": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}{}',
    "newlines-for-a-name": b'{"a\n":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "not-utf8": b'{"a\xff\xfe":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "overlong-utf8": b'{"\xc0\xaf":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "surrogate-in-utf8": b'{"\xed\xa0\x80":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "deep-lists": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep-objects": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deep-and-cut": b'{"a":' * 1_000_000,
    "number-of-100000-digits": b'{"a":{"dtype":"F32","shape":['
    + b"9" * 100_000
    + b'],"data_offsets":[0,16]}}',
    "only-a-brace": b"{",
}.items():
    _add(_id, LIES, _header)


@SHELF.refused("safetensors")
def longer_than_the_file(bait: Bait) -> Path:
    return _written(bait, with_header(b"{}", b"", 1_000_000))


@SHELF.refused("safetensors", "not a checkpoint")
def longer_than_any(bait: Bait) -> Path:
    return _written(bait, with_header(b"{}", b"", 2**63 - 1))


@SHELF.refused("safetensors", "not a checkpoint")
def longer_than_allowed(bait: Bait) -> Path:
    """A file of a gigabyte that has no bytes on the disk, all of it header."""
    path = _written(bait, with_header(b'{"a":', b"", 1 << 30))
    os.truncate(path, (1 << 30) + 8)
    return path


@SHELF.refused("tensors", "memory", "longer", "ended", slow=True)
def a_hundred_megabytes_of_header(bait: Bait) -> Path:
    """As long as is allowed, and every byte of it an entry."""
    one = b'"%07d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    header = b"{" + b"".join(one % number for number in range(1_600_000))
    return _written(bait, with_header(header[:-1] + b"}"))


@SHELF.refused("safetensors", "memory")
def fifty_megabytes_of_blanks(bait: Bait) -> Path:
    header = b"{" + b" " * (50 << 20) + b'"a":'
    return _written(bait, with_header(header))


@SHELF.refused("safetensors", "not a checkpoint")
def of_no_length(bait: Bait) -> Path:
    return _written(bait, struct.pack("<Q", 0) + bytes(16))


@SHELF.refused("safetensors", "not a checkpoint")
def of_one_byte(bait: Bait) -> Path:
    return _written(bait, struct.pack("<Q", 1) + b"{" + bytes(16))


@SHELF.refused("not a checkpoint", "safetensors")
def starts_with_a_blank(bait: Bait) -> Path:
    header = b' {"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    return _written(bait, with_header(header, bytes(16)))


@SHELF.refused("not a checkpoint", "safetensors")
def starts_with_a_mark_of_order(bait: Bait) -> Path:
    header = b'\xef\xbb\xbf{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    return _written(bait, with_header(header, bytes(16)))


@SHELF.refused("not a checkpoint", "safetensors")
def in_utf_16(bait: Bait) -> Path:
    header = '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.encode("utf-16-le")
    return _written(bait, with_header(header, bytes(16)))


@SHELF.refused("state dict", "tensors", "no")
def no_tensors(bait: Bait) -> Path:
    return _written(bait, with_header(b"{}"))


@SHELF.refused("beyond", "after", "trailing", "end")
def trailing_bytes(bait: Bait) -> Path:
    return _written(bait, safetensors({"a": ("F32", (1,), bytes(4))}) + b"x")


for _share in (3, 20, 50, 90, 99):
    SHELF.add(
        f"cut-to-{_share}-percent",
        Refused(("truncated", "damaged", "not a checkpoint", "safetensors")),
        lambda bait, share=_share: _cut(bait, share),
    )


def _cut(bait: Bait, share: int) -> Path:
    whole = safetensors({"a": ("F32", (64,), bytes(256))}, {"format": "pt"})
    return _written(bait, whole[: len(whole) * share // 100])


@SHELF.read()
def padded_with_blanks(bait: Bait) -> Path:
    """As the library writes them, to a multiple of eight."""
    header = json.dumps({"a": _entry()}).encode()
    return _written(bait, with_header(header + b" " * (-len(header) % 8), bytes(16)))


@SHELF.read()
def out_of_order(bait: Bait) -> Path:
    """Names in one order and bytes in another, without holes."""
    header = {
        "a": _entry(shape=(2,), offsets=(8, 16)),
        "b": _entry(shape=(2,), offsets=(0, 8)),
    }
    return _written(bait, with_header(json.dumps(header).encode(), bytes(16)))


@SHELF.read()
def empty_tensor(bait: Bait) -> Path:
    header = {"a": _entry(), "b": _entry(shape=(0, 7), offsets=(16, 16))}
    return _written(bait, with_header(json.dumps(header).encode(), bytes(16)))


@SHELF.read()
def scalar(bait: Bait) -> Path:
    return _written(bait, safetensors({"a": ("F32", (), bytes(4))}))


@SHELF.read()
def twenty_thousand_tensors(bait: Bait) -> Path:
    many = {f"layer.{n}": ("U8", (1,), b"\1") for n in range(20_000)}
    header, data = {}, b"\1" * len(many)
    for place, name in enumerate(many):
        header[name] = {"dtype": "U8", "shape": [1], "data_offsets": [place, place + 1]}
    return _written(bait, with_header(json.dumps(header).encode(), data))


for _name, _bytes in {
    "BOOL": 4,
    "U8": 4,
    "I8": 4,
    "U16": 8,
    "I16": 8,
    "U32": 16,
    "I32": 16,
    "U64": 32,
    "I64": 32,
    "F16": 8,
    "BF16": 8,
    "F32": 16,
    "F64": 32,
    "F8_E4M3": 4,
    "F8_E5M2": 4,
    "C64": 32,
}.items():
    SHELF.add(
        f"type-{_name}",
        Read(),
        lambda bait, name=_name, size=_bytes: _written(
            bait, safetensors({"a": (name, (4,), bytes(size))})
        ),
    )
