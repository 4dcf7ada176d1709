"""Programs of torch.export (.pt2): JSON that tells of weights, and their values as they are.

Everything in such a file that is pickled beside weights (sample inputs, constants that are objects)
is left alone, and so is the program.
"""

import json
import zipfile
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, SPILL, TensorAt
from auditor.opening.part import Part
from auditor.opening.readers import torch_zip, zipped
from auditor.opening.reading import Reading

LONGEST_JSON = 64 << 20
"""Bytes of the largest JSON that is read."""

MOST_WEIGHTS = 200_000

TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
"""Types of values, by their numbers in the schema of torch.export."""

STRIDED = 7
"""The layout of dense tensors there."""

OLD_PROGRAM = "serialized_exported_program.json"
OLD_WEIGHTS = ("serialized_state_dict.pt", "serialized_state_dict.json")


def is_exported(bare: list[str]) -> bool:
    """Tell whether a zip file with these entries, their root left out, is one of torch.export."""
    return OLD_PROGRAM in bare or "archive_format" in bare


def read(reading: Reading, archive: zipfile.ZipFile) -> tuple[str, Any]:
    """Return the weights and buffers of an exported program, and what it tells of its modules.

    Raises:
        InputError: it holds no program, or its JSON does not fit its weights.
    """
    return "torch.export archive", _Archive(reading, archive).tree()


class _Archive:
    def __init__(self, reading: Reading, archive: zipfile.ZipFile) -> None:
        self._reading = reading
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist()}
        self._blocks: dict[str, int] = {}
        old = OLD_PROGRAM in self._entries
        self._root = "" if old else next(iter(self._entries)).partition("/")[0] + "/"

    def tree(self) -> dict[str, Any]:
        """Return what is in the archive: the program, or each of several by its name."""
        if not self._root:
            weights = next(name for name in OLD_WEIGHTS if name in self._entries)
            return {"state_dict": self._saved(weights), **_told(self._json(OLD_PROGRAM))}
        folder = f"{self._root}models/"
        names = [
            name.removeprefix(folder).removesuffix(".json")
            for name in self._entries
            if name.startswith(folder) and name.endswith(".json")
        ]
        if not names:
            raise InputError(
                "an archive of compiled code (AOTInductor), without a program; save the program "
                "with torch.export.save, or plain weights"
            )
        programs = {name: self._weights("weights", name) for name in names}
        if len(names) > 1:
            return programs
        (name,) = names
        constants = self._weights("constants", name)
        told = _told(self._json(f"{folder}{name}.json"))
        return {"state_dict": programs[name], "constants": constants, **told}

    def _weights(self, kind: str, model: str) -> dict[str, Any]:
        """Return the tensors of a kind ("weights", "constants") that a program has."""
        folder = f"{self._root}data/{kind}/"
        if f"{folder}{model}.pt" in self._entries:
            return {**self._saved(f"{folder}{model}.pt")}
        config = self._json(f"{folder}{model}_{kind}_config.json")["config"]
        if len(config) > MOST_WEIGHTS:
            raise InputError(f"it tells of more than {MOST_WEIGHTS:,} tensors")
        made = {}
        for name, told in config.items():
            try:
                made[name] = self._weight(folder, told)
            except InputError as error:
                raise InputError(f"{clean_text(name, 120)}: {error}") from error
        left = [name for name, value in made.items() if value is None]
        if left:
            self._reading.notes.append(f"Objects of the program that are not read: {listed(left)}.")
        return {name: value for name, value in made.items() if value is not None}

    def _weight(self, folder: str, told: dict[str, Any]) -> Any:
        """Return a tensor by what the archive tells of it; None for an object of another kind."""
        path, meta = folder + told["path_name"], told["tensor_meta"]
        if told["use_pickle"]:
            return self._saved(path)
        if meta is None:
            return None
        if meta["dtype"] not in TYPES or meta["layout"] != STRIDED:
            raise InputError("a tensor whose type or layout is not read")
        dtype = TYPES[meta["dtype"]]
        shape, strides = ([_whole(size) for size in meta[key]] for key in ("sizes", "strides"))
        offset = _whole(meta["storage_offset"])
        if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
            raise InputError("damaged: a tensor whose shape and strides do not fit")
        made = TensorAt(dtype, tuple(shape), tuple(strides), offset, self._block(path))
        held = self._reading.blocks[made.block].bytes // ITEM_BYTES[dtype]
        if made.reach > held or made.values > held:
            raise InputError(
                f"damaged: a tensor of shape {clean_text(shape, 80)} wants more than the {held:,} "
                "values that are there"
            )
        return made

    def _block(self, path: str) -> int:
        if path not in self._blocks:
            entry = self._entry(path)
            self._blocks[path] = torch_zip.block_of(self._reading, self._archive, entry)
        return self._blocks[path]

    def _saved(self, path: str) -> Any:
        """Return what torch.save put into an entry."""
        block = self._reading.blocks[self._block(path)]
        if block.file == SPILL:
            raise InputError(f"{clean_text(path, 120)} is packed, which torch.export does not do")
        inner = Part(self._reading, block.file, block.offset, block.bytes)
        return zipped.read(inner)[1]

    def _json(self, path: str) -> dict[str, Any]:
        entry = self._entry(path)
        if entry.file_size > LONGEST_JSON:
            raise InputError(f"{clean_text(path, 120)} is larger than {LONGEST_JSON:,} bytes")
        try:
            told = json.loads(self._archive.read(entry))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{clean_text(path, 120)} is no JSON") from error
        if not isinstance(told, dict):
            raise InputError(f"damaged: {clean_text(path, 120)} tells nothing")
        return told

    def _entry(self, path: str) -> zipfile.ZipInfo:
        if path not in self._entries:
            raise InputError(f"damaged: it lacks {clean_text(path, 120)}")
        return self._entries[path]


def _whole(value: Any) -> int:
    """Return a whole number as the schema writes it."""
    number = value["as_int"] if isinstance(value, dict) and "as_int" in value else value
    if type(number) is not int or not 0 <= number < 2**62:
        raise InputError("damaged: a shape that is not made of whole numbers from 0 on")
    return number


def _told(program: dict[str, Any]) -> dict[str, Any]:
    """Return what a program tells of the model: its modules by name, with their classes."""
    modules: dict[str, str] = {}
    for node in program.get("graph_module", {}).get("graph", {}).get("nodes", []):
        stack = node.get("metadata", {}).get("nn_module_stack", "")
        for module in str(stack).split(";"):
            _, _, rest = module.partition(",")
            name, _, kind = rest.rpartition(",")
            if kind:
                modules.setdefault(name or "(model)", kind)
    version = program.get("torch_version")
    return {"modules": modules, **({"torch_version": version} if isinstance(version, str) else {})}
