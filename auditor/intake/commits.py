"""The commits that a checkpoint and the files beside it say they were trained from."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.core.text import clean_text
from auditor.intake.checkpoint import Checkpoint
from auditor.observations.code import RecordedCommit

KEYS = frozenset(
    {
        *("commit", "commitid", "commithash", "commitsha", "codecommit", "sourcecommit"),
        *("git", "gitcommit", "gitcommithash", "gitcommitid", "gitcommitsha", "gitsha"),
        *("githash", "gitrevision", "gitrev", "githead", "sha", "revision"),
    }
)
"""Names under which scripts keep a commit, without what parts their words."""

COMMIT = re.compile(r"(?=.*[a-f]|.{40})([0-9a-f]{7,40})(\+|[-_ ]?\(?dirty\)?)?", re.IGNORECASE)
"""A commit, cut or whole, and the mark of a changed work tree; a plain number is none."""


def recorded_commits(checkpoint: Checkpoint) -> Iterator[RecordedCommit]:
    """Yield the commits that a checkpoint and the files beside it name, each once."""
    named: list[tuple[str, Any, bool]] = [
        (f"checkpoint: {key}", value, False) for key, value in checkpoint.extras.items()
    ]
    for name, held in checkpoint.beside.items():
        named += [(f"{name}: {key}", value, False) for key, value in _flat(held)]
    header = checkpoint.recorded
    if header is not None:
        dirty = bool(header.code.get("dirty"))
        named.append((f"{header.name}: commit", header.code.get("commit"), dirty))
    seen: set[str] = set()
    for where, value, dirty in named:
        key = where.rpartition(": ")[2].rpartition(".")[2]
        found = COMMIT.fullmatch(str(value).strip())
        if _plain(key) in KEYS and found and found[1].lower() not in seen:
            seen.add(found[1].lower())
            marked = dirty or found[2] is not None
            yield RecordedCommit(found[1].lower(), clean_text(where, 120), False, dirty=marked)


def _flat(held: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in held.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value


def _plain(key: str) -> str:
    """Return a key without what parts its words; one that begins with `_` is a library's own."""
    return "" if key.startswith("_") else re.sub(r"[^a-z0-9]", "", key.lower())
