"""What a fault of scale is, and from which value on there surely is one."""

from dataclasses import dataclass

from auditor.core.finding import Limit
from auditor.core.verdict import Verdict

CONFIDENCE = 0.99
"""Confidence that a warning wants, over all layers together (Bonferroni)."""

FEWEST = 3
"""Batches from which on their differences tell how sure a number is."""


@dataclass(frozen=True)
class Fault:
    """A layer at fault: how badly, what it does in a sentence and in a note, what to do."""

    layer: str
    verdict: Verdict
    note: str
    what: str
    advice: tuple[str, ...]


def surely_beyond(limit: Limit, value: float, low: float, high: float, *, batches: int) -> Verdict:
    """Judge a value whose interval must be beyond the limit; that of a few batches tells nothing.

    A batch's own number is one of thousands of values, so that there it warns at most.
    """
    verdict = limit.verdict(value, low, high)
    sure = limit.warn is None or low > limit.warn
    return verdict if sure or batches < FEWEST else Verdict.PASS
