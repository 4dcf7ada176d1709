"""An earlier audit of the same model, as far as checks compare with it."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.record import AuditRecord
from auditor.core.request import Capability, Request, Split
from auditor.core.scores import ExampleScores
from auditor.core.subject import SplitFacts
from auditor.core.verdict import Verdict

Which = Literal["last", "accepted"]
"""The audit before this one, or the last one that nothing failed in or that somebody accepted."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier audit saw; `source` names it for people."""

    source: str
    started: str
    verdict: Verdict
    checkpoint: str
    """The checkpoint's SHA-256, empty where there was no checkpoint."""
    environment: dict[str, str]
    data: dict[Split, SplitFacts]
    scores: ExampleScores | None = None
    seed: int | None = None


@dataclass(frozen=True)
class EarlierOf(Request[Earlier]):
    """Asks for an earlier audit to compare with."""

    which: Which = "last"

    answer: ClassVar = Earlier
    requires: ClassVar[frozenset[Capability]] = frozenset({"earlier"})


def earlier_of(record: AuditRecord, source: str) -> Earlier:
    """Return what a later audit compares with of a record."""
    checkpoint = record.subject.checkpoint
    settings = record.spec.get("audit")
    seed = settings.get("seed") if isinstance(settings, dict) else None
    return Earlier(
        source=source,
        started=record.volatile.started,
        verdict=record.verdict,
        checkpoint="" if checkpoint is None else checkpoint.sha256,
        environment=record.environment,
        data=record.subject.data,
        scores=record.scores,
        seed=seed if isinstance(seed, int) else None,
    )
