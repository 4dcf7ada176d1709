"""What a check says: a judgement, and the finding that the record keeps of it."""

from dataclasses import dataclass
from typing import Literal

from auditor.core.figure import Figure, Guide
from auditor.core.values import Number
from auditor.core.verdict import Verdict


@dataclass(frozen=True)
class Limit:
    """Where a metric becomes worrying (`warn`) and wrong (`fail`), and who says so.

    `bad` tells which side of the limit is bad.
    """

    warn: Number | None = None
    fail: Number | None = None
    bad: Literal["above", "below"] = "above"
    source: str = ""

    def verdict(self, value: float, low: float | None = None, high: float | None = None) -> Verdict:
        """Judge a measured value, known to lie in [low, high].

        It fails only where the whole interval is beyond `fail`, and warns where the value is
        beyond either limit. NaN fails.
        """
        if value != value:
            return Verdict.FAIL
        sign = 1.0 if self.bad == "above" else -1.0
        nearest = sign * (value if low is None or high is None else low if sign > 0 else high)
        if self.fail is not None and nearest > sign * self.fail:
            return Verdict.FAIL
        beyond = (
            limit is not None and sign * value > sign * limit for limit in (self.warn, self.fail)
        )
        return Verdict.WARN if any(beyond) else Verdict.PASS

    def guides(self) -> tuple[Guide, ...]:
        """Return the lines that show this limit across a plot."""
        sides: tuple[tuple[Literal["warn", "fail"], float | None], ...]
        sides = (("warn", self.warn), ("fail", self.fail))
        return tuple(
            Guide(value, f"{side} {self.bad} {value:g}", side)
            for side, value in sides
            if value is not None
        )


@dataclass(frozen=True)
class Metric:
    """A measured quantity; sampled ones carry a 95 % confidence interval [low, high]."""

    name: str
    value: Number | None
    unit: str = ""
    low: Number | None = None
    high: Number | None = None
    limit: Limit | None = None


@dataclass(frozen=True)
class Place:
    """Where in the subject something was seen; `note` says what, in a few words."""

    kind: Literal["layer", "parameter", "example", "setting", "file"]
    name: str
    note: str = ""


@dataclass(frozen=True)
class Judgement:
    """What a check's `judge` returns: the verdict and everything that supports it.

    `where` has the worst place first; steps of `advice` with code are made by `advice.step`.
    """

    verdict: Verdict
    summary: str
    metrics: tuple[Metric, ...] = ()
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A judgement with the name of its check, as it stands in the record.

    `why` tells in a sentence or two why the matter is worth the reader's time; `source` names
    the literature behind the method; `waived` holds the reason where the spec waives it, and
    `waiver_note` why it counts although waivers speak of it. A step of `advice` may end in fenced
    code (`auditor.core.advice`).
    """

    check: str
    verdict: Verdict
    title: str
    summary: str
    metrics: tuple[Metric, ...] = ()
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    why: str = ""
    source: str = ""
    waived: str | None = None
    waiver_note: str = ""
