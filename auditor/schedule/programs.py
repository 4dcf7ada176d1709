"""Running the programs that schedules are installed by."""

import os
import subprocess
from collections.abc import Sequence

from auditor.core.errors import AuditBrokenError
from auditor.core.text import clean_text

LONGEST = 60.0
"""Seconds that such a program may take."""


def ran(command: Sequence[str], given: bytes | None = None) -> tuple[int, bytes, bytes]:
    """Run a program and return its exit code and what it wrote to both streams.

    Raises:
        AuditBrokenError: it is not there, can't be started or doesn't end.
    """
    try:
        done = subprocess.run(
            command,
            input=given or b"",
            capture_output=True,
            timeout=LONGEST,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        said = getattr(error, "strerror", None) or f"no end within {LONGEST:.0f} s"
        raise AuditBrokenError(f"{command[0]}: {said}") from error
    return done.returncode, done.stdout, done.stderr


def must(command: Sequence[str], given: bytes | None = None) -> bytes:
    """Run a program and return what it wrote.

    Raises:
        AuditBrokenError: it failed; the message holds the last line that it said.
    """
    code, written, said = ran(command, given)
    if code:
        last = (said.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
        raise AuditBrokenError(f"{' '.join(command[:3])} failed ({code}): {clean_text(last)}")
    return written
