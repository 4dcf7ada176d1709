"""The zip files of torch.save: a pickle, and a record for each storage."""

import io
import zipfile
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES
from auditor.opening.meaning import Meaning
from auditor.opening.pickled import read_pickle
from auditor.opening.readers import zipped
from auditor.opening.reading import Reading
from auditor.opening.tensors import Storage, dtype_of_storage

LONGEST_PICKLE = 128 << 20
"""Bytes of the largest pickle that is read: it holds structure, not values."""


def read(reading: Reading, archive: zipfile.ZipFile) -> tuple[str, Any]:
    """Return what torch.save put into a zip file whose entries were checked.

    Raises:
        InputError: it is no such file, or what stands in it is refused.
    """
    return "torch zip", Meaning(reading).of(unpickled(reading, archive))


def unpickled(reading: Reading, archive: zipfile.ZipFile) -> Any:
    """Return what the pickle of such a file holds, made of stand-ins, plain values and storages.

    Raises:
        InputError: it is no such file, or asks for what no checkpoint needs.
    """
    entries = {entry.filename: entry for entry in archive.infolist()}
    root = zipped.one_root(list(entries))
    pickle = entries.get(f"{root}data.pkl")
    if pickle is None or pickle.file_size > LONGEST_PICKLE:
        raise InputError("its pickle is missing, or larger than any checkpoint's")
    order = entries.get(f"{root}byteorder")
    if order is not None and (order.file_size > 16 or archive.read(order).strip() != b"little"):
        raise InputError("written on a machine of another byte order; save it anew on a usual one")
    data = archive.read(pickle)
    known: dict[str, tuple[Any, Storage]] = {}

    def storage(pid: Any) -> Storage:
        key, said = storage_asked(pid, 5)
        if key not in known:
            entry = entries.get(f"{root}data/{key}")
            if entry is None:
                raise InputError(f"the record of a storage is missing: {clean_text(key, 80)}")
            dtype, count = said
            if count * ITEM_BYTES.get(dtype, 1) != entry.file_size:
                raise InputError(f"the record {clean_text(key, 80)} is not as long as it should be")
            known[key] = said, Storage(dtype, block_of(reading, archive, entry))
        if known[key][0] != said:
            raise InputError(f"the storage {clean_text(key, 80)} is said to be two")
        return known[key][1]

    stream = io.BufferedReader(io.BytesIO(data))
    held = read_pickle(stream, storage, asked=reading.classes)
    if stream.tell() != len(data):
        raise InputError("bytes that belong to nothing stand behind its pickle")
    return held


def storage_asked(pid: Any, length: int) -> tuple[str, tuple[str, int]]:
    """Return the key of a storage that a pickle asks for, its type and its number of values.

    Raises:
        InputError: it asks for something else.
    """
    known = isinstance(pid, tuple) and len(pid) == length and pid[0] == "storage"
    if not known or type(pid[4]) is not int or pid[4] < 0 or not isinstance(pid[2], str | int):
        raise InputError("its pickle asks for something that is no storage")
    return str(pid[2]), (dtype_of_storage(pid[1]), pid[4])


def block_of(reading: Reading, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Return the block of an entry's bytes, unpacked where they are compressed."""
    if entry.compress_type == zipfile.ZIP_STORED:
        return reading.block(0, *zipped.bytes_of(reading, entry))
    with archive.open(entry) as stream:
        return reading.spilled_from(stream, entry.file_size)
