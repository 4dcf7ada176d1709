"""What changed from one audit to the next."""

import pytest

from auditor.core.changes import Change, Kind, changes
from auditor.core.glance import Outcome, Spot
from auditor.core.verdict import Verdict

FAIL, WARN, PASS = Verdict.FAIL, Verdict.WARN, Verdict.PASS
ERROR, SKIPPED, INFO = Verdict.ERROR, Verdict.NOT_APPLICABLE, Verdict.INFO


def outcome(verdict, *places, waived=None, check="dead-units"):
    where = tuple(Spot("layer", name) for name in places)
    return Outcome(check, verdict, "Units are dead", where, waived)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (PASS, FAIL, Kind.NEW),
        (SKIPPED, WARN, Kind.NEW),
        (ERROR, FAIL, Kind.NEW),
        (None, WARN, Kind.NEW),
        (WARN, FAIL, Kind.WORSE),
        (FAIL, WARN, Kind.BETTER),
        (FAIL, PASS, Kind.FIXED),
        (WARN, INFO, Kind.FIXED),
        (FAIL, ERROR, Kind.UNJUDGED),
        (PASS, ERROR, Kind.UNJUDGED),
        (FAIL, SKIPPED, Kind.UNJUDGED),
        (FAIL, None, Kind.UNJUDGED),
        (FAIL, FAIL, None),
        (PASS, PASS, None),
        (PASS, None, None),
        (None, PASS, None),
        (PASS, SKIPPED, None),
        (SKIPPED, ERROR, None),
        (ERROR, PASS, None),
        (None, ERROR, None),
    ],
)
def test_each_way_that_a_verdict_can_change(before, after, kind):
    old, new = ([outcome(verdict)] if verdict else [] for verdict in (before, after))
    assert [change.kind for change in changes(old, new)] == ([kind] if kind else [])


def test_a_finding_in_other_places_tells_which_are_new():
    (change,) = changes([outcome(FAIL, "a", "b")], [outcome(FAIL, "b", "c")])
    assert change == Change(Kind.MOVED, "dead-units", "Units are dead", (Spot("layer", "c"),))
    assert changes([outcome(FAIL, "a", "b")], [outcome(FAIL, "b", "a")]) == ()


def test_what_is_waived_is_not_fixed_and_comes_back_as_new():
    waived = outcome(FAIL, "a", waived="on purpose")
    assert changes([outcome(FAIL, "a")], [waived])[0].kind is Kind.WAIVED
    assert changes([waived], [outcome(FAIL, "a")])[0].kind is Kind.NEW
    assert changes([waived], [outcome(PASS)]) == ()


def test_the_most_urgent_change_comes_first():
    old = [outcome(FAIL, check="a"), outcome(PASS, check="b"), outcome(WARN, check="c")]
    new = [outcome(PASS, check="a"), outcome(FAIL, check="b"), outcome(FAIL, check="c")]
    assert [change.check for change in changes(old, new)] == ["b", "c", "a"]
