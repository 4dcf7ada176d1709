"""The child process that reads a checkpoint, as its parent sees it: bounded, and never trusted."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.child import FOUND, ORDER, SPILLED
from auditor.opening.contents import SPILL, Block, Contents, contents_from_json
from auditor.opening.files import identity, opened
from auditor.opening.kinds import reader_of_file, reader_of_folder
from auditor.opening.listing import listing_of
from auditor.opening.reading import MOST_SPILLED

SECONDS = 8
"""Seconds that a small file may take; a larger one takes a second more for each `PACE` bytes."""
PACE = 40_000_000

COMPUTING = 4
"""Seconds of computing that a small file may take, however long it has to wait for them."""

READERS = "auditor.opening.readers"

MOST_TOLD = 64 << 20
"""Bytes of what the child process may tell."""

KEPT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables of the environment that the child inherits: those by which programs are found."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint that was looked into, and the files in which the bytes of its tensors lie."""

    path: Path
    contents: Contents
    files: tuple[BufferedReader, ...]
    spill: BufferedReader

    def fill(self, block: Block, memory: memoryview, start: int = 0) -> None:
        """Read a block's bytes from `start` on into `memory`.

        Raises:
            InputError: the block is not that long, or the file has changed.
        """
        file = self.spill if block.file == SPILL else self.files[block.file]
        if start < 0 or start + len(memory) > block.bytes:
            raise InputError(f"{clean_text(self.path)}: a tensor reaches beyond its bytes")
        place, done = block.offset + start, 0
        while done < len(memory):
            # The child shares the file's position; reading at a place needs none.
            read = os.preadv(file.fileno(), [memory[done:]], place + done)
            if read == 0:
                raise InputError(f"{clean_text(self.path)}: it was cut short while it was read")
            done += read

    def unchanged(self) -> None:
        """Make sure that the files are still those that were looked into.

        Raises:
            InputError: one was changed since.
        """
        for file, read in zip(self.files, self.contents.files, strict=True):
            if identity(file) != read.identity or os.fstat(file.fileno()).st_size != read.bytes:
                raise InputError(f"{clean_text(self.path)}: it was changed while it was read")


@contextlib.contextmanager
def looked_into(path: Path, allow: frozenset[str] = frozenset()) -> Iterator[Opened]:
    """Look into the checkpoint at `path`, a file or a folder, and lend out what was found.

    Raises:
        InputError: it is no checkpoint, a damaged one, one of a kind that is not read, or one that
            takes more time or memory than it should; the message names the path.
    """
    with contextlib.ExitStack() as stack:
        try:
            found = _opened(path, allow, stack)
        except InputError as error:
            raise InputError(f"{clean_text(path)}: {error}") from error
        found.unchanged()
        yield found


def _opened(path: Path, allow: frozenset[str], stack: contextlib.ExitStack) -> Opened:
    """Return what was found; errors leave the path to the caller."""
    try:
        if path.is_dir():
            file, reader, size = None, *reader_of_folder(path)
        else:
            file = stack.enter_context(opened(path))
            size = os.fstat(file.fileno()).st_size
            reader = reader_of_file(file, path.name)
            if reader == "onnx":
                with contextlib.suppress(InputError):  # values may lie in files beside it
                    size += listing_of(path.parent).bytes
    except OSError as error:
        raise InputError(f"can't be read: {clean_text(error.strerror)}") from error
    with tempfile.TemporaryDirectory(prefix="auditor-opening-") as room:
        contents = _read_by_child(Path(room), path, file, reader, size, allow)
        # Open, it outlives its name: nothing is left behind whatever ends this process.
        spill = stack.enter_context((Path(room) / SPILLED).open("rb"))
    files = [] if file is None else [file]
    folder = path if file is None else path.parent
    for read in contents.files[len(files) :]:
        files.append(stack.enter_context(opened(folder / read.name)))
    return Opened(path, contents, tuple(files), spill)


def _read_by_child(
    room: Path,
    path: Path,
    file: BufferedReader | None,
    reader: str,
    size: int,
    allow: frozenset[str],
) -> Contents:
    seconds = SECONDS + size // PACE
    order = {
        "path": str(path),
        "file": file is not None,
        "reader": f"{READERS}.{reader}",
        "allow": sorted(allow),
        "computing": COMPUTING + size // PACE,
        "largest": MOST_SPILLED,
    }
    (room / ORDER).write_text(json.dumps(order), encoding="utf-8")
    process = _started(room, file)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise InputError(f"reading it takes longer than {seconds} s") from None
    finally:
        process.kill()
        process.wait()
    found = room / FOUND
    if code != 0 or not found.is_file():
        raise InputError(f"reading it ended the process that did it ({_fate(code)})")
    if found.stat().st_size > MOST_TOLD:
        raise InputError("it holds more values than a checkpoint does")
    told = json.loads(found.read_text(encoding="utf-8"))
    if "refused" in told:
        raise InputError(
            "\n".join(clean_text(line, 400) for line in told["refused"].split("\n")[:4])
        )
    return contents_from_json(told)


def _started(room: Path, file: BufferedReader | None) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "auditor.opening.child", str(room)],
        stdin=file if file is not None else subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment | {"PYTHONUTF8": "1", "HOME": str(room), "TMPDIR": str(room)},
    )


def _fate(code: int) -> str:
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return "it takes more time or memory than a checkpoint does"
    if code >= 0:
        return f"exit code {code}"
    return {int(one): one.name for one in signal.Signals}.get(-code, f"signal {-code}")
