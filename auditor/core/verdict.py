"""Verdicts, and how many make one."""

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a check concluded; `INCOMPLETE` is said of sections and audits alone."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    INFO = "info"
    NOT_APPLICABLE = "not_applicable"
    ERROR = "error"
    INCOMPLETE = "incomplete"


SEVERITY: dict[Verdict, int] = {
    verdict: place
    for place, verdict in enumerate(
        (
            Verdict.NOT_APPLICABLE,
            Verdict.INFO,
            Verdict.PASS,
            Verdict.WARN,
            Verdict.ERROR,
            Verdict.INCOMPLETE,
            Verdict.FAIL,
        )
    )
}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a whole from those of its parts.

    `info` and `not_applicable` do not count beside others; an `error` without a `fail` makes
    the whole `incomplete`, since what was not looked at can't pass. Of nothing at all the
    verdict is `not_applicable`.
    """
    found = max(verdicts, key=SEVERITY.__getitem__, default=Verdict.NOT_APPLICABLE)
    return Verdict.INCOMPLETE if found is Verdict.ERROR else found
