"""Waivers: which findings they cover, on which day, and what is said of each."""

import datetime
from dataclasses import replace
from datetime import date

import pytest

from auditor.api import Record, judge_folder
from auditor.core.finding import Finding, Judgement, Place
from auditor.core.spec import AuditSettings, ChecksSpec, WaiverSpec
from auditor.core.verdict import Verdict
from auditor.core.waiver import WaiverState
from auditor.engine.waivers import NOTICE, outcomes, pardon
from tests.subjects import ROOT

GOLDEN = ROOT / "tests/golden"
TODAY = date(2026, 11, 27)
PLACES = (Place("layer", "features.1"), Place("layer", "features.3"))
FAILED = Judgement(Verdict.FAIL, "", where=PLACES)


def waiver(where: str = "*", reason: str = "pruned", **more: object) -> WaiverSpec:
    return WaiverSpec.model_validate(
        {"check": "dead-units", "where": where, "reason": reason} | more
    )


def found(verdict: Verdict = Verdict.FAIL, *places: Place, check: str = "dead-units") -> Finding:
    return Finding(check, verdict, "Some units are dead", "Seen.", where=places)


@pytest.mark.parametrize(
    ("waivers", "reason"),
    [
        ([], None),
        ([waiver("features.*")], "pruned"),
        ([waiver("features.1")], None),
        ([waiver("features.1", "one"), waiver("features.3", "three")], "one; three"),
        ([waiver(until=date(2000, 1, 1))], None),
        ([waiver(until=date(2999, 1, 1))], "pruned (until 2999-01-01)"),
        ([waiver().model_copy(update={"check": "stale-batch-norm"})], None),
    ],
)
def test_a_finding_is_waived_where_every_place_is_covered(
    waivers: list[WaiverSpec], reason: str | None
) -> None:
    assert pardon("dead-units", FAILED, waivers, TODAY).waived == reason


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.INFO, Verdict.ERROR])
def test_what_raises_nothing_needs_no_waiver(verdict: Verdict) -> None:
    given = pardon("dead-units", Judgement(verdict, ""), [waiver()], TODAY)
    assert (given.waived, given.note) == (None, "")


def test_a_waiver_holds_on_its_last_day_and_counts_again_on_the_next() -> None:
    ends = waiver(until=TODAY)
    assert pardon("dead-units", FAILED, [ends], TODAY).waived == "pruned (until 2026-11-27)"
    late = pardon("dead-units", FAILED, [ends], TODAY + datetime.timedelta(days=1))
    assert late.waived is None
    assert late.note == "Its waiver (pruned) expired on 2026-11-27, so it counts again."


def test_a_finding_that_is_covered_in_part_says_which_part_counts() -> None:
    given = pardon("dead-units", FAILED, [waiver("features.1")], TODAY)
    assert given.note == "Waived at features.1: pruned. Counts at features.3."


def test_part_may_be_waived_and_part_expired() -> None:
    some = [waiver("features.1"), waiver("features.3", "old", until=date(2026, 1, 31))]
    assert pardon("dead-units", FAILED, some, TODAY).note == (
        "Waived at features.1: pruned. Counts at features.3. "
        "The waiver for features.3 (old) expired on 2026-01-31, so it counts again."
    )


def test_an_expired_waiver_says_nothing_of_what_another_covers() -> None:
    some = [waiver("features.1", "old", until=date(2026, 1, 31)), waiver("features.*")]
    assert pardon("dead-units", FAILED, some, TODAY).waived == "pruned"
    first, second = outcomes(some, [found(Verdict.FAIL, *PLACES)], TODAY)
    assert (first.state, first.places) == (WaiverState.EXPIRED, ())
    assert first.said == "Expired on 2026-01-31; nothing counts again for it, so remove it."
    assert second.state is WaiverState.HOLDS


def test_a_name_with_brackets_is_covered_by_itself() -> None:
    judgement = Judgement(Verdict.FAIL, "", where=(Place("layer", "blocks[0].*"),))
    assert pardon("dead-units", judgement, [waiver("blocks[0].*")], TODAY).waived == "pruned"
    assert pardon("dead-units", FAILED, [waiver("features[1]")], TODAY).waived is None


def test_names_are_shown_as_text() -> None:
    places = (Place("layer", "a\x1b[31m\u202e"), Place("layer", "b"))
    note = pardon("dead-units", Judgement(Verdict.FAIL, "", where=places), [waiver("b")], TODAY)
    assert note.note == "Waived at b: pruned. Counts at a\\x1b[31m\\u202e."


