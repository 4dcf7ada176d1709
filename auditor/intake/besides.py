"""What stands in a checkpoint beside the weights: optimizers, and plain values.

Read off the tree of `Contents` or off the live one: a tensor is what has a shape. No torch.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auditor.core.secrets import shown_setting
from auditor.core.text import clean_text
from auditor.intake.kept import beside
from auditor.intake.recorder_file import CHECKPOINTS, Header, read_header, recording_beside
from auditor.opening.contents import FileRead
from auditor.opening.state_dicts import OPTIMIZER_KEYS

DEEPEST_EXTRA = 6
MOST_EXTRAS = 200

DEEPEST_OPTIMIZER = 3
MOST_OPTIMIZERS = 32


@dataclass(frozen=True)
class Around:
    """What lies beside a checkpoint: `settings` of known files by their names, a Recorder's header.

    `file` is the one by whose name and folder they are told; `notes` tell of what is ignored.
    """

    file: Path
    settings: dict[str, dict[str, Any]]
    recorded: Header | None
    notes: tuple[str, ...]


def lying_beside(path: Path, files: tuple[FileRead, ...]) -> Around:
    """Return what lies beside the checkpoint at `path`, of which `files` were read."""
    file = _weights_file(path, files)
    settings, notes = beside(file.parent)
    recording = recording_beside(file)
    recorded, note = read_header(recording) if recording is not None else (None, "")
    return Around(file, settings, recorded, (*notes, note) if note else notes)


def _weights_file(path: Path, files: tuple[FileRead, ...]) -> Path:
    """Return the file by which those beside a checkpoint are told: in a folder, the first read."""
    if not path.is_dir():
        return path
    first = files[0].name if files else ""
    # Of shards the first that is read is their index, of other formats some description.
    return path / (first if Path(first).suffix in CHECKPOINTS else "model.safetensors")


def main_optimizer(held: Any) -> dict[str, Any] | None:
    """Return the state of the optimizer that can only be the model's, None where there is none."""
    if not isinstance(held, Mapping):
        return None
    for name in OPTIMIZER_KEYS:
        state = held.get(name)
        if isinstance(state, list) and len(state) == 1:
            state = state[0]
        if isinstance(state, Mapping) and _is_optimizer_state(state):
            return dict(state)
    return None


def bulky_keys(held: Any) -> frozenset[str]:
    """Return the keys under which weights and optimizers stand."""
    parts = held.items() if isinstance(held, Mapping) else ()
    return frozenset(key for key, part in parts if key in OPTIMIZER_KEYS or _is_state_dict(part))


def optimizers_in(held: Any) -> dict[str, dict[str, Any]]:
    """Return everything that looks like an optimizer's state, by its dotted key.

    Trainers keep several in a list or a mapping, some of them in one more.
    """
    found: dict[str, dict[str, Any]] = {}

    def walk(value: Any, name: str, depth: int) -> None:
        if _is_optimizer_state(value):
            found[name] = dict(value)
        elif depth < DEEPEST_OPTIMIZER and len(found) < MOST_OPTIMIZERS:
            inner: Any = ()
            if isinstance(value, Mapping) and not _is_state_dict(value):
                inner = value.items()
            elif isinstance(value, list | tuple):
                inner = enumerate(value[:MOST_OPTIMIZERS])
            for key, part in inner:
                walk(part, f"{name}.{key}" if name else str(key), depth + 1)

    walk(held, "", 0)
    return found


def extras_in(held: Any, weights: Set[str]) -> dict[str, str]:
    """Return the plain values beside the weights, by dotted key, as safe text without secrets."""
    found: dict[str, str] = {}

    def walk(value: Any, name: str, depth: int) -> None:
        if len(found) >= MOST_EXTRAS or depth > DEEPEST_EXTRA:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key), depth + 1)
        elif isinstance(value, str | int | float | bool | None):
            found[clean_text(name, 120)] = shown_setting(name, value, 200)

    if isinstance(held, Mapping) and held.keys() != weights:
        skipped = {*OPTIMIZER_KEYS, *bulky_keys(held)}
        walk({k: v for k, v in held.items() if k not in skipped}, "", 0)
    return found


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
        and all(hasattr(tensor, "shape") for tensor in value.values())
    )


def _is_optimizer_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(groups := value.get("param_groups"), list | tuple)
        and all(isinstance(group, Mapping) for group in groups)
    )
