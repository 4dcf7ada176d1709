"""Tensors that lie about their size, their type or their place, and odd ones that do not."""

import struct
from pathlib import Path
from typing import Any

from tests.hostile.cases import Bait, Either, Read, Refused, Shelf
from tests.hostile.opcodes import Raw, called, named, persistent
from tests.hostile.torch_files import (
    MAGIC,
    legacy,
    old_storage,
    ordered,
    storage,
    tar_storages,
    tar_tensors,
    tarred,
    tensor,
    torch_zip,
)

SHELF = Shelf("tensors")

LIES = Refused(("tensor", "storage", "shape", "stride", "rebuild", "itself"))

SOUND = {"sound.weight": tensor()}


def _zip(bait: Bait, weight: Any, storages: dict[str, bytes] | None = None) -> Path:
    return torch_zip(bait.file(), {"layer.weight": weight, **SOUND}, storages)


LYING_SHAPES: dict[str, Raw] = {
    "larger-than-its-storage": tensor((2, 3)),
    "one-value-beyond": tensor((4,), (1,), 1),
    "offset-beyond": tensor((1,), (1,), 4),
    "offset-huge": tensor((1,), (1,), 2**62),
    "offset-negative": tensor((2,), (1,), -1),
    "offset-beyond-64-bits": tensor((1,), (1,), 2**70),
    "offset-is-a-text": tensor((1,), (1,), "0"),
    "offset-is-none": tensor((1,), (1,), None),
    "offset-is-true": tensor((1,), (1,), True),
    "offset-is-a-float": tensor((1,), (1,), 0.0),
    "shape-negative": tensor((-2, -2), (2, 1)),
    "shape-of-negative-one": tensor((-1,), (1,)),
    "shape-is-a-text": tensor("22", (2, 1)),
    "shape-is-a-number": tensor(4, (1,)),
    "shape-is-a-dict": tensor({2: 2}, (1,)),
    "shape-of-floats": tensor((2.0, 2.0), (2, 1)),
    "shape-of-booleans": tensor((True, True), (1, 1)),
    "shape-of-tensors": tensor((tensor(), 2), (2, 1)),
    "shape-none": tensor((None,), (1,)),
    "product-overflows-64-bits": tensor((2**32, 2**32), (0, 0)),
    "product-overflows-to-zero": tensor((2**32, 2**32, 2**32), (0, 0, 0)),
    "product-overflows-to-four": tensor((2**62, 2**62, 4), (0, 0, 1)),
    "dimension-of-2-to-the-63": tensor((2**63,), (0,)),
    "dimension-of-400-digits": tensor((10**400,), (0,)),
    "strides-negative": tensor((2, 2), (-2, 1), 3),
    "strides-beyond": tensor((2, 2), (100, 1)),
    "strides-of-2-to-the-62": tensor((2, 2), (2**62, 2**62)),
    "strides-overflow": tensor((5, 2), (2**62, 1)),
    "strides-too-few": tensor((2, 2), (2,)),
    "strides-too-many": tensor((2, 2), (2, 2, 1)),
    "strides-of-floats": tensor((2, 2), (2.0, 1.0)),
    "strides-none": called(
        named("torch._utils", "_rebuild_tensor_v2"), storage(), 0, (2, 2), None, False, ordered()
    ),
    "strides-of-zero-four-terabytes": tensor((2**40,), (0,)),
    "strides-of-zero-once-more-than-held": tensor((5,), (0,)),
    "strides-of-one-overlapping": tensor((4, 4), (1, 0)),
    "ten-thousand-dimensions": tensor((1,) * 10_000, (1,) * 10_000),
    "sixty-five-dimensions": tensor((1,) * 65, (1,) * 65),
    "arguments-missing": called(named("torch._utils", "_rebuild_tensor_v2"), storage()),
    "arguments-none-at-all": called(named("torch._utils", "_rebuild_tensor_v2")),
    "arguments-too-many": tensor((2, 2), (2, 1), 0, None, None, None, 1, 2, 3),
    "storage-is-a-number": tensor(of=Raw(b"K\x01")),
    "storage-is-a-tensor": tensor(of=tensor()),
    "storage-is-a-list": tensor(of=Raw(b"]")),
    "storage-without-a-type": tensor(of=storage(kind="UntypedStorage", count=16)),
    "parameter-of-a-text": called(
        named("torch._utils", "_rebuild_parameter"), "x", True, ordered()
    ),
    "parameter-of-nothing": called(named("torch._utils", "_rebuild_parameter")),
    "parameter-of-a-parameter-of-itself": Raw(
        b"]r\x09\x00\x00\x00("
        + named("torch._utils", "_rebuild_parameter")
        + b"(j\x09\x00\x00\x00\x88"
        + ordered()
        + b"tRe"
    ),
}
for _id, _weight in LYING_SHAPES.items():
    SHELF.add(_id, LIES, lambda bait, weight=_weight: _zip(bait, weight))


