"""The worker as the supervisor sees it: a process, and the pipe to it. No torch."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from auditor.core.errors import InputError
from auditor.core.request import request_to_json
from auditor.core.spec import AuditSpec
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text
from auditor.engine.plan import Work
from auditor.observations.earlier import Earlier, Which

_FACTS = TypeAdapter(SubjectFacts)
EARLIER: TypeAdapter[Mapping[Which, Earlier]] = TypeAdapter(Mapping[Which, Earlier])

ENDING = 10.0
"""Seconds that a worker may take to end after it closed its pipe."""

PATIENT = {"OMP_WAIT_POLICY": "passive"}
"""Has the worker's threads sleep while they wait for one another.

Spinning, which is OpenMP's default, makes each of two audits on the same cores ten times slower.
"""

LOOK = 0.5
"""Seconds between looks at whether a silent worker is still there."""


class WorkerDiedError(Exception):
    """The worker is gone; the message says how."""


class WorkerProcess:
    """A worker process and the pipe to it."""

    def __init__(
        self, spec: AuditSpec, folder: Path, earlier: Mapping[Which, Earlier] | None = None
    ) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in kill
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "auditor.engine.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
            env=PATIENT | os.environ,
        )
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        self._unread = b""
        self.gone = False
        _offer_to_oom_killer(self._process.pid)
        self._order = {
            "spec": spec.model_dump(mode="json"),
            "base": str(spec.base.resolve()),
            "fetched": None if spec.fetched is None else str(spec.fetched),
            "folder": str(folder.resolve()),
            "earlier": EARLIER.dump_python(earlier or {}, mode="json"),
        }

    def load(self, limit: float) -> tuple[SubjectFacts, dict[str, str]]:
        """Bring the subject in.

        Raises:
            InputError: the worker refused it.
            WorkerDiedError: the worker died or took longer than `limit` seconds.
        """
        self._say(self._order)
        told = self._heard(time.monotonic() + limit, limit)
        if told["event"] == "refused":
            raise InputError(told["reason"])
        return _FACTS.validate_python(told["facts"]), told["environment"]

    def do(self, work: Work, limit: float, advanced: Callable[[], None]) -> str:
        """Have a piece of work done; return why an answer of it failed, empty if none did.

        Raises:
            WorkerDiedError: the worker died or took longer than `limit` seconds.
        """
        self._say(
            {
                "requests": [request_to_json(request) for request in work.requests],
                "sweep": asdict(work.sweep) if work.sweep else None,
            }
        )
        failed = ""
        deadline = time.monotonic() + limit
        while (told := self._heard(deadline, limit))["event"] != "done":
            if told["event"] == "advanced":
                advanced()
            else:
                failed = failed or told["failed"]
        return failed

    def kill(self) -> None:
        """End the worker and whatever it started."""
        self.gone = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _say(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error

    def _heard(self, deadline: float, limit: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kill()
                raise WorkerDiedError(
                    f"it took longer than the time limit of {limit:g} s (--time-limit)"
                )
            # A child of the worker may hold the pipe open for longer than the worker lives.
            ended = self._process.poll() is not None
            if self._selector.select(0 if ended else min(left, LOOK)):
                data = os.read(self._process.stdout.fileno(), 1 << 16)
                if not data:
                    raise self._died()
                self._unread += data
            elif ended:
                raise self._died()
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError as error:
            self.kill()
            raise WorkerDiedError("something wrote to the pipe of the worker") from error
        return told

    def _died(self) -> WorkerDiedError:
        try:
            code = self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.kill()
            return WorkerDiedError("the worker closed its pipe")
        last = self._last_words()
        self.kill()
        if code < 0:
            known = {int(known): known.name for known in signal.Signals}
            name = known.get(-code, f"signal {-code}")
            hint = " (out of memory, perhaps)" if name == "SIGKILL" else ""
            return WorkerDiedError(f"the worker was ended by {name}{hint}")
        return WorkerDiedError(f"the worker ended with exit code {code}{last}")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, self._log.tell() - 4096))
            lines = self._log.read().decode(errors="replace").strip().splitlines()
            if lines:
                return f": {clean_text(lines[-1], 160)}"
        return ""


def _offer_to_oom_killer(process: int) -> None:
    """Have the kernel end the worker, rather than the supervisor, when memory runs out."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/oom_score_adj").write_text("1000")
