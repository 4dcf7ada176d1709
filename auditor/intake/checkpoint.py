"""Opening a checkpoint: weights and plain values only, never code out of the file."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.subject import CheckpointFacts
from auditor.core.text import clean_text, listed
from auditor.intake.besides import bulky_keys, extras_in, main_optimizer, optimizers_in
from auditor.intake.kept import beside, plain_tree
from auditor.intake.live_tensors import live
from auditor.intake.recorder_file import CHECKPOINTS, Header, read_header, recording_beside
from auditor.opening.contents import FileRead
from auditor.opening.process import looked_into
from auditor.opening.state_dicts import StateDict, part_of, state_dict_of


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's tensors by name, the optimizer's state, and the plain values beside them.

    `optimizers` are all that look like an optimizer's state, by the dotted key that they stand
    under; `optimizer` is the one of them that can only be the model's. `plain` are the plain values
    as they are, nested; `beside` those of files in the checkpoint's folder, by the file's name, and
    `notes` tell of files there that were ignored. `recorded` is the header of what a Recorder wrote
    there. `path` is where it lies, absolute, and `file` the first of the files that hold its
    weights: the same unless it is a folder.
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
    file: Path = Path()


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
            raise InputError(f"{shown}: {error}") from error
        held = live(opened)
    named = part_of(held, chosen.key)
    weights = {name: value for name, value in named.items() if isinstance(value, torch.Tensor)}
    extras = extras_in(held, weights.keys())
    file = _file(path.absolute(), contents.files)
    files, notes = beside(file.parent)
    recording = recording_beside(file)
    recorded, note = read_header(recording) if recording is not None else (None, "")
    return Checkpoint(
        weights=weights,
        optimizer=main_optimizer(held),
        extras=extras,
        optimizers=optimizers_in(held),
        plain=plain_tree(held, bulky_keys(held)),
        beside=files,
        notes=(*contents.notes, *_told(others), *notes, *([note] if note else [])),
        recorded=recorded,
        path=path.absolute(),
        file=file,
        facts=CheckpointFacts(
            path=str(path),
            format=contents.container,
            sha256=contents.sha256,
            bytes=contents.bytes,
            files=_several(contents.files),
            tensors=len(weights),
            key=chosen.key,
            extras=tuple(extras.items()),
            classes=tuple(clean_text(name, 120) for name in contents.classes),
        ),
    )


def _several(files: tuple[FileRead, ...]) -> tuple[tuple[str, str], ...]:
    """Return names and hashes of files, none where there is a single one."""
    return tuple((clean_text(one.name), one.sha256) for one in files) if len(files) > 1 else ()


def _file(path: Path, files: tuple[FileRead, ...]) -> Path:
    """Return the file by which those beside a checkpoint are told: in a folder, the first read."""
    if not path.is_dir():
        return path
    first = files[0].name if files else ""
    # Of shards the first that is read is their index, of other formats some description.
    return path / (first if Path(first).suffix in CHECKPOINTS else "model.safetensors")


def _told(others: tuple[StateDict, ...]) -> Iterator[str]:
    """Yield a sentence on the state dicts beside the one that is audited."""
    if others:
        keys = [other.key for other in others]
        yield (
            f"The checkpoint also holds weights under {listed(keys)}; `model: {{key: "
            f"{clean_text(keys[0], 60)}}}` audits those."
        )
