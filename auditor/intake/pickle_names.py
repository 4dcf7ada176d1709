"""What a pickle asks Python to import, read without running it."""

import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LONGEST = 64 << 20
"""Bytes of pickle that are read for names."""

PLAIN = frozenset(
    {
        "collections.OrderedDict",
        "torch.Size",
        "torch.device",
        "torch.nn.parameter.Parameter",
        "torch._tensor._rebuild_from_type_v2",
    }
)
"""Names that weights themselves need, beside `PLAIN_PATTERN`."""

PLAIN_PATTERN = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\.(cuda\.|storage\.)?\w+Storage|torch\.[a-z]+\d+\w*|torch\.bool"
)
"""Rebuilders of tensors, storages, and dtypes."""


def asked_for(path: Path) -> list[str]:
    """Return the dotted names that the pickles of a checkpoint import, plain ones left out."""
    names: dict[str, None] = {}
    for pickle in _pickles(path):
        for name in _names(pickle):
            if name not in PLAIN and not PLAIN_PATTERN.fullmatch(name):
                names[name] = None
    return list(names)


def _pickles(path: Path) -> Iterator[bytes]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".pkl") and entry.file_size <= LONGEST:
                    yield archive.read(entry)
        return
    with path.open("rb") as file:
        rest = file.read(LONGEST)
    while rest[:1] == b"\x80":
        end = _length(rest)
        if end is None:
            yield rest
            return
        yield rest[:end]
        rest = rest[end:]


def _length(data: bytes) -> int | None:
    """Return where the first pickle in `data` stops, None where it is broken."""
    try:
        for opcode, _, position in pickletools.genops(data):
            if opcode.name == "STOP":
                return (position or 0) + 1
    except Exception:  # noqa: BLE001 - genops raises whatever a broken pickle provokes
        return None
    return None


def _names(data: bytes) -> Iterator[str]:
    """Yield "module.name" of every import; of an import by computed name, the strings before it."""
    strings: list[str] = []
    memo: dict[Any, str] = {}
    top: str | None = None
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in {"GLOBAL", "INST"}:
                yield str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                yield ".".join(strings[-2:])
            elif opcode.name == "MEMOIZE" or "PUT" in opcode.name:
                memo[len(memo) if argument is None else argument] = top or ""
                continue
            made = memo.get(argument) if opcode.name.endswith("GET") else argument
            top = made if isinstance(made, str) and "GLOBAL" not in opcode.name else None
            if top:
                strings = [*strings[-1:], top]
    except Exception:  # noqa: BLE001 - what was read up to the break still counts
        return
