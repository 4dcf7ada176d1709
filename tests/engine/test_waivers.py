"""Waivers: which findings they cover."""

import datetime

import pytest

from auditor.checks import find
from auditor.core.finding import Judgement, Place
from auditor.core.spec import WaiverSpec
from auditor.core.verdict import Verdict
from auditor.engine.judge import _waived

FAILED = Judgement(
    Verdict.FAIL, "", where=(Place("layer", "features.1"), Place("layer", "features.3"))
)


def waiver(where: str, reason: str = "pruned", **more: object) -> WaiverSpec:
    return WaiverSpec.model_validate(
        {"check": "dead-units", "where": where, "reason": reason} | more
    )


@pytest.mark.parametrize(
    ("waivers", "reason"),
    [
        ([], None),
        ([waiver("features.*")], "pruned"),
        ([waiver("features.1")], None),
        ([waiver("features.1", "one"), waiver("features.3", "three")], "one; three"),
        ([waiver("*", until=datetime.date(2000, 1, 1))], None),
        ([waiver("*", until=datetime.date(2999, 1, 1))], "pruned"),
        ([waiver("*").model_copy(update={"check": "stale-batch-norm"})], None),
    ],
)
def test_a_finding_is_waived_where_every_place_is_covered(
    waivers: list[WaiverSpec], reason: str | None
) -> None:
    assert _waived(find("dead-units"), FAILED, waivers) == reason


def test_what_passes_needs_no_waiver() -> None:
    assert _waived(find("dead-units"), Judgement(Verdict.PASS, ""), [waiver("*")]) is None