LYING_STORAGES: dict[str, Raw] = {
    "count-too-large": storage(count=5),
    "count-too-small": storage(count=3),
    "count-of-other-type": storage(kind="DoubleStorage"),
    "count-of-four-billion": storage(count=2**32 + 4),
    "count-that-wraps-round": storage(count=2**62 + 4),
    "storage-of-an-unknown-kind": storage(kind="HugeStorage"),
    "storage-of-no-kind": storage(kind="Storage"),
    "storage-of-another-module": persistent(
        ("storage", named("nobody", "FloatStorage"), "0", "cpu", 4)
    ),
    "storage-of-no-record": storage(key="77"),
}
for _id, _storage in LYING_STORAGES.items():
    SHELF.add(
        _id,
        Refused(("storage", "record")),
        lambda bait, of=_storage: torch_zip(bait.file(), {"layer.weight": tensor(of=of)}),
    )


@SHELF.refused("storage")
def one_storage_of_two_types(bait: Bait) -> Path:
    """Two tensors call the same record floats and whole numbers."""
    other = tensor(of=storage(kind="IntStorage"))
    return torch_zip(bait.file(), {"a": tensor(), "b": other})


# What rebuilds tensors of other kinds.


def _rebuilt(function: str, *values: Any, module: str = "torch._utils") -> Raw:
    return called(named(module, function), *values)


BYTES = storage(kind="UntypedStorage", count=16)


def _v3(dtype: str, count: int, shape: Any = (2, 2), strides: Any = (2, 1)) -> Raw:
    """Return opcodes for a tensor whose type stands beside an untyped storage."""
    of = storage(kind="UntypedStorage", count=count)
    kind = named("torch", dtype)
    return _rebuilt("_rebuild_tensor_v3", of, 0, shape, strides, False, ordered(), kind)


for _name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"):
    SHELF.add(
        _name.replace("_", "-"),
        Read(),
        lambda bait, name=_name: torch_zip(
            bait.file(), {"layer.weight": _v3(name, 4)}, {"0": b"\x38" * 4}
        ),
    )
for _name, _size in (("uint16", 2), ("uint32", 4), ("uint64", 8)):
    SHELF.add(
        _name,
        Read(),
        lambda bait, name=_name, size=_size: torch_zip(
            bait.file(), {"layer.weight": _v3(name, 4 * size)}, {"0": bytes(4 * size)}
        ),
    )
for _name, _kind, _size in (
    ("bool", "BoolStorage", 1),
    ("int8", "CharStorage", 1),
    ("int64", "LongStorage", 8),
    ("float16", "HalfStorage", 2),
    ("bfloat16", "BFloat16Storage", 2),
    ("float64", "DoubleStorage", 8),
    ("complex64", "ComplexFloatStorage", 8),
    ("complex128", "ComplexDoubleStorage", 16),
):
    SHELF.add(
        _name,
        Read(),
        lambda bait, kind=_kind, size=_size: torch_zip(
            bait.file(), {"layer.weight": tensor(of=storage(kind=kind))}, {"0": bytes(4 * size)}
        ),
    )


