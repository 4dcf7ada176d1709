"""The containers of torch.save, written byte by byte around any pickle: zip, legacy and tar."""

import io
import math
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from tests.hostile.opcodes import Raw, called, named, ops, persistent, pickled

FOUR = struct.pack("<4f", 1.0, 2.0, 3.0, 4.0)
"""The bytes of the storage "0" of every file, unless it says otherwise: four floats."""

MAGIC = 0x1950A86A20F9469CFC6C


def storage(key: Any = "0", count: Any = 4, kind: str = "FloatStorage", at: Any = "cpu") -> Raw:
    """Return opcodes for a storage, as a zip file's pickle names it."""
    return persistent(("storage", named("torch", kind), key, at, count))


def old_storage(
    key: Any = "0", count: Any = 4, kind: str = "FloatStorage", view: Any = None
) -> Raw:
    """Return opcodes for a storage, as a legacy file's pickle names it."""
    return persistent(("storage", named("torch", kind), key, "cpu", count, view))


def ordered(*items: tuple[Any, Any]) -> Raw:
    """Return opcodes for an OrderedDict."""
    empty = called(named("collections", "OrderedDict"))
    if not items:
        return empty
    return Raw(empty + b"(" + b"".join(ops(key) + ops(value) for key, value in items) + b"u")


def tensor(
    shape: Any = (2, 2),
    strides: Any = None,
    offset: Any = 0,
    of: Raw | None = None,
    hooks: Any = None,
    *more: Any,
) -> Raw:
    """Return opcodes for a tensor: a plain one, unless told to lie."""
    if strides is None:
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return called(
        named("torch._utils", "_rebuild_tensor_v2"),
        of if of is not None else storage(),
        offset,
        shape,
        strides,
        False,
        ordered() if hooks is None else hooks,
        *more,
    )


def state(**beside: Any) -> dict[str, Any]:
    """Return a training dict: a state dict of one sound weight, and what stands beside it."""
    return {"state_dict": {"layer.weight": tensor()}, **beside}


def torch_zip(
    path: Path,
    held: Any,
    storages: dict[str, bytes] | None = None,
    *,
    root: str = "archive",
    byteorder: bytes | None = b"little",
    more: dict[str, bytes] | None = None,
    compressed: bool = False,
) -> Path:
    """Write a zip file as torch.save does; `held` is a value, opcodes, or a whole pickle."""
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    whole = held if isinstance(held, bytes) and not isinstance(held, Raw) else pickled(held)
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr(f"{root}/data.pkl", whole)
        if byteorder is not None:
            archive.writestr(f"{root}/byteorder", byteorder)
        for key, data in ({"0": FOUR} if storages is None else storages).items():
            archive.writestr(f"{root}/data/{key}", data)
        archive.writestr(f"{root}/version", b"3\n")
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return path


def legacy(
    path: Path,
    held: Any,
    storages: dict[str, bytes] | None = None,
    *,
    counts: dict[str, int] | None = None,
    keys: Any = None,
    start: tuple[Any, Any, Any] = (MAGIC, 1001, {"little_endian": True, "protocol_version": 1001}),
    after: bytes = b"",
) -> Path:
    """Write a file as torch.save did before version 1.6; `counts` are what storages claim."""
    parts = {"0": FOUR} if storages is None else storages
    whole = held if isinstance(held, bytes) and not isinstance(held, Raw) else pickled(held)
    data = b"".join(map(pickled, start)) + whole
    data += pickled(sorted(parts) if keys is None else keys)
    for key in sorted(parts):
        count = (counts or {}).get(key, len(parts[key]) // 4)
        data += struct.pack("<q", count) + parts[key]
    path.write_bytes(data + after)
    return path


def old_state(**beside: Any) -> dict[str, Any]:
    """Return what `state` does, for a legacy file."""
    return {"state_dict": {"layer.weight": tensor(of=old_storage())}, **beside}


def tarred(
    path: Path,
    held: Any = None,
    *,
    storages: bytes | None = None,
    tensors: bytes | None = None,
    more: dict[str, bytes] | None = None,
) -> Path:
    """Write a tar file as torch.save did in 2017: one tensor of four values, unless it lies."""
    if held is None:
        held = {"layer.weight": persistent("7")}
    if storages is None:
        storages = tar_storages(4)
    if tensors is None:
        tensors = tar_tensors((2, 2), (2, 1), 0)
    members = {"storages": storages, "tensors": tensors, "pickle": pickled(held), **(more or {})}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            archive.addfile(facts, io.BytesIO(data))
    return path


def tar_storages(count: int) -> bytes:
    """Return the member `storages` of a tar file: one of four values, that claims `count`."""
    told = pickled((3, "cpu", named("torch", "FloatStorage")))
    return pickled(1) + told + struct.pack("<q", count) + FOUR + pickled([])


def tar_tensors(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> bytes:
    """Return the member `tensors` of a tar file: one tensor, of storage 3."""
    numbers = struct.pack(f"<{2 * len(shape) + 1}q", *shape, *strides, offset)
    told = pickled((7, 3, named("torch", "FloatTensor")))
    return pickled(1) + told + struct.pack("<ii", len(shape), 0) + numbers
