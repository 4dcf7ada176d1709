"""The audits of a history in a row, each with what changed since the one before."""

import difflib
from dataclasses import dataclass, field

from auditor.core.changes import Change, changes
from auditor.core.fingerprint import Identity
from auditor.core.text import clean_text, listed
from auditor.history.history import About, Entry, History, HistoryError


@dataclass
class Line:
    """An audit, and the one before it of the same subject that asked the same checks."""

    entry: Entry
    before: Entry | None = None
    first: bool = True
    """Whether no audit of the subject is kept from before it, whatever that asked."""
    changes: tuple[Change, ...] = field(default=(), init=False)

    def follows(self, before: Entry) -> None:
        """Note the audit before this one."""
        asked = self.entry.only
        kept = (o for o in before.glance.outcomes if asked is None or o.check in asked)
        self.before = before
        self.changes = changes(kept, self.entry.glance.outcomes)


def lines(history: History, name: str | None, most: int) -> tuple[Line, ...]:
    """Return the newest audits, of one name or of all, the newest first.

    Raises:
        HistoryError: no audit is of that name, or the history can't be read.
    """
    shown: list[Line] = []
    open_: dict[Identity, list[Line]] = {}
    for entry in history.entries(About(name=name)):
        for line in [*open_.get(entry.identity, ())]:
            line.first = False
            if entry.covers(line.entry.only):
                line.follows(entry)
                open_[entry.identity].remove(line)
        if len(shown) < most:
            shown.append(Line(entry))
            open_.setdefault(entry.identity, []).append(shown[-1])
        elif not any(open_.values()):
            break
    if name is not None and not shown:
        raise HistoryError(f"{clean_text(name, 80)}: no audit of that name{_near(history, name)}")
    return tuple(shown)


def _near(history: History, name: str) -> str:
    known = list(dict.fromkeys(identity.name for identity in history.subjects()))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(repr(clean_text(one, 60)) for one in near)}?"
    return f"; there are audits of {listed(known)}" if known else "; nothing was audited yet"
