"""The earlier audit that another one is held against."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from auditor.core.record import AuditRecord
from auditor.core.spec import AuditSpec
from auditor.core.text import clean_text, counted
from auditor.history.history import About
from auditor.history.named import LAST, Named, kept, record_named
from auditor.history.place import history_file
from auditor.history.sqlite import SqliteHistory
from auditor.observations.earlier import Earlier, Which, earlier_of
from auditor.opening.hub_config import implied_factory


@dataclass(frozen=True)
class Baseline:
    """What to compare with: the record itself, and what checks see of it and of the accepted one.

    There is no record where none was asked for, or where none fits; `lacking` says then why.
    """

    named: Named | None = None
    earlier: Mapping[Which, Earlier] = field(default_factory=dict)
    lacking: str = ""


def history_of(spec: AuditSpec) -> SqliteHistory:
    """Return the history that a spec names.

    Raises:
        InputError: there is no place for one.
    """
    return SqliteHistory(spec.base / history_file(spec.history.file))


def baseline_of(spec: AuditSpec, before: str | None = None, besides: str | None = None) -> Baseline:
    """Return what a spec's `audit.baseline` names; nothing where it names nothing.

    With `before`, an audit has to have begun before that moment; `besides` is the id of one that
    does not count, the audit itself.

    Raises:
        InputError: it names no record, or the history can't be read.
    """
    name = spec.audit.baseline
    if name is None:
        return Baseline()
    about = About(
        name=clean_text(spec.title, 120),
        factory=implied_factory(spec) or "",
        task=spec.task,
        before=before,
        besides=besides,
    )
    return baseline_named(name, lambda: history_of(spec), about, spec.audit.checks.only, spec.base)


def baseline_named(
    name: str,
    opened: Callable[[], SqliteHistory],
    about: About,
    only: Sequence[str] | None,
    base: Path = Path(),
) -> Baseline:
    """Return the baseline that is meant by `last`, a file, a folder or an id.

    A record that is named stands for the last and for the accepted audit.

    Raises:
        InputError: there is no such record, or the history can't be read.
    """
    if name != LAST:
        return _both(record_named(name, opened, base))
    history = opened()
    if not history.exists:
        return Baseline(lacking=f"there is no history yet ({history.shown})")
    ids: dict[Which, str] = {}
    unfit = 0
    for entry in history.entries(about):
        unfit += 1
        if entry.complete and entry.covers(only):
            ids.setdefault("last", entry.id)
            if entry.accepted:
                ids["accepted"] = entry.id
                break
    if not ids:
        return Baseline(lacking=_lacking(history, about, unfit))
    records = {id_: kept(history, id_) for id_ in {*ids.values()}}
    return Baseline(
        named=records.get(ids.get("last", "")),
        earlier={
            which: earlier_of(records[id_].record, records[id_].source)
            for which, id_ in ids.items()
        },
    )


def _lacking(history: SqliteHistory, about: About, unfit: int) -> str:
    """Return why no audit of a history will do, though `unfit` ones are of the subject."""
    name, place = repr(clean_text(about.name or "", 60)), f"the history ({history.shown})"
    if unfit:
        kept = f"none of {counted(unfit, 'earlier audit')}"
        return f"{kept} of {name} in {place} asked all of these checks and came to its end"
    if next(history.entries(About(name=about.name, besides=about.besides)), None) is not None:
        return f"{place} holds no earlier audit of this {name}, but of another factory or task"
    return f"{place} holds no earlier audit of {name}"


def of_record(record: AuditRecord, source: str) -> Baseline:
    """Return a record that is at hand as a baseline."""
    return _both(Named(record, source, None))


def _both(named: Named) -> Baseline:
    earlier = earlier_of(named.record, named.source)
    return Baseline(named, {"last": earlier, "accepted": earlier})
