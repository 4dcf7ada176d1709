"""What git tells of a repository, offline, without anything in it being changed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 20.0
"""Seconds that git may take to answer one question."""

LONGEST = 32_000_000
"""Bytes of an answer that are read."""

QUIET = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "protocol.allow=never"),
)
"""Settings with which git starts no program of the repository's, and reaches no network."""

PASSED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME", "SYSTEMROOT", "USERPROFILE")
"""Variables that git gets: a hook's `GIT_DIR`, for one, would point to another repository."""

URL = re.compile(r"(?P<scheme>https?|ssh|git|git\+ssh)://(?:[^/@]*@)*(?P<rest>[^?#\s]*)", re.I)
SHORT = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]{2,}):(?P<path>[^/\\:@][^:@\s]*)")


@dataclass(frozen=True)
class Answer:
    """What git wrote, or why it did not answer; one of the two is empty."""

    text: str = ""
    reason: str = ""

    @property
    def parts(self) -> list[str]:
        """Return what git separates by zero bytes."""
        return [part for part in self.text.split("\0") if part]


def ask(folder: Path, *question: str) -> Answer:
    """Return what git answers in a folder."""
    program = shutil.which("git")
    if program is None:
        return Answer(reason="git is not installed")
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    quiet = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            [program, "--no-pager", *QUIET, "-C", str(folder), *question],
            env={**kept, **quiet, "GIT_NO_LAZY_FETCH": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(reason=f"git did not answer within {PATIENCE:.0f} seconds")
    except OSError as error:
        return Answer(reason=f"git can't be run: {error.strerror}")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        if "dubious ownership" in said:
            return Answer(reason="git does not trust the folder, which belongs to another user")
        return Answer(reason=said.partition("\n")[0] or "git refused")
    return Answer(done.stdout[:LONGEST].decode("utf-8", "surrogateescape"))


@dataclass
class Status:
    """Where a work tree stands; paths are relative to its root."""

    commit: str = ""
    branch: str = ""
    upstream: str = ""
    ahead: int = 0
    changed: list[str] = field(default_factory=list)
    submodules: list[str] = field(default_factory=list)


def read_status(answer: Answer) -> Status:
    """Read what `git status --porcelain=v2 --branch -z` wrote."""
    status = Status()
    parts = iter(answer.parts)
    for part in parts:
        kind, _, rest = part.partition(" ")
        if kind == "#":
            name, _, value = rest.partition(" ")
            if name == "branch.oid":
                status.commit = "" if value == "(initial)" else value
            elif name == "branch.head":
                status.branch = "" if value == "(detached)" else value
            elif name == "branch.upstream":
                status.upstream = value
            elif name == "branch.ab":
                status.ahead = int(value.split()[0])
        elif kind in ("1", "2", "u"):
            columns = part.split(" ", {"1": 8, "2": 9, "u": 10}[kind])
            status.changed.append(columns[-1])
            if columns[2].startswith("S"):
                status.submodules.append(columns[-1])
            if kind == "2":
                next(parts, None)  # the name before
    return status


def shown_remote(url: str) -> str:
    """Return a remote's address without user, password, token or query; a path is not told."""
    whole = URL.fullmatch(url.partition("?")[0].partition("#")[0].strip())
    if whole is not None:
        return f"{whole['scheme'].lower()}://{whole['rest']}"
    short = SHORT.fullmatch(url.strip())
    if short is not None:
        return f"{short['host']}:{short['path']}"
    return "a folder or an address of another kind"


def head_without_git(folder: Path) -> tuple[Path | None, str, str]:
    """Return the root of the repository around a folder, its commit and branch, read off its files.

    They are None and empty where there is none, or where they can't be read.
    """
    root = next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)
    if root is None:
        return None, "", ""
    store = root / ".git"
    if store.is_file():
        store = root / _read(store).partition("gitdir:")[2].strip()
    head = _read(store / "HEAD")
    if not head.startswith("ref:"):
        return root, _commit(head), ""
    reference = head.removeprefix("ref:").strip()
    if ".." in reference or not re.fullmatch(r"refs/[\w./-]+", reference):
        return root, "", ""
    shared = store / (_read(store / "commondir") or ".")
    loose = (_commit(_read(place / reference)) for place in (store, shared))
    commit = next(filter(None, loose), "") or _packed(_lines(shared / "packed-refs"), reference)
    return root, commit, reference.removeprefix("refs/heads/")


def _packed(lines: Iterable[str], reference: str) -> str:
    for line in lines:
        commit, _, name = line.partition(" ")
        if name.strip() == reference:
            return _commit(commit)
    return ""


def _commit(text: str) -> str:
    return text.strip() if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text.strip()) else ""


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST).splitlines()
    except OSError:
        return []
