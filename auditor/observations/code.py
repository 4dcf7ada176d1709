"""Which code the model and its data are made by, and whether it can be had again."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request

FileState = Literal[
    "committed", "modified", "untracked", "ignored", "outside", "unknown", "installed", "typed"
]
"""How a file stands in its git repository; `outside` of any, `unknown` where git does not tell,
`installed` as part of a package, `typed` into a notebook or an interactive session."""


@dataclass(frozen=True)
class CodeFile:
    """A file of the user's code: what it makes ("model.factory"), and how it stands.

    `path` is relative to the repository, else to the spec's folder. `package` is the distribution
    that an installed one belongs to, with its version.
    """

    makes: str
    path: str
    state: FileState
    package: str = ""


@dataclass(frozen=True)
class Repository:
    """The git repository that holds the model's code, as far as it can be told offline.

    `changed` are tracked files that differ from the commit, and source files that are not tracked;
    it is cut, `changes` counts them all. `pushed` tells whether a remote is known to have the
    commit, None where that can't be told. `reason` says why git does not tell of files.
    """

    name: str
    commit: str = ""
    branch: str = ""
    remote: str = ""
    changed: tuple[str, ...] = ()
    changes: int = 0
    pushed: bool | None = None
    ahead: int = 0
    submodules: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class RecordedCommit:
    """A commit that was recorded when the model was trained; `where` tells what says so.

    `differing` are files of the model that are not what they were in that commit, None where that
    can't be told. `dirty` where the recording says that files had been changed.
    """

    commit: str
    where: str
    current: bool
    differing: tuple[str, ...] | None = None
    dirty: bool = False


@dataclass(frozen=True)
class CodeState:
    """The files that the model (`model`) and its data are made by, and where they stand."""

    model: tuple[CodeFile, ...]
    others: tuple[CodeFile, ...] = ()
    repository: Repository | None = None
    recorded: tuple[RecordedCommit, ...] = ()


@dataclass(frozen=True)
class CodeOf(Request[CodeState]):
    """Asks which code the model is made by, and whether it is under version control."""

    answer: ClassVar = CodeState
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