@SHELF.either()
def boolean_of_other_bytes(bait: Bait) -> Path:
    """Bytes of a truth value that are neither 0 nor 1."""
    held = {"layer.weight": tensor(of=storage(kind="BoolStorage"))}
    return torch_zip(bait.file(), held, {"0": b"\x00\x01\x02\xff"})


OTHER_KINDS: dict[str, tuple[Raw, Refused | Read | Either]] = {
    "type-unknown": (_v3("float3", 16), LIES),
    "type-is-a-function": (
        _rebuilt(
            "_rebuild_tensor_v3", BYTES, 0, (2, 2), (2, 1), False, ordered(), named("os", "system")
        ),
        Refused(("os.system",)),
    ),
    "type-is-a-text": (
        _rebuilt("_rebuild_tensor_v3", BYTES, 0, (2, 2), (2, 1), False, ordered(), "float32"),
        LIES,
    ),
    "type-larger-than-its-storage": (_v3("float64", 16), LIES),
    "quantised-well": (
        _rebuilt(
            "_rebuild_qtensor",
            storage(kind="QInt8Storage", count=16),
            0,
            (4, 4),
            (4, 1),
            (named("torch", "per_tensor_affine"), 0.1, 0),
            False,
            ordered(),
        ),
        Either(),
    ),
    "quantised-beyond-its-storage": (
        _rebuilt(
            "_rebuild_qtensor",
            storage(kind="QInt8Storage", count=16),
            0,
            (400, 400),
            (400, 1),
            (named("torch", "per_tensor_affine"), 0.1, 0),
            False,
            ordered(),
        ),
        LIES,
    ),
    "quantised-by-a-function": (
        _rebuilt(
            "_rebuild_qtensor",
            storage(kind="QInt8Storage", count=16),
            0,
            (4, 4),
            (4, 1),
            (named("os", "system"), "true"),
            False,
            ordered(),
        ),
        Refused(("os.system", "quantised")),
    ),
    "meta": (
        _rebuilt(
            "_rebuild_meta_tensor_no_storage", named("torch", "float32"), (2, 2), (2, 1), False
        ),
        Refused(("meta", "tensor")),
    ),
    "meta-of-exabytes": (
        _rebuilt(
            "_rebuild_meta_tensor_no_storage", named("torch", "float32"), (2**60,), (1,), False
        ),
        Refused(("meta", "tensor")),
    ),
    "nested": (
        _rebuilt("_rebuild_nested_tensor", tensor((4,)), tensor(), tensor(), tensor()),
        Refused(("nested", "tensor")),
    ),
    "wrapper-subclass": (
        _rebuilt(
            "_rebuild_wrapper_subclass",
            named("nobody", "Tensor"),
            named("torch", "float32"),
            (2**40,),
            (0,),
            0,
            named("torch", "strided"),
            "cpu",
            False,
        ),
        Refused(("tensor", "subclass")),
    ),
    "from-a-type-that-lies": (
        _rebuilt(
            "_rebuild_from_type_v2",
            named("torch._utils", "_rebuild_tensor_v2"),
            named("nobody", "Tensor"),
            (storage(), 0, (2, 3), (3, 1), False, ordered()),
            {},
            module="torch._tensor",
        ),
        LIES,
    ),
    "parameter-that-lies": (
        _rebuilt("_rebuild_parameter", tensor((2**40,), (0,)), True, ordered()),
        LIES,
    ),
    "from-numpy-that-lies": (
        _rebuilt(
            "_rebuild_device_tensor_from_numpy",
            "not an array",
            named("torch", "float32"),
            "x",
            False,
        ),
        LIES,
    ),
    "device-unknown": (tensor(of=storage(at="/dev/zero")), Either()),
    "device-is-a-list": (tensor(of=storage(at=[])), Either()),
    "xla": (
        _rebuilt("_rebuild_xla_tensor", [1.0], named("torch", "float32"), "xla:0", False),
        Refused(("tensor", "xla")),
    ),
}
for _id, (_weight, _must) in OTHER_KINDS.items():
    SHELF.add(
        _id,
        _must,
        lambda bait, weight=_weight: torch_zip(bait.file(), {"layer.weight": weight}),
    )


