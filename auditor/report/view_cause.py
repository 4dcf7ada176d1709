"""What a page shows of a likely root cause: short at first sight, the rest to unfold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from auditor.core.record import Cause, Remedy
from auditor.core.text import clean_text
from auditor.report.view_finding import FindingView, view_step
from auditor.report.wording import Span, number, prose, spans

SHOWN_REMEDIES = 2
"""Remedies shown at first sight where all have helped, else one; the others are folded."""

_ENDS = re.compile(r"[.!?](?= [A-Z`])")


@dataclass(frozen=True)
class TrialView:
    """What a remedy did to copies: the measure, both values, and the lengths of their bars."""

    measure: str
    before: str
    after: str
    before_share: int
    after_share: int
    """Percents of the longest bar."""
    helped: bool
    outcome: str


@dataclass(frozen=True)
class RemedyView:
    """Something to do about a cause; `note` says why it was not tried where that is known."""

    text: tuple[Span, ...]
    code: str = ""
    language: str = ""
    trial: TrialView | None = None
    note: str = ""


@dataclass(frozen=True)
class CauseView:
    """A likely root cause: the finding that shows it, those that it explains, what to do."""

    title: tuple[Span, ...]
    confidence: str
    proven: bool
    finding: FindingView | None
    seen: tuple[Span, ...]
    """The first sentence of what the finding says."""
    explains: tuple[tuple[str, str], ...]
    """The name and the id (empty where there is none) of each."""
    remedies: tuple[RemedyView, ...]
    more_remedies: tuple[RemedyView, ...]


def view_cause(cause: Cause, known: Mapping[str, FindingView]) -> CauseView:
    """Return a cause as a page shows it; `known` are all findings of the page by check."""
    first, *others = [clean_text(check, 80) for check in cause.findings] or [""]
    finding = known.get(first)
    remedies = tuple(map(_remedy, cause.remedies))
    helped = all(remedy.helped for remedy in cause.remedies[:SHOWN_REMEDIES])
    shown = SHOWN_REMEDIES if helped else 1
    return CauseView(
        title=spans(clean_text(cause.title, 300)),
        confidence=prose(cause.confidence, 120),
        proven=any(remedy.helped for remedy in cause.remedies),
        finding=finding,
        seen=_opening(finding.summary) if finding is not None else (),
        explains=tuple(
            (known[check].title, known[check].id) if check in known else (check, "")
            for check in others
        ),
        remedies=remedies[:shown],
        more_remedies=remedies[shown:],
    )


def _remedy(remedy: Remedy) -> RemedyView:
    step, measure = view_step(remedy.text), prose(remedy.measure, 160)
    if not remedy.tried:
        return RemedyView(step.text, step.code, step.language, note=measure)
    before, after = (_size(value) for value in (remedy.before, remedy.after))
    longest = max(before, after) or 1.0
    if measure.startswith("accuracy"):
        longest = max(longest, 1.0)
    return RemedyView(
        step.text,
        step.code,
        step.language,
        TrialView(
            measure or "measured",
            number(remedy.before),
            number(remedy.after),
            round(100 * before / longest),
            round(100 * after / longest),
            remedy.helped,
            "better in every run" if remedy.helped else "no certain gain",
        ),
    )


def _size(value: float | None) -> float:
    """Return how long a bar is; what is not finite has none."""
    return abs(value) if value is not None and abs(value) < float("inf") else 0.0


def _opening(summary: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the first sentence of a paragraph."""
    kept: list[Span] = []
    for place, span in enumerate(summary):
        following = summary[place + 1] if place + 1 < len(summary) else None
        # A sentence that ends right before code has its end at the end of the span.
        text = span.text if span.code or following is None else f"{span.text}`"
        end = None if span.code else _ENDS.search(text)
        if end is not None:
            return (*kept, Span(span.text[: end.end()]))
        kept.append(span)
    return tuple(kept)
