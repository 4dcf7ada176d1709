"""Sees how well the model does, example by example."""

from dataclasses import replace

from auditor.core.request import Split, Unavailable
from auditor.intake.scoring import Scorer
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observers.observer import Observer, Step


class PerformanceObserver(Observer):
    """Scores each example and keeps what other predictors need to be scored on it.

    What the examples are known by has been read before, in the same order.
    """

    def __init__(self, request: PerformanceOver, subject: Subject) -> None:
        split: Split = "train" if request.split == "train" else "val"
        self._scorer = Scorer(subject, split)
        self._hashes = subject.hashes.get(split)
        self._read = 0

    def step(self, step: Step) -> None:
        """Score a batch."""
        self._scorer.add(step.outputs, step.batch.target, step.loss)
        self._read += step.batch.size

    def result(self) -> Performance | Unavailable:
        """Return the scores of all examples."""
        found, hashes = self._scorer.result(), self._hashes
        if isinstance(found, Unavailable) or hashes is None:
            return found
        scored = self._scorer.scored()
        if len(scored) != self._read:
            return found
        return replace(found, hashes=hashes[: len(scored)][scored[: len(hashes)]])
