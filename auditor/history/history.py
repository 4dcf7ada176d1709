"""What a history of audits can be asked, wherever it is kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from auditor.core.errors import InputError
from auditor.core.fingerprint import Identity, identity_of
from auditor.core.glance import Glance
from auditor.core.past import Point
from auditor.core.record import AuditRecord


class HistoryError(InputError):
    """A history can't be read or written; the message says which, why and what to do."""


@dataclass(frozen=True)
class Entry:
    """An audit that is kept, without its measures.

    `only` are the checks that it was confined to; all were asked where it is None.
    """

    id: str
    glance: Glance
    clean: bool
    """Whether every check could be judged and none failed, waived findings aside."""
    by_hand: bool
    """Whether somebody accepted it as it is."""
    only: tuple[str, ...] | None = None

    @property
    def identity(self) -> Identity:
        """Return what was audited."""
        return identity_of(self.glance.subject)

    @property
    def complete(self) -> bool:
        """Return whether the audit ran to its end."""
        return self.glance.error is None

    @property
    def accepted(self) -> bool:
        """Return whether later audits may be held against this one."""
        return self.clean or self.by_hand

    def covers(self, only: Sequence[str] | None) -> bool:
        """Return whether it asked the checks that an audit confined to `only` asks."""
        return self.only is None or (only is not None and {*only} <= {*self.only})


@dataclass(frozen=True)
class About:
    """Which audits are looked for; None matches all.

    `before` is a moment in ISO 8601: they had begun then; `besides` is the id of one to leave out.
    """

    name: str | None = None
    factory: str | None = None
    task: str | None = None
    before: str | None = None
    besides: str | None = None


Measures = dict[tuple[str, str], Point]
"""What an audit measured, by check and name of the metric."""


class History(Protocol):
    """A history of audits. Whatever goes wrong is a `HistoryError`."""

    @property
    def shown(self) -> str:
        """Return where it is kept, for people."""

    def add(self, record: AuditRecord) -> str:
        """Keep an audit and return its id; one that is there already is replaced."""

    def entries(self, about: About) -> Iterator[Entry]:
        """Yield the audits looked for, the newest first."""

    def subjects(self) -> tuple[Identity, ...]:
        """Return everything that was ever audited."""

    def id_of(self, start: str) -> str | None:
        """Return the one id that begins so; None where there is none."""

    def record(self, id_: str) -> AuditRecord:
        """Return the record of an audit."""

    def measures(self, id_: str) -> Measures:
        """Return what an audit measured."""

    def accept(self, id_: str, accepted: bool) -> None:
        """Note that somebody accepts an audit as it is, or no longer does."""
