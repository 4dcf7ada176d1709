"""What came out of an audit and what changed since the one before, in a line each."""

from collections import Counter
from collections.abc import Sequence

from auditor.core.changes import Change, Kind
from auditor.core.glance import Glance
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict

MOST_NAMED = 3
"""Checks that are named of those that changed in one way; the others are counted."""

_KINDS = {
    Kind.NEW: "new",
    Kind.WORSE: "worse",
    Kind.UNJUDGED: "no longer judged",
    Kind.MOVED: "in other places",
    Kind.BETTER: "better",
    Kind.WAIVED: "now waived",
    Kind.FIXED: "fixed",
}
_OPEN = (
    (Verdict.FAIL, "failed", "failed"),
    (Verdict.WARN, "warning", "warnings"),
    (Verdict.ERROR, "not judged", "not judged"),
)


def counts_of(glance: Glance) -> str:
    """Return "2 failed, 1 warning": what is open in an audit."""
    live = Counter(one.verdict for one in glance.outcomes if one.waived is None)
    return ", ".join(
        f"{live[verdict]} {one if live[verdict] == 1 else many}"
        for verdict, one, many in _OPEN
        if live[verdict]
    )


def changes_told(found: Sequence[Change]) -> tuple[str, ...]:
    """Return "2 new: dead-units, vanishing-gradients" for each kind of change."""
    told = []
    for kind, word in _KINDS.items():
        checks = [clean_text(change.check, 60) for change in found if change.kind is kind]
        more = len(checks) - MOST_NAMED
        left = f" and {more:,} more" if more > 0 else ""
        if checks:
            told.append(f"{len(checks):,} {word}: {', '.join(checks[:MOST_NAMED])}{left}")
    return tuple(told)
