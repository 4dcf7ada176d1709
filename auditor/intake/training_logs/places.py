"""Where logs of training lie, by names that trainers give them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from auditor.intake.recorder_file import CHECKPOINTS, SUFFIX

MOST_FILES = 2_000
"""Entries of a folder that are looked at."""
MOST_VERSIONS = 40
"""Runs of Lightning that are looked at."""

MODELS = CHECKPOINTS - {".tar", ".pkl"}
"""Suffixes by which a file counts as another model; the others are of data as often."""
NO_MODELS = re.compile(r"(optimizer|scheduler|scaler|rng_state|training_args|tokenizer).*")
"""Names of what trainers save beside a model's weights."""

KNOWN = re.compile(
    r"(?:metrics|logs?|history|(?:training|train)[_-]?(?:logs?|history|metrics)|results|progress)"
    r"\.(?:csv|tsv|json|jsonl|ndjson|log|txt)|training[_-]?log|.+\.log\.json",
    re.IGNORECASE,
)
"""Names that a log of training usually has."""
OWN = re.compile(r".*\.(?:csv|tsv|jsonl|ndjson|log|json)", re.IGNORECASE)
"""Names of logs that begin with the name of a checkpoint."""
VERSION = re.compile(r"version_(\d{1,6})")
_RUN = re.compile(
    r"(?:best|last|final|latest|epoch|ep|step|iter|iteration|checkpoint|ckpt|model|weights|"
    r"state|dict|net|val|loss|acc|accuracy|\d+|[^a-z])+",
    re.IGNORECASE,
)
"""What tells checkpoints of one run apart, and not models."""


@dataclass(frozen=True)
class Group:
    """Files of which at most one is the log; `own` ones are named after the checkpoint.

    An `events` group is a folder whose event files are put together. Several of one `run` tell the
    same, as trainers that write to two loggers leave them.
    """

    paths: tuple[Path, ...]
    own: bool = False
    events: bool = False
    run: bool = False


def groups_beside(checkpoint: Path) -> Iterator[Group]:
    """Yield the files in which the log of a checkpoint's run may lie, the likeliest first."""
    folder = checkpoint.parent
    files = _files(folder)
    stems = {checkpoint.stem, *(p.stem for p in files if p.suffix.lower() in CHECKPOINTS)}

    def owner(path: Path) -> str:
        of = (s for s in stems if re.match(re.escape(s) + r"(?![A-Za-z0-9])", path.name))
        return max(of, key=len, default="")

    recorded = [p for p in files if p.name.endswith(SUFFIX)]
    named = [p for p in files if OWN.fullmatch(p.name) and p not in recorded]
    for group in (recorded, named):
        mine = tuple(p for p in group if owner(p) == checkpoint.stem)
        if mine:
            yield Group(mine, own=True, run=True)
    yield Group(tuple(p for p in recorded if not owner(p)))
    above = folder.parent if folder.name.startswith("checkpoint") else None
    for place in (folder, above):
        if place is not None:
            held = files if place == folder else _files(place)
            yield from _in(place, [p for p in held if place != folder or not owner(p)])


def groups_in(folder: Path) -> Iterator[Group]:
    """Yield the logs in a folder that was named as one."""
    files = _files(folder)
    yield Group(tuple(p for p in files if p.name.endswith(SUFFIX)))
    yield from _in(folder, files)


def _in(folder: Path, files: list[Path]) -> Iterator[Group]:
    for name in ("trainer_state.json", "metrics.csv"):
        yield Group(tuple(p for p in files if p.name == name))
    known = (p for p in files if KNOWN.fullmatch(p.name) and p.name != "metrics.csv")
    yield Group(tuple(known), run=True)
    versions = _versions(folder)
    yield Group(tuple(p for v in versions if (p := v / "metrics.csv").is_file()))
    for place in (folder, *versions):
        yield Group(event_files(place), events=True)


def event_files(folder: Path) -> tuple[Path, ...]:
    """Return TensorBoard's files in a folder, the oldest first."""
    found = [p for p in _files(folder) if p.name.startswith("events.out.tfevents.")]
    return tuple(found[:MOST_VERSIONS])


def other_models(checkpoint: Path) -> list[str]:
    """Return the checkpoints in the folder that by their names are of other models."""
    return [
        path.name
        for path in _files(checkpoint.parent)
        if path.suffix.lower() in MODELS
        and _model(path.stem) != _model(checkpoint.stem)
        and not NO_MODELS.fullmatch(path.stem)
    ]


def _model(stem: str) -> str:
    return _RUN.sub(" ", stem).strip().lower()


def _versions(folder: Path) -> list[Path]:
    logs = folder / "lightning_logs"
    found = [p for p in _entries(logs) if VERSION.fullmatch(p.name) and p.is_dir()]
    return sorted(found, key=lambda p: int(p.name.rpartition("_")[2]))[-MOST_VERSIONS:]


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:MOST_FILES]
    except OSError:
        return []
