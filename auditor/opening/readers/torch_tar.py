"""The tar files of torch.save in early 2017: storages, tensors, and a pickle that names them."""

import io
import struct
import tarfile
from io import BufferedReader
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS
from auditor.opening.meaning import Meaning
from auditor.opening.pickled import StandIn, nothing, read_pickle
from auditor.opening.readers.torch_zip import LONGEST_PICKLE
from auditor.opening.reading import Reading
from auditor.opening.tensors import Dense, Storage, dtype_of_storage

MEMBERS = ("sys_info", "pickle", "storages", "tensors")

MOST_THINGS = 100_000
"""Storages, and tensors, of one file."""


def read(reading: Reading) -> tuple[str, Any]:
    """Return what torch.save put into a tar file; nothing of it is unpacked.

    Raises:
        InputError: it is no such file, is damaged, or what stands in it is refused.
    """
    places = _places(reading)
    if "sys_info" in places:
        system = read_pickle(_part(reading, places["sys_info"]), nothing)
        if not isinstance(system, dict) or not system.get("little_endian"):
            raise InputError("written in another byte order")
    known: dict[int, Any] = {}
    _storages(reading, places["storages"], known)
    _tensors(reading, places["tensors"], known)

    def thing(pid: Any) -> Any:
        first = pid[0] if isinstance(pid, tuple) and pid else None
        if isinstance(first, type) and issubclass(first, StandIn):
            return first  # beside it stands the source of the class, which nothing runs
        number = int(pid) if isinstance(pid, str) and pid.isdecimal() and len(pid) < 20 else pid
        if type(number) is not int or number not in known:
            raise InputError("its pickle asks for what is neither tensor nor storage")
        return known[number]

    held = read_pickle(_part(reading, places["pickle"]), thing, asked=reading.classes)
    return "torch tar", Meaning(reading).of(held)


def _places(reading: Reading) -> dict[str, tuple[int, int]]:
    """Return where the bytes of the tar file's members lie, and how many they are."""
    found: dict[str, tuple[int, int]] = {}
    reading.first.seek(0)
    try:
        with tarfile.open(fileobj=reading.first, mode="r:") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name in found or not member.isreg() or member.issparse():
                    raise InputError(f"a tar file with a member too many: {clean_text(name, 120)}")
                found[name] = member.offset_data, member.size
                if len(found) > len(MEMBERS):
                    break
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"a truncated or damaged tar file: {clean_text(error, 120)}") from error
    if found.keys() | {"sys_info"} != set(MEMBERS):
        raise InputError(
            "not a checkpoint: a tar file that torch.save did not write; it holds "
            f"{listed(list(found), 4) or 'nothing'}"
        )
    for start, size in found.values():
        if start + size > reading.size:
            raise InputError("the checkpoint is truncated: its tar file is cut")
    return found


def _part(reading: Reading, place: tuple[int, int]) -> BufferedReader:
    start, size = place
    if size > LONGEST_PICKLE:
        raise InputError("its pickle is larger than any checkpoint's")
    reading.first.seek(start)
    return io.BufferedReader(io.BytesIO(reading.first.read(size)))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_THINGS:
        raise InputError("its number of storages or tensors is none")
    return value


def _storages(reading: Reading, place: tuple[int, int], known: dict[int, Any]) -> None:
    """Read the storages: each a pickle that says what it is, a count, and its values."""
    file, (start, size) = reading.first, place
    file.seek(start)
    for _ in range(_count(read_pickle(file, nothing))):
        key, _, kind = _three(read_pickle(file, nothing))
        dtype = dtype_of_storage(kind)
        (count,) = struct.unpack("<q", _exactly(file, 8))
        length = count * ITEM_BYTES.get(dtype, 1)
        if count < 0 or file.tell() + length > start + size:
            raise InputError("a storage reaches beyond its part of the tar file")
        _new(known, key, Storage(dtype, reading.block(0, file.tell(), length)))
        file.seek(length, 1)
    views = read_pickle(file, nothing)
    for view in views if isinstance(views, list) else ():
        if not isinstance(view, tuple | list) or [type(part) for part in view] != [int] * 4:
            raise InputError("a part of a storage that is not described as one")
        target, root, offset, count = view
        if not isinstance(known.get(root), Storage):
            raise InputError("a part of a storage that is not there")
        whole, item = known[root], ITEM_BYTES.get(known[root].dtype, 1)
        block = reading.blocks[whole.block]
        if offset < 0 or count < 0 or (offset + count) * item > block.bytes:
            raise InputError("a part of a storage lies outside it")
        place_of = reading.block(0, block.offset + offset * item, count * item)
        _new(known, target, Storage(whole.dtype, place_of))


def _tensors(reading: Reading, place: tuple[int, int], known: dict[int, Any]) -> None:
    """Read the tensors: each a pickle that names its storage, then shape, strides and offset."""
    file = _part(reading, place)
    for _ in range(_count(read_pickle(file, nothing))):
        key, storage, _ = _three(read_pickle(file, nothing))
        if type(storage) is not int or not isinstance(known.get(storage), Storage):
            raise InputError("a tensor whose storage is not there")
        (dimensions, _) = struct.unpack("<ii", _exactly(file, 8))
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            raise InputError("a tensor of a shape that is none")
        numbers = struct.unpack(f"<{2 * dimensions + 1}q", _exactly(file, 16 * dimensions + 8))
        shape, strides = numbers[:dimensions], numbers[dimensions:-1]
        _new(known, key, Dense(known[storage], numbers[-1], shape, strides))


def _three(value: Any) -> tuple[Any, Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise InputError("a storage or a tensor that is not described as one")
    return value[0], value[1], value[2]


def _new(known: dict[int, Any], key: Any, thing: Any) -> None:
    if type(key) is not int or key in known:
        raise InputError("two storages or tensors of the same number")
    known[key] = thing


def _exactly(file: BufferedReader, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise InputError("the checkpoint is truncated: its tar file is cut")
    return data
