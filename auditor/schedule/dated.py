"""Reports in folders named by when they began, and how many of them are kept."""

import contextlib
import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.fingerprint import Identity, identity_of
from auditor.core.glance import read_glance
from auditor.core.record import RECORD
from auditor.core.text import clean_text
from auditor.core.whole import OWN_FOLDER, make_folder
from auditor.engine.journal import Journal

_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{4}Z(?:-\d{1,3})?", re.ASCII)


@contextlib.contextmanager
def dated_folder(parent: Path, now: datetime, *, shared: bool = False) -> Iterator[Path]:
    """Make a folder of its own for reports: `2026-11-27T0200Z`, or that and `-2`.

    Where nothing was written to it, it is taken away again.
    """
    name = now.astimezone(UTC).strftime("%Y-%m-%dT%H%MZ")
    for count in itertools.count(1):
        folder = parent / (name if count == 1 else f"{name}-{count}")
        try:
            make_folder(parent, shared=shared)
            folder.mkdir(mode=0o777 if shared else OWN_FOLDER)
            break
        except FileExistsError:
            continue
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def old_folders(parent: Path, subject: Identity, keep: int) -> tuple[Path, ...]:
    """Return the folders of a subject's reports beyond the `keep` newest, the oldest first.

    A folder is one of ours where it is no link, its name is a date as `dated_folder` writes it,
    and a record of the same subject lies in it. Whatever else lies there is left alone.
    """
    found = [
        (place, folder)
        for folder, place in _dated(parent)
        if (theirs := _subject(folder)) is not None and theirs == subject
    ]
    return tuple(folder for _, folder in sorted(found)[: max(0, len(found) - keep)])


def prune(parent: Path, subject: Identity, keep: int) -> tuple[str, ...]:
    """Delete what `old_folders` names, and return what could not be deleted, and why.

    A folder that an audit is writing to is left for the next time.
    """
    problems = []
    for folder in old_folders(parent, subject, keep):
        try:
            with contextlib.suppress(InputError), Journal(folder).held():
                shutil.rmtree(folder)
        except OSError as error:
            problems.append(f"--keep: {clean_text(folder)} stays: {error.strerror}")
    return tuple(problems)


def _dated(parent: Path) -> Iterator[tuple[Path, tuple[str, int]]]:
    """Yield folders that are named as ours are, and their place in time."""
    for entry in os.scandir(parent):
        if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
            moment, _, count = entry.name.partition("Z")
            yield Path(entry), (moment, int(count.removeprefix("-") or 1))


def _subject(folder: Path) -> Identity | None:
    """Return the subject of the record in a folder, None where there is none to read."""
    record = folder / RECORD
    try:
        if not stat.S_ISREG(record.lstat().st_mode):
            return None
        return identity_of(read_glance(record).subject)
    except (OSError, InputError):
        return None
