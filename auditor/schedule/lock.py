"""One audit of a subject at a time, whatever starts them: a lock that a crash lets go."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text
from auditor.core.whole import make_folder
from auditor.history.place import state_folder


def subject_key(spec: AuditSpec) -> str:
    """Return what two runs share that audit one subject."""
    parts = (str(spec.base.resolve()), spec.name, spec.model.factory, spec.model.checkpoint)
    return json.dumps(parts)


@contextmanager
def alone(key: str, *, waits: bool, say: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock of `key`; yield False at once where another holds it and this one won't wait.

    The system lets go of the lock when the process ends, however it ends. Where the lock can't be
    made (a home that can't be written to), the run goes on without, and says so.
    """
    try:
        descriptor = os.open(_file(key), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        reason = error.strerror or error
        say(f"no lock could be made ({clean_text(reason)}): another audit may run beside this one")
        yield True
        return
    try:
        got = _locked(descriptor, fcntl.LOCK_NB)
        if not got and waits:
            say(f"waiting: {_other(descriptor)} is auditing the same subject")
            got = _locked(descriptor)
        if got:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        else:
            say(f"left alone: {_other(descriptor)} is auditing the same subject")
        yield got
    finally:
        os.close(descriptor)


def _locked(descriptor: int, flag: int = 0) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flag)
    except BlockingIOError:
        return False
    return True


def _other(descriptor: int) -> str:
    said = os.pread(descriptor, 20, 0)
    return f"process {said.decode()}" if said.isdigit() else "another process"


def _file(key: str) -> Path:
    state = state_folder()
    if state is None:
        raise OSError("no home folder")
    folder = state / "auditor" / "locks"
    make_folder(folder)
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return folder / f"{digest}.lock"
