"""Where the records lie that a command is told to look at."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.record import RECORD
from auditor.core.text import clean_text


def records_below(targets: Sequence[str], warn: Callable[[str], None]) -> Iterator[Path]:
    """Return the records that are named, and all those below the folders that are named.

    Links are not followed, so that no folder leads out of itself. A folder that can't be looked
    into is a warning.

    Raises:
        InputError: a target does not exist.
    """
    for target in targets:
        path = Path(target)
        if not path.exists():
            raise InputError(f"{clean_text(path)}: no such record or folder")
        if path.is_dir():
            yield from _below(path, warn)
        else:
            yield path


def _below(folder: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    def refused(error: OSError) -> None:
        warn(f"{clean_text(error.filename)}: can't be looked into: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=refused):
        folders.sort()
        path = Path(place, RECORD)
        if RECORD in files and stat.S_ISREG(path.lstat().st_mode):
            yield path