@SHELF.read()
def shared_storage(bait: Bait) -> Path:
    held = {"a": tensor(), "b": tensor((2,), (1,), 2), "c": tensor((2, 2), (1, 2))}
    return torch_zip(bait.file(), held)


@SHELF.read()
def thousands_of_views(bait: Bait) -> Path:
    """Equal views of one storage are one copy, however many names they have."""
    held = {f"layer.{n}": tensor() for n in range(5_000)}
    return torch_zip(bait.file(), held)


@SHELF.refused("times", "more than", "bytes")
def views_that_come_to_gigabytes(bait: Bait) -> Path:
    """4 MB of values, and two thousand different views of nearly all of them."""
    count = 1 << 20
    of = storage(count=count)
    held = {f"layer.{n}": tensor((count - n,), (1,), n, of) for n in range(2_000)}
    return torch_zip(bait.file(), held, {"0": bytes(4 * count)})


@SHELF.read()
def scalars_and_empty_ones(bait: Bait) -> Path:
    held = {
        "scalar": tensor((), ()),
        "empty": tensor((0,), (1,)),
        "empty.matrix": tensor((0, 7), (7, 1)),
        "one": tensor((1, 1, 1), (1, 1, 1)),
    }
    return torch_zip(bait.file(), held)


@SHELF.either()
def empty_with_huge_sides(bait: Bait) -> Path:
    """No values at all, by sides that overflow."""
    return _zip(bait, tensor((0, 2**40, 2**40), (0, 0, 0)))


@SHELF.either()
def empty_beyond_its_storage(bait: Bait) -> Path:
    return _zip(bait, tensor((0,), (1,), 2**40))


@SHELF.either()
def expanded_within_its_storage(bait: Bait) -> Path:
    """A row shown twice by a stride of zero: as many values as the storage holds."""
    return _zip(bait, tensor((2, 2), (0, 1)))


@SHELF.read()
def not_numbers(bait: Bait) -> Path:
    values = struct.pack("<4f", float("nan"), float("inf"), -float("inf"), -0.0)
    return torch_zip(bait.file(), {"layer.weight": tensor()}, {"0": values})


@SHELF.read()
def on_a_gpu(bait: Bait) -> Path:
    return torch_zip(bait.file(), {"layer.weight": tensor(of=storage(at="cuda:7"))})


@SHELF.refused("storage", "bytes", "truncated", "long")
def legacy_takes_eight_gigabytes(bait: Bait) -> Path:
    """Under a thousand bytes; torch makes room for what it claims, and fills it with zeros."""
    held = {"layer.weight": tensor((2**31,), (1,), 0, old_storage(count=2**31))}
    return legacy(bait.file(), held, counts={"0": 2**31})


for _id, _count in {
    "count-negative": -4,
    "count-most-negative": -(2**63),
    "count-beyond-the-file": 5,
    "count-that-wraps": 2**62,
    "count-too-small": 3,
}.items():
    SHELF.add(
        f"legacy-{_id}",
        Refused(("storage", "truncated", "damaged", "long")),
        lambda bait, count=_count: legacy(
            bait.file(),
            {"layer.weight": tensor((2,), (1,), 0, old_storage(count=count))},
            counts={"0": count},
        ),
    )


@SHELF.refused("storage", "truncated", "damaged", "long")
def legacy_count_differs(bait: Bait) -> Path:
    held = {"layer.weight": tensor(of=old_storage())}
    return legacy(bait.file(), held, counts={"0": 3})


