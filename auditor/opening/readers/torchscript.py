"""TorchScript archives: the tensors of their modules by name, and none of their code.

The pickle of such an archive is like those of torch.save, of objects whose classes stand as source
text beside it. That text tells which tensors are parameters and buffers.
"""

import re
import zipfile
from collections.abc import Iterator
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import Tensor
from auditor.opening.meaning import DEEPEST, Meaning
from auditor.opening.pickled import StandIn
from auditor.opening.readers import torch_zip
from auditor.opening.reading import Reading

ALLOWED = "torchscript"
"""What a user allows by `--allow-torchscript`."""

LONGEST_CODE = 16 << 20
MOST_TENSORS = 200_000

CLASSES = "__torch__."
MANGLED = re.compile(r"\.___torch_mangle_\d+")
CLASS = re.compile(r"^class (\w+)\(Module\):$", re.MULTILINE)
NAMED = re.compile(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", re.MULTILINE)

REFUSAL = (
    "a TorchScript archive, which holds code; none of it was run. Where you trust it, save plain "
    "weights: torch.save(torch.jit.load(path).state_dict(), other)\n"
    "  To audit its weights alone, still without running it: --allow-torchscript, or "
    "`model: {allow_torchscript: true}`"
)


def read(reading: Reading, archive: zipfile.ZipFile) -> tuple[str, Any]:
    """Return parameters and buffers by name, and the classes of modules.

    Raises:
        InputError: the user does not allow it, or it is damaged.
    """
    if ALLOWED not in reading.allow:
        raise InputError(REFUSAL)
    held = torch_zip.unpickled(reading, archive)
    if not _is_module(held):
        raise InputError("a TorchScript archive without a module")
    meaning = Meaning(reading)
    declared = _declared(archive)
    weights: dict[str, Any] = {}
    modules: dict[str, str] = {}
    for name, module in _modules(held, "", 0):
        modules[name or "(model)"] = MANGLED.sub("", module.name.removeprefix(CLASSES))
        known = declared.get(module.name.removeprefix(CLASSES))
        for attribute, value in _attributes(module):
            if _is_tensor(value) and (known is None or attribute in known):
                made = meaning.of(value)
                if isinstance(made, Tensor):
                    weights[f"{name}.{attribute}" if name else attribute] = made
        if len(weights) > MOST_TENSORS or len(modules) > MOST_TENSORS:
            raise InputError(f"it holds more than {MOST_TENSORS:,} tensors or modules")
    for name in [name for name in reading.classes if name.startswith(CLASSES)]:
        del reading.classes[name]
    reading.notes.append("TorchScript: its weights were read, and none of its code was run.")
    return "TorchScript", {"state_dict": weights, "modules": modules}


def _modules(module: StandIn, name: str, depth: int) -> Iterator[tuple[str, StandIn]]:
    """Yield a module and all within it, by their dotted names."""
    if depth > DEEPEST:
        raise InputError(f"its modules are nested more than {DEEPEST} deep")
    yield name, module
    for attribute, value in _attributes(module):
        if _is_module(value):
            yield from _modules(value, f"{name}.{attribute}" if name else attribute, depth + 1)


def _attributes(module: StandIn) -> list[tuple[str, Any]]:
    state = module.state if isinstance(module.state, dict) else {}
    return [(clean_text(name, 400), value) for name, value in state.items()]


def _is_module(value: Any) -> bool:
    return isinstance(value, StandIn) and value.name.startswith(CLASSES)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, StandIn) and value.name.startswith("torch._utils._rebuild_")


def _declared(archive: zipfile.ZipFile) -> dict[str, frozenset[str]]:
    """Return which attributes of each class are parameters and buffers, by the source text."""
    found: dict[str, frozenset[str]] = {}
    left = LONGEST_CODE
    for entry in archive.infolist():
        _, _, path = entry.filename.partition(f"/code/{CLASSES[:-1]}")
        left -= entry.file_size if path.endswith(".py") else 0
        if not path.endswith(".py") or left < 0:
            continue
        text = archive.read(entry).decode("utf-8", "replace")
        module = path.removesuffix(".py").strip("/").replace("/", ".")
        starts = [*CLASS.finditer(text)]
        bounds = [*(start.start() for start in starts), len(text)]
        for start, end in zip(starts, bounds[1:], strict=True):
            lists = NAMED.finditer(text, start.end(), end)
            names = re.findall(r'"([^"]+)"', " ".join(one[1] for one in lists))
            found[f"{module}.{start[1]}" if module else start[1]] = frozenset(names)
    return found