@pytest.mark.parametrize(
    ("finding", "until", "state", "said"),
    [
        (found(Verdict.FAIL, *PLACES), None, "holds", "Covers 2 places without an end."),
        (found(Verdict.WARN), date(2027, 3, 1), "holds", "Covers the finding until 2027-03-01."),
        (
            found(Verdict.WARN),
            TODAY + NOTICE,
            "ending",
            "Covers the finding, and ends on 2026-12-11: mend it, or renew it.",
        ),
        (
            found(Verdict.FAIL, *PLACES),
            date(2026, 11, 26),
            "expired",
            "Expired on 2026-11-26: what it covered counts again.",
        ),
        (
            found(Verdict.PASS),
            date(2026, 11, 26),
            "expired",
            "Expired on 2026-11-26; nothing counts again for it, so remove it.",
        ),
        (
            found(Verdict.PASS),
            None,
            "unmatched",
            "Covers nothing in this audit: remove it, or mend the place it names.",
        ),
        (found(Verdict.ERROR), None, "idle", "Its check gave no verdict in this audit."),
        (found(Verdict.NOT_APPLICABLE), None, "idle", "Its check gave no verdict in this audit."),
        (found(check="other"), None, "idle", "Its check gave no verdict in this audit."),
    ],
)
def test_what_became_of_a_waiver(
    finding: Finding, until: date | None, state: str, said: str
) -> None:
    (outcome,) = outcomes([waiver(until=until)], [finding], TODAY)
    assert (outcome.state, outcome.said) == (state, said)
    assert outcome.until == ("" if until is None else until.isoformat())


def test_a_waiver_with_a_far_end_is_not_announced_and_one_with_a_near_end_is() -> None:
    far, near = waiver(until=TODAY + NOTICE + datetime.timedelta(days=1)), waiver(until=TODAY)
    made = outcomes([far, near], [found(Verdict.WARN)], TODAY)
    assert [one.state for one in made] == [WaiverState.HOLDS, WaiverState.ENDING]
    assert [one.urgent for one in made] == [False, True]
    assert made[1].warning == (
        "The waiver for 'dead-units' at '*': covers the finding, and ends on 2026-11-27: mend it, "
        "or renew it."
    )


def test_a_waiver_beside_one_that_covers_all_is_told_to_match_nothing() -> None:
    some = [waiver("features.*"), waiver("head")]
    made = outcomes(some, [found(Verdict.FAIL, *PLACES)], TODAY)
    assert [one.state for one in made] == [WaiverState.HOLDS, WaiverState.UNMATCHED]
    assert made[1].warning.startswith(
        "The waiver for 'dead-units' at 'head': covers nothing in this audit"
    )


def test_a_waiver_of_part_of_a_finding_is_in_use() -> None:
    (made,) = outcomes([waiver("features.1")], [found(Verdict.FAIL, *PLACES)], TODAY)
    assert (made.state, made.places) == (WaiverState.HOLDS, ("features.1",))


def judged(today: date, *waivers: WaiverSpec) -> Record:
    """The golden audit, judged again with waivers on a day."""
    checks = ChecksSpec(only=["dead-units", "vanishing-gradients"])
    return judge_folder(GOLDEN, AuditSettings(checks=checks, waive=list(waivers)), today)


def finding(record: Record, check: str) -> Finding:
    (found,) = (one for one in record.findings if one.check == check)
    return found


def test_an_audit_passes_with_its_waivers_and_fails_the_day_after_one_ends() -> None:
    both = (waiver(until=TODAY), waiver().model_copy(update={"check": "vanishing-gradients"}))
    assert judged(TODAY).verdict is Verdict.FAIL
    calm = judged(TODAY, *both)
    assert calm.verdict not in (Verdict.FAIL, Verdict.WARN)
    assert finding(calm, "dead-units").waived == "pruned (until 2026-11-27)"
    assert [one.state for one in calm.waivers] == [WaiverState.ENDING, WaiverState.HOLDS]
    assert len(calm.warnings) == 1
    again = judged(TODAY + datetime.timedelta(days=1), *both)
    assert again.verdict is Verdict.FAIL
    assert "expired on 2026-11-27, so it counts again" in finding(again, "dead-units").waiver_note
    assert any("dead-units" in cause.findings for cause in again.causes)
    assert not any("dead-units" in cause.findings for cause in calm.causes)


def test_waivers_of_checks_that_did_not_run_are_idle_and_raise_no_warning() -> None:
    other = waiver().model_copy(update={"check": "stale-batch-norm"})
    record = judged(TODAY, waiver("nowhere"), other)
    assert [one.state for one in record.waivers] == [WaiverState.UNMATCHED, WaiverState.IDLE]
    (warning,) = record.warnings
    assert "'dead-units' at 'nowhere': covers nothing in this audit" in warning


def test_equal_days_give_equal_records() -> None:
    first, second = (judged(TODAY, waiver("features.*", until=TODAY)) for _ in range(2))
    assert replace(first, volatile=second.volatile) == second
