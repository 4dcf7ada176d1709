"""News in words, for people."""

import html
from collections.abc import Mapping
from types import MappingProxyType

from auditor.core.changes import Change, Kind
from auditor.core.text import clean_text, listed
from auditor.core.verdict import Verdict
from auditor.notify.news import News

MOST = 20
"""Changes of one kind that are named."""

MOST_PLACES = 3

VERDICTS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.PASS: "passed",
        Verdict.WARN: "has warnings",
        Verdict.FAIL: "failed",
        Verdict.INCOMPLETE: "is incomplete",
        Verdict.INFO: "has nothing against it",
        Verdict.NOT_APPLICABLE: "could not be judged",
        Verdict.ERROR: "could not be judged",
    }
)
_BEFORE: Mapping[Verdict, str] = MappingProxyType(
    {
        **VERDICTS,
        Verdict.WARN: "had warnings",
        Verdict.INCOMPLETE: "was incomplete",
        Verdict.INFO: "had nothing against it",
    }
)
_KINDS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.NEW: "New",
        Kind.WORSE: "Worse",
        Kind.UNJUDGED: "No longer judged",
        Kind.MOVED: "In other places",
        Kind.BETTER: "Better",
        Kind.WAIVED: "Waived",
        Kind.FIXED: "Fixed",
    }
)


def headline(news: News) -> str:
    """Return a line that tells the most: "digits failed (passed before): 2 new"."""
    now = f"{clean_text(news.name, 80)} {VERDICTS[news.after]}"
    if news.before is not None and news.before is not news.after:
        now += f" ({_BEFORE[news.before]} before)"
    kinds = [change.kind for change in news.changes]
    tally = [f"{kinds.count(kind)} {_KINDS[kind].lower()}" for kind in Kind if kind in kinds]
    return f"{now}: {', '.join(tally)}" if tally else now


def as_text(news: News) -> str:
    """Return what changed, where the report is and when the audit began."""
    lines = [f"{headline(news)}."]
    for title, said in _told(news):
        lines += ["", title, *(f"  - {line}" for line in said)]
    return "\n".join([*lines, "", *_closing(news)]) + "\n"


def as_html(news: News) -> str:
    """Return the same as a page of e-mail: no style, no picture, nothing to load."""
    parts = [f"<p><b>{html.escape(headline(news))}.</b></p>"]
    for title, said in _told(news):
        items = "".join(f"<li>{html.escape(line)}</li>" for line in said)
        parts.append(f"<p>{html.escape(title)}</p><ul>{items}</ul>")
    parts.append(f"<p>{'<br>'.join(map(html.escape, _closing(news)))}</p>")
    return f"<!DOCTYPE html><html><body>{''.join(parts)}</body></html>\n"


def _told(news: News) -> list[tuple[str, list[str]]]:
    """Return the changes by kind, the most urgent first."""
    told = []
    for kind in Kind:
        some = [change for change in news.changes if change.kind is kind]
        if some:
            said = [_line(change) for change in some[:MOST]]
            if len(some) > MOST:
                said.append(f"and {len(some) - MOST:,} more")
            told.append((_KINDS[kind], said))
    return told


def _line(change: Change) -> str:
    names = [clean_text(spot.name, 80) for spot in change.where]
    where = f": {listed(names, MOST_PLACES)}" if names else ""
    return f"{clean_text(change.title)} ({clean_text(change.check, 80)}){where}"


def _closing(news: News) -> list[str]:
    counts = ", ".join(
        f"{count:,} {verdict.value.replace('_', ' ')}" for verdict, count in news.counts
    )
    return [
        f"Checks: {counts or 'none'}",
        f"Report: {clean_text(news.report, 1000)}",
        f"Audited: {clean_text(news.started, 60)}",
    ]
