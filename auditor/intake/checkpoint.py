"""Opening a checkpoint: weights and plain values only, never code out of the file."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.secrets import shown_setting
from auditor.core.subject import CheckpointFacts
from auditor.core.text import clean_text, listed
from auditor.intake.kept import beside, plain_tree
from auditor.intake.live_tensors import live
from auditor.intake.recorder_file import Header, read_header, recording_beside
from auditor.opening.contents import FileRead
from auditor.opening.process import looked_into
from auditor.opening.state_dicts import OPTIMIZER_KEYS, StateDict, part_of, state_dict_of

DEEPEST_EXTRA = 6

DEEPEST_OPTIMIZER = 3

MOST_OPTIMIZERS = 32


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors by name, the optimizer's state, and the plain values beside them.

    `optimizers` are all that look like an optimizer's state, by the dotted key that they stand
    under; `optimizer` is the one of them that can only be the model's. `plain` are the plain values
    as they are, nested; `beside` those of files in the checkpoint's folder, by the file's name, and
    `notes` tell of files there that were ignored. `recorded` is the header of what a Recorder wrote
    there. `path` is where it lies, absolute.
    """

    weights: dict[str, torch.Tensor]
    facts: CheckpointFacts
    optimizer: dict[str, Any] | None = None
    extras: dict[str, str] = field(default_factory=dict)
    optimizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    recorded: Header | None = None
    path: Path = Path()


def open_checkpoint(
    path: Path, key: str | None = None, allow: frozenset[str] = frozenset()
) -> Checkpoint:
    """Return what stands in the checkpoint `path`, a file or a folder, on the CPU.

    `key` is the dotted key of the state dict in it; found by itself where it is None. `allow` names
    what is refused unless the user allows it.

    Raises:
        InputError: the file is missing, truncated, no checkpoint, or wants to run code.
    """
    shown = clean_text(path)
    with looked_into(path, allow) as opened:
        contents = opened.contents
        try:
            chosen, others = state_dict_of(contents.tree, key)
        except InputError as error:
            raise InputError(f"{shown}: {error}{_asking(contents.classes)}") from error
        held = live(opened)
    named = part_of(held, chosen.key)
    weights = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    extras = _plain(held, weights)
    files, notes = beside(path)
    recording = recording_beside(path)
    recorded, note = read_header(recording) if recording is not None else (None, "")
    return Checkpoint(
        weights=weights,
        optimizer=_optimizer(held),
        extras=extras,
        optimizers=optimizers_in(held),
        plain=plain_tree(held, _bulky(held)),
        beside=files,
        notes=(*contents.notes, *_told(others), *notes, *([note] if note else [])),
        recorded=recorded,
        path=path.absolute(),
        facts=CheckpointFacts(
            path=str(path),
            format=contents.container,
            sha256=_hash(contents.files),
            bytes=sum(file.bytes for file in contents.files),
            tensors=len(weights),
            key=chosen.key,
            extras=tuple(extras.items()),
            classes=tuple(clean_text(name, 120) for name in contents.classes),
        ),
    )


def _asking(classes: tuple[str, ...]) -> str:
    """Return a line on the classes that a checkpoint without weights asks for."""
    return (
        f"\n  It asks for classes, none of which was made: {listed(list(classes))}"
        if classes
        else ""
    )


def _hash(files: tuple[FileRead, ...]) -> str:
    """Return the SHA-256 of a checkpoint: of its file, or of the list of its files with theirs."""
    if len(files) == 1:
        return files[0].sha256
    listing = "".join(f"{file.sha256}  {file.name}\n" for file in sorted(files, key=_name))
    return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()


def _name(file: FileRead) -> str:
    return file.name


def _told(others: tuple[StateDict, ...]) -> Iterator[str]:
    """Yield a sentence on the state dicts beside the one that is audited."""
    if others:
        keys = [other.key for other in others]
        yield (
            f"The checkpoint also holds weights under {listed(keys)}; `model: {{key: "
            f"{clean_text(keys[0], 60)}}}` audits those."
        )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) for name in value)
        and all(isinstance(tensor, torch.Tensor) for tensor in value.values())
    )


def _optimizer(held: Any) -> dict[str, Any] | None:
    if not isinstance(held, Mapping):
        return None
    for name in OPTIMIZER_KEYS:
        state = held.get(name)
        if isinstance(state, list) and len(state) == 1:
            state = state[0]
        if isinstance(state, Mapping) and _is_optimizer_state(state):
            return dict(state)
    return None


def _bulky(held: Any) -> frozenset[str]:
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


def _is_optimizer_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("state"), Mapping)
        and isinstance(groups := value.get("param_groups"), list | tuple)
        and all(isinstance(group, Mapping) for group in groups)
    )


def _plain(held: Any, weights: dict[str, torch.Tensor]) -> dict[str, str]:
    """Return the plain values beside the weights, by dotted key, as safe text without secrets."""
    found: dict[str, str] = {}

    def walk(value: Any, name: str, depth: int) -> None:
        if len(found) >= 200 or depth > DEEPEST_EXTRA:
            return
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key), depth + 1)
        elif isinstance(value, str | int | float | bool | None):
            found[clean_text(name, 120)] = shown_setting(name, value, 200)

    if isinstance(held, Mapping) and held.keys() != weights.keys():
        skipped = {*OPTIMIZER_KEYS, *_bulky(held)}
        walk({k: v for k, v in held.items() if k not in skipped}, "", 0)
    return found
