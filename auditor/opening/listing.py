"""What lies in a folder: names and sizes, one level deep and no more than a model has."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import listed

MOST_ENTRIES = 10_000
"""Entries of a folder that is looked into."""


@dataclass(frozen=True)
class Listing:
    """A folder's files with their sizes, its folders, and what else lies there, all in order."""

    files: Mapping[str, int]
    folders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(self.files.values())

    def shown(self) -> str:
        """Return what lies there, for people."""
        names = [*(f"{name}/" for name in self.folders), *self.files, *self.others]
        return listed(names, 6) or "nothing"


def listing_of(folder: Path) -> Listing:
    """Return what lies in a folder.

    Raises:
        InputError: it can't be read, or too much lies in it.
    """
    files: dict[str, int] = {}
    folders: list[str] = []
    others: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count == MOST_ENTRIES:
                    raise InputError(f"a folder of more than {MOST_ENTRIES:,} files")
                mode = _mode(entry)
                if stat.S_ISREG(mode):
                    files[entry.name] = entry.stat().st_size
                else:
                    (folders if stat.S_ISDIR(mode) else others).append(entry.name)
    except OSError as error:
        raise InputError(f"a folder that can't be read: {error.strerror}") from error
    return Listing(dict(sorted(files.items())), tuple(sorted(folders)), tuple(sorted(others)))


def _mode(entry: "os.DirEntry[str]") -> int:
    """Return the mode of what an entry leads to; 0 where it leads nowhere."""
    try:
        return entry.stat().st_mode
    except OSError:
        return 0
