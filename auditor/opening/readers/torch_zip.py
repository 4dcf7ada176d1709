"""The zip files of torch.save: a pickle, and a record for each storage."""

import struct
import zipfile
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES
from auditor.opening.meaning import Meaning, Storage, dtype_of_storage
from auditor.opening.pickled import read_pickle
from auditor.opening.reading import Reading

LOCAL_HEADER = 30
"""Bytes of a zip entry's own header before its name."""


def read(reading: Reading, archive: zipfile.ZipFile) -> tuple[str, Any]:
    """Return what torch.save put into a zip file that has no bad checksum."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickle = next(name for name in entries if name.partition("/")[2] == "data.pkl")
    root = pickle.removesuffix("data.pkl")
    known: dict[str, Storage] = {}

    def storage(pid: Any) -> Storage:
        kind, asked, key, _, count = pid
        if kind != "storage" or not isinstance(key, str) or not isinstance(count, int):
            raise InputError("its pickle asks for something that is no storage")
        if key not in known:
            entry = entries.get(f"{root}data/{key}")
            if entry is None:
                raise InputError(f"the record of a storage is missing: {clean_text(key, 80)}")
            dtype = dtype_of_storage(asked)
            if count * ITEM_BYTES.get(dtype, 1) != entry.file_size:
                raise InputError(f"the record {clean_text(key, 80)} is not as long as it should be")
            known[key] = Storage(dtype, block_of(reading, archive, entry))
        return known[key]

    held = read_pickle(archive.open(pickle), storage)  # type: ignore[arg-type]
    return "torch zip", Meaning(reading).of(held)


def block_of(reading: Reading, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Return the block of an entry's bytes, unpacked where they are compressed."""
    if entry.compress_type != zipfile.ZIP_STORED:
        return reading.spilled(archive.read(entry))
    file = reading.first
    file.seek(entry.header_offset)
    name, extra = struct.unpack("<26xHH", file.read(LOCAL_HEADER))
    return reading.block(0, entry.header_offset + LOCAL_HEADER + name + extra, entry.file_size)
