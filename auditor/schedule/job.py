"""A scheduled audit as one value, and what its program is told."""

import hashlib
import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.schedule.every import When

LONGEST = 48
"""Characters of a name; Kubernetes adds some of its own."""

ENVIRONMENT = ("AUDIT_HISTORY", "XDG_STATE_HOME")
"""What tells an audit where its history and its locks are, where it is set: a scheduler starts
programs without the settings of a user's shell."""

_NAME = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{LONGEST - 2}}}[a-z0-9])?")


@dataclass(frozen=True)
class Job:
    """An audit of a spec, now and then.

    `program` starts this program; `environment` are variables it is given; `secrets` are the
    variables that the spec's notifications take out of the environment.
    """

    name: str
    spec: Path
    when: When
    program: tuple[str, ...]
    keep: int = 30
    metrics: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Return the folder that the audit runs in: the one of its spec."""
        return self.spec.parent

    @property
    def words(self) -> tuple[str, ...]:
        """Return the command on this machine, word by word."""
        metrics = () if self.metrics is None else ("--metrics", str(self.metrics))
        dated = ("--dated", "--keep", str(self.keep))
        return (*self.program, "run", str(self.spec), *dated, *metrics, *COMPARED, "--quiet")

    @property
    def mark(self) -> str:
        """Return the line of JSON by which an installed schedule is known again."""
        return json.dumps({"name": self.name, "spec": str(self.spec), "when": self.when.text})


COMPARED = ("--if-running", "leave", "--baseline", "last", "--fail-on", "new")
"""How every scheduled audit runs: one at a time, and only what is new is a failure."""


@dataclass(frozen=True)
class Entry:
    """A schedule that is installed, as `Job.mark` tells it."""

    name: str
    spec: str
    when: str


def entry_of(mark: str) -> Entry | None:
    """Return what a mark tells, None where it is none."""
    try:
        told = json.loads(mark)
        return Entry(str(told["name"]), str(told["spec"]), str(told["when"]))
    except (ValueError, KeyError, TypeError):
        return None


def name_for(given: str | None, spec: AuditSpec, path: Path) -> str:
    """Return the name of a schedule: the one given, or one made of the spec's.

    Raises:
        InputError: the name given can't be one.
    """
    if given is not None:
        if not _NAME.fullmatch(given):
            raise InputError(
                f"--name: {clean_text(given, 60)!r} can't be a schedule's name; expected small "
                f"letters, digits and dashes between them, {LONGEST} at most"
            )
        return given
    title = spec.name or (path.stem if path.stem != "audit" else path.parent.name)
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain)[:LONGEST].strip("-")
    return name or f"model-{hashlib.sha256(title.encode(errors='replace')).hexdigest()[:8]}"


def fit_to_write(path: Path, what: str) -> Path:
    """Return a path, once it is sure that each scheduler's file can name it.

    Raises:
        InputError: it has a character that one of them can't.
    """
    for character in str(path):
        if character == "\\" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise InputError(
                f"{what}: {clean_text(path)} can't be scheduled: its path has the character "
                f"{clean_text(repr(character))}; rename it or a folder above it"
            )
    return path


def this_program() -> tuple[str, ...]:
    """Return the words that start this program, by its full path."""
    script = Path(sys.executable).with_name("audit")
    if os.access(script, os.X_OK):
        return (str(fit_to_write(script, "the program")),)
    return (str(fit_to_write(Path(sys.executable), "the program")), "-P", "-m", "auditor.cli")


def environment_of(variables: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what a scheduled audit is given of the variables of whoever schedules it."""
    found = ((name, variables.get(name, "")) for name in ENVIRONMENT)
    return tuple((name, str(fit_to_write(Path(value), name))) for name, value in found if value)
