"""What changed from one audit of a model to the next, by check and place."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from auditor.core.glance import Outcome, Spot
from auditor.core.verdict import Verdict

_PROBLEMS = {Verdict.WARN, Verdict.FAIL}
_FINE = {Verdict.PASS, Verdict.INFO}


class Kind(StrEnum):
    """How a finding changed, the most urgent first."""

    NEW = "new"
    WORSE = "worse"
    UNJUDGED = "unjudged"
    """It was judged and no longer is: no one knows whether it is mended."""
    MOVED = "moved"
    """As bad as before, but in other places."""
    BETTER = "better"
    WAIVED = "waived"
    FIXED = "fixed"


@dataclass(frozen=True)
class Change:
    """A finding that changed; `where` are the places that it was not seen in before."""

    kind: Kind
    check: str
    title: str
    where: tuple[Spot, ...] = ()


def changes(before: Iterable[Outcome], after: Iterable[Outcome]) -> tuple[Change, ...]:
    """Return what changed from one audit to the next, the most urgent first.

    A check that found nothing wrong before, or did not run, and finds something now is new. One
    that passes now is fixed; one that could not be judged now is not. A check that only one of
    the two audits asked, and that has nothing to say against the model, is no change.
    """
    old, new = ({outcome.check: outcome for outcome in some} for some in (before, after))
    found = [
        change
        for check in dict.fromkeys((*new, *old))
        if (change := _change(check, old.get(check), new.get(check))) is not None
    ]
    return tuple(sorted(found, key=lambda change: _ORDER[change.kind]))


_ORDER = {kind: place for place, kind in enumerate(Kind)}


def _change(check: str, before: Outcome | None, after: Outcome | None) -> Change | None:
    title = after.title if after is not None else before.title if before is not None else check
    known = set(before.where) if before is not None and _is_open(before) else set()
    kind = _kind(before, after)
    if kind is None:
        return None
    places = after.where if after is not None and _is_open(after) else ()
    return Change(kind, check, title, tuple(spot for spot in places if spot not in known))


def _kind(before: Outcome | None, after: Outcome | None) -> Kind | None:
    if after is not None and _is_open(after):
        return _still(before, after) if before is not None and _is_open(before) else Kind.NEW
    if before is None:
        return None
    if after is not None and after.verdict is Verdict.ERROR:
        return Kind.UNJUDGED if before.verdict in _PROBLEMS | _FINE else None
    if not _is_open(before):
        return None
    if after is not None and after.verdict in _PROBLEMS:
        return Kind.WAIVED
    return Kind.FIXED if after is not None and after.verdict in _FINE else Kind.UNJUDGED


def _still(before: Outcome, after: Outcome) -> Kind | None:
    """Return how something that is wrong before and after changed."""
    if before.verdict is not after.verdict:
        return Kind.WORSE if after.verdict is Verdict.FAIL else Kind.BETTER
    return None if set(before.where) == set(after.where) else Kind.MOVED


def _is_open(outcome: Outcome) -> bool:
    return outcome.verdict in _PROBLEMS and outcome.waived is None
