"""The file that findings are attached to in a review, since a review shows nothing without one."""

import posixpath
import re
import shlex
from pathlib import Path, PurePath
from urllib.parse import quote

from auditor.core.record import AuditRecord
from auditor.core.spec_file import SPEC


def source_of(record: AuditRecord) -> str:
    """Return a URI relative to the folder in which the audit was started.

    It is the spec or, where flags or Python stood in for it, the file of the factory: what a reader
    can mend.
    """
    return quote(_relative(_spec(record) or _module(record) or SPEC))


def _spec(record: AuditRecord) -> str:
    """Return the path of the spec, empty where the command of the audit names none."""
    try:
        program, *words = shlex.split(record.command)
    except ValueError:
        return ""
    if program != "audit" or words[:1] != ["run"]:
        return ""
    target = words[1] if len(words) > 1 and not words[1].startswith("-") else ""
    if target.endswith((".yaml", ".yml")):
        return target
    if not target:
        return "" if {"--model", "--checkpoint"} & {*words} else SPEC
    checkpoint = record.subject.checkpoint
    if checkpoint is not None and PurePath(checkpoint.path).name == PurePath(target).name:
        return ""
    return f"{target.rstrip('/')}/{SPEC}"


def _module(record: AuditRecord) -> str:
    name = record.subject.factory.partition(":")[0]
    return name.replace(".", "/") + ".py" if re.fullmatch(r"\w+(\.\w+)*", name) else ""


def _relative(path: str) -> str:
    """Return a path from the current folder, or its last part where it leads out of it."""
    pure = PurePath(path)
    if pure.is_absolute() and pure.is_relative_to(Path.cwd()):
        pure = pure.relative_to(Path.cwd())
    inside = posixpath.normpath(pure.as_posix())
    return pure.name if inside.startswith(("../", "/")) else inside
