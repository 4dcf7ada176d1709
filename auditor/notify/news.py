"""News of an audit: what came out, and what has changed since the one before."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from auditor.core.changes import Change, Kind, changes
from auditor.core.glance import Glance
from auditor.core.verdict import Verdict

GOOD = {Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE}
"""Verdicts with which nobody has to do anything."""


@dataclass(frozen=True)
class News:
    """What is told of an audit; `before` is None of a subject's first audit.

    `report` is where the report lies, `counts` how many findings have each verdict.
    """

    name: str
    before: Verdict | None
    after: Verdict
    changes: tuple[Change, ...]
    counts: tuple[tuple[Verdict, int], ...]
    started: str
    report: str


def news_of(before: Glance | None, after: Glance, report: str) -> News:
    """Return the news of an audit, given the one before it."""
    counted = Counter(outcome.verdict for outcome in after.outcomes)
    return News(
        name=after.subject.name,
        before=None if before is None else before.verdict,
        after=after.verdict,
        changes=() if before is None else changes(before.outcomes, after.outcomes),
        counts=tuple((verdict, counted[verdict]) for verdict in Verdict if counted[verdict]),
        started=after.volatile.started,
        report=report,
    )


def is_worth_telling(on: Literal["change", "always", "fail"], news: News) -> bool:
    """Tell whether somebody who asked for news `on` an occasion wants these.

    A verdict changed where the whole audit's or that of any finding did; that a finding merely
    moved to other places is no reason. A first audit is one where something is to be done.
    """
    if on == "always":
        return True
    if on == "fail":
        return news.after in (Verdict.FAIL, Verdict.INCOMPLETE)
    if news.before is None:
        return news.after not in GOOD
    return news.before is not news.after or any(
        change.kind is not Kind.MOVED for change in news.changes
    )
