"""Opening files that anybody may have written: regular ones alone, and none beyond all measure."""

import os
import stat
from io import BufferedReader
from pathlib import Path

from auditor.core.errors import InputError

LARGEST = 256 << 30
"""Bytes of the largest file that is opened."""


def opened(path: Path) -> BufferedReader:
    """Return the regular file at `path`, open for reading.

    Raises:
        InputError: it is missing, no regular file, too large, or can't be read; the message leaves
            the path to the caller.
    """
    try:
        # A FIFO would otherwise wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InputError("the checkpoint does not exist") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its path is none"
        raise InputError(f"can't be read: {reason}") from error
    facts = os.fstat(descriptor)
    problem = ""
    if not stat.S_ISREG(facts.st_mode):
        problem = "not a regular file, but " + _what(facts.st_mode)
    elif facts.st_size == 0:
        problem = "the checkpoint is empty (0 bytes)"
    elif facts.st_size > LARGEST:
        problem = f"{facts.st_size:,} bytes; at most {LARGEST:,} are read"
    if problem:
        os.close(descriptor)
        raise InputError(problem)
    return os.fdopen(descriptor, "rb")


def identity(file: BufferedReader) -> tuple[int, int, int]:
    """Return device, inode and the time of the last change in nanoseconds."""
    facts = os.fstat(file.fileno())
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns


def _what(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
