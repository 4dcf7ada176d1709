"""The file that a Recorder wrote beside a checkpoint: which it is, and what its header tells.

It may come from anybody: lines and their depth are bounded, nothing of it is run, and a file that
can't be read is left out with a note.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.kept import plain_tree

SUFFIX = ".audit.jsonl"
MARK = "auditor_recorder"
"""The key of the header by which a recording is told; its value is the version."""
VERSION = 1
CHECKPOINTS = frozenset({".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".tar", ".pkl"})
"""Suffixes by which a file counts as another checkpoint of a folder."""

LONGEST_LINE = 1 << 20
"""Bytes of the longest header that is read."""
TAIL = 1 << 18
"""Bytes at the file's end in which the last step and epoch are looked for."""
MOST_FILES = 10_000
"""Names in a folder that are looked through for a recording."""
MOST_FACTS = 100
"""Facts about the environment that are kept."""


@dataclass(frozen=True)
class Header:
    """What a recording tells of the run as a whole.

    `environment` are versions by name, `settings` what training was called with, by the names that
    scripts use ("optimizer", "lr", "batch_size"), `data` facts of each split, as the record of an
    audit tells them, and `code` the commit. `steps` and `epochs` are those of the last row, None
    where no row tells.
    """

    path: Path
    started: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    epochs: float | None = None

    @property
    def name(self) -> str:
        """Return the name of the file, for people."""
        return clean_text(self.path.name, 80)


def recording_path(checkpoint: Path) -> Path:
    """Return where the recording of a checkpoint belongs."""
    return checkpoint.with_name(checkpoint.stem + SUFFIX)


def recording_beside(checkpoint: Path) -> Path | None:
    """Return the recording in a checkpoint's folder: by its name, else the only one there.

    One that is named after another checkpoint of the folder tells of that one, not of this.
    """
    own = recording_path(checkpoint)
    if own.is_file():
        return own
    try:
        with os.scandir(checkpoint.parent) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MOST_FILES), strict=False)]
    except OSError:
        return None
    stems = {Path(name).stem for name in names if Path(name).suffix in CHECKPOINTS}
    found = [
        checkpoint.parent / name
        for name in names
        if name.endswith(SUFFIX) and name.removesuffix(SUFFIX) not in stems
    ]
    return found[0] if len(found) == 1 and found[0].is_file() else None


def read_header(path: Path) -> tuple[Header | None, str]:
    """Return the header of a recording, and why it can't be read; one of the two is empty."""
    shown = clean_text(path.name, 80)
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_LINE + 1)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(len(line), size - TAIL))
            tail = file.read(TAIL)
    except OSError:
        return None, f"{shown} beside the checkpoint can't be read: ignored."
    held = mapping_of(line) if len(line) <= LONGEST_LINE else None
    version = held.get(MARK) if held is not None else None
    if held is None or version is None:
        return None, f"{shown} beside the checkpoint does not begin with a header: ignored."
    if isinstance(version, bool) or version != VERSION:
        return None, (
            f"{shown} beside the checkpoint is of version {clean_text(version, 20)}, "
            f"expected {VERSION}: ignored."
        )
    steps, epochs = _reached(tail)
    data = _mapping(held, "data")
    return Header(
        path=path,
        started=clean_text(held.get("started", ""), 40),
        environment=dict(_facts(_mapping(held, "environment"))),
        settings=_mapping(held, "settings"),
        data={split: facts for split, facts in data.items() if isinstance(facts, dict)},
        code=_mapping(held, "code"),
        steps=None if steps is None else int(steps),
        epochs=epochs,
    ), ""


def mapping_of(line: bytes) -> dict[str, Any] | None:
    """Return the mapping that a line of JSON holds, its depth and size bounded; None if none."""
    try:
        held = json.loads(line.decode("utf-8"), parse_constant=str)
    except (ValueError, RecursionError):
        return None
    return plain_tree(held) if isinstance(held, dict) else None


def _mapping(held: Mapping[str, Any], key: str) -> dict[str, Any]:
    inner = held.get(key)
    return inner if isinstance(inner, dict) else {}


def _facts(held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in list(held.items())[:MOST_FACTS]:
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            yield clean_text(name, 60), clean_text(value, 120)


def _reached(tail: bytes) -> tuple[float | None, float | None]:
    """Return the last step and the last epoch that the end of a file tells."""
    steps = epochs = None
    for line in reversed(tail.splitlines()):
        row = mapping_of(line) or {}
        steps = _count(row.get("step")) if steps is None else steps
        epochs = _count(row.get("epoch")) if epochs is None else epochs
        if steps is not None and epochs is not None:
            break
    return steps, epochs


def _count(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 and math.isfinite(value) else None
