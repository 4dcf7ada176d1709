"""The start of a child process as `auditor.opening.process` does it, by a fork instead."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path


class Forking:
    """The process whose forks read checkpoints: what they computed, in seconds and kilobytes."""

    def __init__(self) -> None:
        self.computed = 0.0
        self.memory = 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.many"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def started(self, room: Path, file: object) -> "Forked":
        """Start a child that reads what the order in `room` says."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{room}\n".encode())
        return Forked(self)

    def told(self) -> bytes:
        """Return the next line of its answer."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def close(self) -> None:
        """End it, and see that it was well until then."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(10) == 0


class Forked:
    """A child that was forked; it has of `subprocess.Popen` what its parent needs."""

    def __init__(self, forking: Forking) -> None:
        self._forking = forking
        self._id = int(forking.told())
        self._code: int | None = None

    def wait(self, seconds: float | None = None) -> int:
        """Return its exit code, as `Popen.wait` does."""
        if self._code is None:
            if not select.select([self._forking.process.stdout], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired("child", seconds or 0)
            self._code, computed, memory = json.loads(self._forking.told())
            self._forking.computed += computed
            self._forking.memory = max(self._forking.memory, memory)
        assert self._code is not None
        return self._code

    def kill(self) -> None:
        """Kill it unless it has ended."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._id, signal.SIGKILL)
