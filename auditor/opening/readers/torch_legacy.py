"""The files of torch.save before version 1.6: pickles one after the other, then the storages."""

import struct
from dataclasses import replace
from io import BufferedReader
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.contents import ITEM_BYTES
from auditor.opening.meaning import Meaning
from auditor.opening.pickled import StandIn, nothing, read_pickle
from auditor.opening.readers.torch_zip import storage_asked
from auditor.opening.reading import Reading
from auditor.opening.tensors import Storage

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001


def read(reading: Reading) -> tuple[str, Any]:
    """Return what torch.save put into a file of the old format.

    Raises:
        InputError: it is no such file, is damaged, or what stands in it is refused.
    """
    file = reading.first
    asked: dict[str, None] = {}
    if read_pickle(file, nothing, asked=asked) != MAGIC:
        raise InputError(
            "not a checkpoint: a pickle that torch.save did not write"
            + (f", of {listed(list(asked), 4)}" if asked else "")
            + "; save the weights with torch.save(model.state_dict(), path)"
        )
    protocol, system = read_pickle(file, nothing), read_pickle(file, nothing)
    if protocol != PROTOCOL or not isinstance(system, dict) or not system.get("little_endian"):
        raise InputError("written by an unknown version of torch.save, or in another byte order")
    storages = _Storages(reading)
    held = read_pickle(file, storages.asked_for, asked=reading.classes)
    order = read_pickle(file, nothing)
    if not isinstance(order, list):
        raise InputError("its list of storages is none")
    for key in order:
        storages.found(key, file)
    storages.settle()
    if file.read(1):
        raise InputError("bytes that belong to nothing stand behind its last storage")
    return "torch legacy", Meaning(reading).of(held)


class _Storages:
    """The storages that a pickle asks for, whose bytes stand behind it, and views of them."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._roots: dict[str, tuple[tuple[str, int], Storage]] = {}
        self._views: dict[tuple[str, int, int], Storage] = {}
        self._found: set[str] = set()

    def asked_for(self, pid: Any) -> Any:
        """Return the storage that a persistent id stands for, or the class of a module."""
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            if isinstance(pid[1], type) and issubclass(pid[1], StandIn):
                return pid[1]  # beside it stands the source of the class, which nothing runs
            raise InputError("its pickle asks for a module's class that is none")
        key, said = storage_asked(pid, 6)
        dtype, count = said
        item = ITEM_BYTES.get(dtype, 1)
        if key not in self._roots:
            self._roots[key] = said, Storage(dtype, self._reading.block(0, 0, count * item))
        known, storage = self._roots[key]
        if known != said:
            raise InputError(f"the storage {clean_text(key, 80)} is said to be two")
        view = pid[5]
        if view is None:
            return storage
        if not isinstance(view, tuple) or [type(part) for part in view[1:]] != [int, int]:
            raise InputError("its pickle asks for a part of a storage that is none")
        _, offset, size = view
        if offset < 0 or size < 0 or offset + size > count:
            raise InputError(f"a part of the storage {clean_text(key, 80)} lies outside it")
        place = key, offset * item, size * item
        if place not in self._views:
            self._views[place] = Storage(dtype, self._reading.block(0, 0, size * item))
        return self._views[place]

    def found(self, key: Any, file: BufferedReader) -> None:
        """Take down that the bytes of a storage begin here, and step over them."""
        shown = clean_text(key, 80)
        if not isinstance(key, str | int) or str(key) not in self._roots or str(key) in self._found:
            raise InputError(f"a storage that nothing asks for, or two of it: {shown}")
        (dtype, count), storage = self._roots[str(key)]
        head = file.read(8)
        start, size = file.tell(), count * ITEM_BYTES.get(dtype, 1)
        if len(head) < 8 or start + size > self._reading.size:
            raise InputError(f"the checkpoint is truncated: the storage {shown} is cut")
        if struct.unpack("<q", head) != (count,):
            raise InputError(f"the storage {shown} is not as long as it should be")
        self._reading.blocks[storage.block] = replace(
            self._reading.blocks[storage.block], offset=start
        )
        file.seek(start + size)
        self._found.add(str(key))

    def settle(self) -> None:
        """Put parts of storages where these were found.

        Raises:
            InputError: a storage is missing.
        """
        missing = [key for key in self._roots if key not in self._found]
        if missing:
            raise InputError(
                f"the checkpoint is truncated: it lacks storages: {listed(missing, 3)}"
            )
        blocks = self._reading.blocks
        for (key, offset, _), view in self._views.items():
            start = blocks[self._roots[key][1].block].offset
            blocks[view.block] = replace(blocks[view.block], offset=start + offset)