for _id, _keys in {
    "keys-are-a-number": 7,
    "keys-are-none": Raw(b"N"),
    "keys-are-a-text": "0",
    "keys-of-lists": [[]],
    "keys-missing": [],
    "keys-twice": ["0", "0"],
    "keys-of-nobody": ["0", "1"],
    "keys-are-a-dict": {"0": 1},
}.items():
    SHELF.add(
        f"legacy-{_id}",
        Refused(("storage", "damaged", "truncated", "keys")),
        lambda bait, keys=_keys: legacy(
            bait.file(), {"layer.weight": tensor(of=old_storage())}, keys=keys
        ),
    )


for _id, _start in {
    "magic-wrong": (7, 1001, {}),
    "magic-a-text": ("x", 1001, {}),
    "version-wrong": (MAGIC, 7, {"little_endian": True}),
    "facts-no-dict": (MAGIC, 1001, 5),
    "facts-big-endian": (MAGIC, 1001, {"little_endian": False, "protocol_version": 1001}),
}.items():
    SHELF.add(
        f"legacy-{_id}",
        Either()
        if "big" in _id or "facts" in _id
        else Refused(("torch.save", "version", "pickle")),
        lambda bait, start=_start: legacy(
            bait.file(), {"layer.weight": tensor(of=old_storage())}, start=start
        ),
    )


for _share in (10, 30, 50, 70, 90, 99):

    def _cut(bait: Bait, share: int = _share) -> Path:
        path = legacy(bait.file(), {"layer.weight": tensor(of=old_storage())})
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * share // 100])
        return path

    SHELF.add(f"legacy-cut-to-{_share}-percent", Refused(("truncated", "damaged", "storage")), _cut)


TAR = Refused(("tar", "tensor", "storage", "pickle"))

for _id, _arguments in {
    "shape-beyond": {"tensors": tar_tensors((2, 3), (3, 1), 0)},
    "shape-negative": {"tensors": tar_tensors((-2, -2), (2, 1), 0)},
    "strides-of-zero": {"tensors": tar_tensors((2**40,), (0,), 0)},
    "offset-beyond": {"tensors": tar_tensors((2, 2), (2, 1), 1)},
    "tensors-cut-short": {"tensors": tar_tensors((2, 2), (2, 1), 0)[:-9]},
    "tensors-empty": {"tensors": b""},
    "count-of-storages-huge": {"storages": b"\x80\x02J\xff\xff\xff\x7f."},
    "count-of-values-huge": {"storages": tar_storages(2**40)},
    "count-of-values-negative": {"storages": tar_storages(-4)},
    "storages-empty": {"storages": b""},
    "asks-for-nobody": {"held": {"layer.weight": persistent("99")}},
    "asks-by-a-word": {"held": {"layer.weight": persistent("seven")}},
    "asks-by-a-list": {"held": {"layer.weight": persistent([7])}},
}.items():
    SHELF.add(
        f"tar-{_id}",
        TAR,
        lambda bait, arguments=_arguments: tarred(bait.file(), **arguments),
    )


@SHELF.either()
def tar_name_leads_out(bait: Bait) -> Path:
    """Nothing is unpacked, so a member's name leads nowhere."""
    return tarred(bait.file(), more={"../../evil": b"x"})


@SHELF.refused("tar")
def tar_cut_short(bait: Bait) -> Path:
    path = tarred(bait.file())
    path.write_bytes(path.read_bytes()[:700])
    return path


@SHELF.refused("tar", "not a checkpoint")
def tar_of_other_things(bait: Bait) -> Path:
    import io
    import tarfile

    with tarfile.open(bait.file(), "w") as archive:
        facts = tarfile.TarInfo("photo.jpg")
        facts.size = 3
        archive.addfile(facts, io.BytesIO(b"abc"))
    return bait.file()
