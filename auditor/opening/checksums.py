"""Hashing a file and comparing the checksums of its parts in one pass over its bytes."""

import hashlib
import zlib
from collections import deque
from collections.abc import Iterable
from io import BufferedReader
from threading import Thread
from typing import NamedTuple

from auditor.core.errors import InputError
from auditor.core.text import clean_text

CHUNK = 4 << 20
"""Bytes that are read at once."""


class Run(NamedTuple):
    """A run of bytes whose checksum (CRC-32) is known, and what it is called."""

    start: int
    size: int
    crc: int
    name: str


def hashed(file: BufferedReader, runs: Iterable[Run] = ()) -> str:
    """Return the SHA-256 of a file; runs must not overlap.

    Raises:
        InputError: the checksum of a run does not fit its bytes.
    """
    whole = hashlib.sha256()
    ordered = sorted(runs)
    waiting = deque(run for run in ordered if run.size)
    crc = place = 0
    file.seek(0)
    while data := file.read(CHUNK):
        # Importing a pool of threads takes as long as reading a small checkpoint.
        hashing = Thread(target=whole.update, args=(data,))
        hashing.start()
        memory, end = memoryview(data), place + len(data)
        while waiting and waiting[0].start < end:
            run = waiting[0]
            stop = run.start + run.size
            crc = zlib.crc32(memory[max(run.start - place, 0) : stop - place], crc)
            if stop > end:
                break
            if crc != run.crc:
                raise _damaged(run)
            waiting.popleft()
            crc = 0
        place = end
        hashing.join()
    if left := [*waiting, *(run for run in ordered if not run.size and run.crc)]:
        raise _damaged(left[0])
    return whole.hexdigest()


def compare(file: BufferedReader, runs: Iterable[Run]) -> None:
    """Compare checksums alone; of many small files, hashing each would take most of the time.

    Raises:
        InputError: as `hashed`.
    """
    for run in sorted(runs):
        file.seek(run.start)
        crc, left = 0, run.size
        while left and (data := file.read(min(left, CHUNK))):
            crc, left = zlib.crc32(data, crc), left - len(data)
        if left or crc != run.crc:
            raise _damaged(run)


def _damaged(run: Run) -> InputError:
    return InputError(
        f"the checkpoint is damaged: the checksum of {clean_text(run.name, 120)} does not fit its "
        "bytes"
    )
