"""Many records as a fleet: models with the history of their audits, newest changes first."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from os.path import commonpath
from pathlib import Path

from auditor.core.changes import Change, changes
from auditor.core.fingerprint import Identity, identity_of
from auditor.core.glance import Glance
from auditor.core.moments import moment_of


@dataclass(frozen=True)
class Audit:
    """One audit, and the file of its record."""

    path: Path
    glance: Glance

    @property
    def moment(self) -> datetime:
        """Return when the audit began; what is no date comes before every date."""
        return moment_of(self.glance.volatile.started, _NEVER)


_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Model:
    """A model and its audits, the oldest first; `folder` tells models of one name apart."""

    name: str
    folder: str
    audits: tuple[Audit, ...]

    @property
    def last(self) -> Audit:
        """Return the newest audit."""
        return self.audits[-1]

    @property
    def changed(self) -> Audit:
        """Return the newest audit that differs from the one before; failing that the first."""
        return self._step[1]

    @property
    def changes(self) -> tuple[Change, ...]:
        """Return what that audit found otherwise than the one before it."""
        before, after = self._step
        return () if before is None else _changes(before, after)

    @property
    def _step(self) -> tuple[Audit | None, Audit]:
        steps = pairwise(reversed(self.audits))
        differ = ((before, after) for after, before in steps if _differ(before, after))
        return next(differ, (None, self.audits[0]))


def fleet(audits: Iterable[Audit]) -> tuple[Model, ...]:
    """Return the models that were audited, those that changed last first.

    Audits belong to one model where name, factory and task agree. A record that lies in two
    places is one audit.
    """
    found: dict[Identity, dict[tuple[str, str, int], Audit]] = defaultdict(dict)
    for audit in sorted(audits, key=lambda audit: (len(audit.path.parts), audit.path.as_posix())):
        run = audit.glance.volatile
        mine = found[identity_of(audit.glance.subject)]
        mine.setdefault((run.started, run.host, run.process), audit)
    names = [identity.name for identity in found]
    models = [
        Model(
            identity.name,
            _folder(known.values()) if names.count(identity.name) > 1 else "",
            tuple(sorted(known.values(), key=lambda audit: (audit.moment, audit.path.as_posix()))),
        )
        for identity, known in found.items()
    ]
    models.sort(key=lambda model: (model.name, model.folder))
    models.sort(key=lambda model: (model.changed.moment, model.last.moment), reverse=True)
    return tuple(models)


def _differ(before: Audit, after: Audit) -> bool:
    return before.glance.verdict is not after.glance.verdict or bool(_changes(before, after))


def _changes(before: Audit, after: Audit) -> tuple[Change, ...]:
    return changes(before.glance.outcomes, after.glance.outcomes)


def _folder(audits: Iterable[Audit]) -> str:
    """Return the folder that holds all the records."""
    folders = [audit.path.parent for audit in audits]
    if len({folder.is_absolute() for folder in folders}) > 1:
        folders = [folder.absolute() for folder in folders]
    return Path(commonpath(folders)).as_posix()
