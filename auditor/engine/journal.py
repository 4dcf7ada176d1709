"""The journal: every answer as a file, written whole or not at all. No torch."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from auditor.core.errors import InputError
from auditor.core.request import Failed, Request, Unavailable
from auditor.core.subject import SubjectFacts
from auditor.core.text import clean_text, escaped_json
from auditor.core.whole import make_folder, write_whole

FOLDER = "journal"
HEAD = "audit.json"
VERSION = 1


@dataclass(frozen=True)
class Head:
    """What a journal is of; answers are worth keeping only for the same one."""

    version: int
    spec: dict[str, Any]
    facts: SubjectFacts
    environment: dict[str, str]
    started: str
    command: str = ""
    host: str = field(default_factory=platform.node)
    process: int = field(default_factory=os.getpid)
    """Who began it, whoever goes on with it."""
    secrets: str = ""
    """A seal of what `spec` does not tell."""


@dataclass(frozen=True)
class Entry:
    """One answer, and the seconds that the work it came from took until then."""

    request: str
    kind: str
    value: Any
    seconds: float


@dataclass(frozen=True)
class _Versioned:
    version: int


_VERSION = TypeAdapter(_Versioned)
_HEAD = TypeAdapter(Head)
_ENTRY = TypeAdapter(Entry)
_FAILED = TypeAdapter(Failed)
_UNAVAILABLE = TypeAdapter(Unavailable)


def _head_in_json(head: Head) -> bytes:
    return escaped_json(_HEAD.dump_json(head).decode("utf-8")).encode("utf-8")


class Journal:
    """The answers of one audit, in `folder`/journal."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.path = folder / FOLDER
        self._shared = shared

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other audit out of the folder meanwhile.

        Raises:
            InputError: another audit is writing there.
        """
        folder = self.path.parent
        make_folder(folder, shared=self._shared)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise InputError(
                f"{clean_text(folder)}: another audit is writing there; wait for it, or choose "
                "another folder with --out"
            ) from error
        finally:
            os.close(descriptor)

    def begin(self, head: Head) -> None:
        """Start anew, forgetting an earlier audit's answers."""
        shutil.rmtree(self.path, ignore_errors=True)
        make_folder(self.path, shared=self._shared)
        self._write(self.path / HEAD, _head_in_json(head))

    def go_on(self, head: Head) -> None:
        """Keep the answers of an audit that goes on under a new head."""
        for left in self.path.glob(".*"):
            left.unlink(missing_ok=True)
        self._write(self.path / HEAD, _head_in_json(head))

    def head(self) -> Head:
        """Return what this journal is of.

        Raises:
            InputError: there is no journal here, or a broken one, or one of another version.
        """
        path = self.path / HEAD
        try:
            data = path.read_bytes()
            version = _VERSION.validate_json(data).version
            if version != VERSION:
                raise InputError(
                    f"{clean_text(path)}: a journal of version {version}; this program reads "
                    f"version {VERSION}"
                )
            return _HEAD.validate_json(data)
        except OSError as error:
            raise InputError(
                f"{clean_text(self.path.parent)}: no journal of an audit here (expected "
                f"{FOLDER}/{HEAD})"
            ) from error
        except ValidationError as error:
            raise InputError(
                f"{clean_text(path)}: not the journal of an audit, or a damaged one; "
                "run `audit run` again"
            ) from error

    def write(self, request: Request[Any], answer: Any, seconds: float) -> None:
        """Keep an answer."""
        adapter: TypeAdapter[Any] = TypeAdapter(type(answer))
        entry = {
            "request": request.key,
            "kind": type(answer).__name__,
            "value": adapter.dump_python(answer, mode="json"),
            "seconds": seconds,
        }
        # Half a surrogate pair, which a name out of a checkpoint may hold, can't be read again.
        text = escaped_json(json.dumps(entry, allow_nan=False, ensure_ascii=False))
        self._write(self._file(request), text.encode(errors="replace"))

    def read(self, request: Request[Any]) -> tuple[Any, float] | None:
        """Return the answer to a request and its seconds, None where there is none.

        Raises:
            InputError: the file is damaged.
        """
        path = self._file(request)
        if not path.exists():
            return None
        try:
            entry = _ENTRY.validate_json(path.read_bytes())
            if entry.kind == "Failed":
                return _FAILED.validate_python(entry.value), entry.seconds
            if entry.kind == "Unavailable":
                return _UNAVAILABLE.validate_python(entry.value), entry.seconds
            adapter: TypeAdapter[Any] = TypeAdapter(request.answer)
            return adapter.validate_json(json.dumps(entry.value)), entry.seconds
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{clean_text(path)}: a damaged answer of an audit; run `audit run` again"
            ) from error

    def answers(self, requests: Iterable[Request[Any]]) -> dict[Request[Any], Any]:
        """Return the answers that are here to some requests.

        Raises:
            InputError: a file is damaged.
        """
        return {r: found[0] for r in requests if (found := self.read(r)) is not None}

    def answered(self, requests: Iterable[Request[Any]]) -> set[Request[Any]]:
        """Return those of `requests` that have an answer worth keeping."""
        kept = set()
        for request in requests:
            with contextlib.suppress(InputError):
                found = self.read(request)
                if found is not None and not isinstance(found[0], Failed):
                    kept.add(request)
        return kept

    def _write(self, path: Path, data: bytes) -> None:
        write_whole(path, data, shared=self._shared)

    def _file(self, request: Request[Any]) -> Path:
        digest = hashlib.sha256(request.key.encode()).hexdigest()[:12]
        return self.path / f"{type(request).__name__}-{digest}.json"
