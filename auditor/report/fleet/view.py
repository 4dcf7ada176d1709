"""What the pages of a fleet show of each model, in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from auditor.core.text import clean_text, counted
from auditor.core.verdict import SEVERITY, Verdict
from auditor.report.fleet.models import Audit, Model
from auditor.report.told import changes_told, counts_of
from auditor.report.wording import WORDS, date, prose

STRIP = 30
"""Audits that the strip of a model shows, the newest."""
_TALLY = {
    Verdict.FAIL: "failed",
    Verdict.WARN: "with warnings",
    Verdict.INCOMPLETE: "incomplete",
    Verdict.PASS: "passed",
}


@dataclass(frozen=True)
class Mark:
    """A verdict on a strip, and what it is the verdict of."""

    verdict: Verdict
    text: str


@dataclass(frozen=True)
class ModelView:
    """One line of the fleet."""

    name: str
    folder: str
    report: Path | None
    """The HTML report of the last audit, where it lies beside its record."""
    verdict: Verdict
    word: str
    counts: str
    sections: tuple[Mark, ...]
    history: tuple[Mark, ...]
    runs: str
    """The strip in words."""
    earlier: int
    """Audits that are older than the strip."""
    news: str
    """When what is found now was found first, unless by the last audit."""
    changes: tuple[str, ...]
    """What the audit that differed last found otherwise, a kind of change each."""
    checkpoint: str
    sha256: str
    audited: str
    day: str


@dataclass(frozen=True)
class FleetView:
    """A whole fleet; `tally` counts the models of each verdict, the worst first."""

    headline: str
    tally: tuple[Mark, ...]
    models: tuple[ModelView, ...]


def view_fleet(models: Sequence[Model]) -> FleetView:
    """Return everything that a page of the fleet shows."""
    views = tuple(map(_model, models))
    counts = Counter(view.verdict for view in views)
    return FleetView(
        headline=_headline(models),
        tally=tuple(
            Mark(verdict, f"{counts[verdict]:,} {_TALLY.get(verdict, WORDS[verdict].lower())}")
            for verdict in sorted(counts, key=SEVERITY.__getitem__, reverse=True)
        ),
        models=views,
    )


def _headline(models: Sequence[Model]) -> str:
    audits = sum(len(model.audits) for model in models)
    changed = sum(len(model.audits) > 1 and model.changed is model.last for model in models)
    told = f"{counted(len(models), 'model')}, {counted(audits, 'audit')}."
    return f"{told} {changed:,} changed with the last audit." if changed else told


def _model(model: Model) -> ModelView:
    glance = model.last.glance
    file = glance.subject.checkpoint
    report = model.last.path.with_name("report.html")
    shown = model.audits[-STRIP:]
    return ModelView(
        name=clean_text(model.name, 120) or "unnamed",
        folder=clean_text(model.folder, 120),
        report=report if report.is_file() else None,
        verdict=glance.verdict,
        word=WORDS[glance.verdict],
        counts=counts_of(glance),
        sections=tuple(
            Mark(section.verdict, f"{prose(section.title, 120)}: {WORDS[section.verdict].lower()}")
            for section in glance.sections[:12]
        ),
        history=tuple(map(_mark, shown)),
        runs=_runs(shown),
        earlier=len(model.audits) - len(shown),
        news=_news(model),
        changes=changes_told(model.changes),
        checkpoint=clean_text(Path(file.path).name, 60) if file else "",
        sha256=clean_text(file.sha256[:12], 40) if file else "",
        audited=date(glance.volatile.started),
        day=_day(model.last),
    )


def _mark(audit: Audit) -> Mark:
    said = [WORDS[audit.glance.verdict].lower(), counts_of(audit.glance)]
    return Mark(audit.glance.verdict, f"{_day(audit)}: {', '.join(filter(None, said))}")


def _runs(audits: Sequence[Audit]) -> str:
    """Return "3 passed, then 2 failed"."""
    verdicts = groupby(audit.glance.verdict for audit in audits)
    runs = [f"{len(list(run)):,} {WORDS[verdict].lower()}" for verdict, run in verdicts]
    return ", then ".join(runs)


def _news(model: Model) -> str:
    if len(model.audits) == 1:
        return "First audit"
    if model.changed is model.audits[0]:
        return f"As in the first audit, {_day(model.changed)}"
    if model.changed is not model.last:
        return f"As before, since {_day(model.changed)}"
    return "" if model.changes else f"Was {WORDS[model.audits[-2].glance.verdict].lower()} before"


def _day(audit: Audit) -> str:
    return date(audit.glance.volatile.started).partition(",")[0]
