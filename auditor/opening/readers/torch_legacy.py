"""The files of torch.save before version 1.6: pickles one after the other, then the storages."""

import struct
from dataclasses import replace
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES
from auditor.opening.meaning import Meaning, Storage, dtype_of_storage
from auditor.opening.pickled import read_pickle
from auditor.opening.reading import Reading

MAGIC = 0x1950A86A20F9469CFC6C


def read(reading: Reading) -> tuple[str, Any]:
    """Return what torch.save put into a file of the old format."""
    file = reading.first

    def nothing(pid: Any) -> Any:
        raise InputError("its pickle asks for something that is no storage")

    if read_pickle(file, nothing) != MAGIC:
        raise InputError("a pickle that torch.save did not write")
    read_pickle(file, nothing)
    read_pickle(file, nothing)
    storages: dict[str, tuple[str, int]] = {}

    def storage(pid: Any) -> Storage:
        kind, asked, key, _, count, view = pid
        if kind != "storage" or view is not None or not isinstance(key, str):
            raise InputError("its pickle asks for something that is no storage")
        if key not in storages:
            dtype = dtype_of_storage(asked)
            size = count * ITEM_BYTES.get(dtype, 1)
            storages[key] = dtype, reading.block(0, 0, size)
        return Storage(*storages[key])

    held = read_pickle(file, storage)
    order = read_pickle(file, nothing)
    for key in order:
        if key not in storages:
            raise InputError(f"a storage that nothing asks for: {clean_text(key, 80)}")
        dtype, number = storages[key]
        (count,) = struct.unpack("<q", file.read(8))
        size = count * ITEM_BYTES.get(dtype, 1)
        if size != reading.blocks[number].bytes:
            raise InputError(f"the storage {clean_text(key, 80)} is not as long as it should be")
        reading.blocks[number] = replace(reading.blocks[number], offset=file.tell())
        file.seek(size, 1)
    return "torch legacy", Meaning(reading).of(held)
