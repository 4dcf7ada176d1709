"""What a case of the corpus is: a file that somebody wrote, and what must become of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Bait:
    """Where a case writes its file, and the file that a payload makes if it ever runs."""

    folder: Path
    marker: Path

    @property
    def command(self) -> str:
        """Return the shell command that every payload wants to run."""
        return f"touch {self.marker}"

    @property
    def code(self) -> str:
        """Return the Python that every payload wants to run."""
        return f"open({str(self.marker)!r}, 'w').close()"

    def file(self, name: str = "checkpoint.pt") -> Path:
        """Return the place of the case's file."""
        return self.folder / name


@dataclass(frozen=True)
class Refused:
    """The file ends the audit with exit code 2 and one message, which has one of these texts.

    Upper and lower case count alike.
    """

    says: tuple[str, ...]


@dataclass(frozen=True)
class Read:
    """The file is harmless, however odd, and its weights are read."""


@dataclass(frozen=True)
class Either:
    """The file may be refused or read, so long as nothing of it runs and nothing breaks."""


@dataclass(frozen=True)
class Case:
    """A file of the corpus: `write` makes it and returns what an audit is pointed at.

    `slow` marks one that takes more than a second to write or to read.
    """

    fault: str
    id: str
    write: Callable[[Bait], Path]
    must: Refused | Read | Either
    slow: bool = False

    def __str__(self) -> str:
        return f"{self.fault}/{self.id}"


@dataclass
class Shelf:
    """The cases of one class of faults. A function that writes a case lends it its name."""

    fault: str
    cases: list[Case] = field(default_factory=list)

    def add(
        self,
        id: str,
        must: Refused | Read | Either,
        write: Callable[[Bait], Path],
        *,
        slow: bool = False,
    ) -> None:
        """Put a case onto the shelf."""
        self.cases.append(Case(self.fault, id, write, must, slow))

    def refused(self, *says: str, slow: bool = False) -> Callable[..., Callable[[Bait], Path]]:
        """Return a decorator for a case that must be refused with one of these texts."""
        return self._kept(Refused(says), slow)

    def read(self, *, slow: bool = False) -> Callable[..., Callable[[Bait], Path]]:
        """Return a decorator for a case that must be read."""
        return self._kept(Read(), slow)

    def either(self, *, slow: bool = False) -> Callable[..., Callable[[Bait], Path]]:
        """Return a decorator for a case that may be refused or read."""
        return self._kept(Either(), slow)

    def _kept(
        self, must: Refused | Read | Either, slow: bool
    ) -> Callable[..., Callable[[Bait], Path]]:
        def keep(write: Callable[[Bait], Path]) -> Callable[[Bait], Path]:
            self.add(write.__name__.replace("_", "-"), must, write, slow=slow)
            return write

        return keep
