"""What an audit said of one case, as far as the score needs it."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from benchmarks.detection.case import Case
from benchmarks.detection.scores import killed

LOUD = ("fail", "warn")


@dataclass(frozen=True)
class Said:
    """One warning or failure, with the names and notes of its places, worst first."""

    check: str
    verdict: str
    summary: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """One cause that the audit named, and the checks in which it is seen or that it explains."""

    cause: str
    title: str
    confidence: str
    findings: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What came of one case: the metric of each validation example, and what the audit said.

    `seconds` is how long the audit took; None where a mutant does as well as its twin, and was
    not audited.
    """

    case: str
    scores: tuple[float, ...]
    said: tuple[Said, ...] = ()
    named: tuple[Named, ...] = ()
    seconds: float | None = None

    def metric(self) -> float:
        """Return the mean of the metric; minus infinity where an answer was no number."""
        scores = np.asarray(self.scores)
        return float(scores.mean()) if np.isfinite(scores).all() else float("-inf")


_FOUND = TypeAdapter(Found)


def found_in(case: Case, twin: Found | None) -> Found:
    """Train, measure and audit the model of a case; its twin has been run before."""
    subject = case.make()
    scores = subject.scores()
    if twin is not None and not case.hides and not killed(scores, np.asarray(twin.scores)):
        return Found(case.id, tuple(scores.tolist()))
    began = time.monotonic()
    record = subject.audited()
    seconds = time.monotonic() - began
    said = tuple(
        Said(
            finding.check,
            finding.verdict.value,
            finding.summary,
            tuple(f"{place.name} {place.note}".strip() for place in finding.where),
        )
        for section in record.sections
        for finding in section.findings
        if finding.verdict.value in LOUD
    )
    named = tuple(
        Named(cause.id, cause.title, cause.confidence, cause.findings) for cause in record.causes
    )
    return Found(case.id, tuple(scores.tolist()), said, named, seconds)


def kept(folder: Path, case: str) -> Path:
    """Return the file in which what came of a case is kept."""
    return folder / f"{case.replace('/', '--')}.json"


def write(folder: Path, found: Found) -> None:
    """Keep what came of a case."""
    folder.mkdir(parents=True, exist_ok=True)
    kept(folder, found.case).write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")


def read(folder: Path, case: str) -> Found | None:
    """Return what came of a case; None where it was not run."""
    path = kept(folder, case)
    return _FOUND.validate_json(path.read_bytes()) if path.exists() else None
