"""Sees how well the model does, example by example."""

from auditor.core.request import Unavailable
from auditor.intake.scoring import Scorer
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observers.observer import Observer, Step


class PerformanceObserver(Observer):
    """Scores each example and keeps what other predictors need to be scored on it."""

    def __init__(self, request: PerformanceOver, subject: Subject) -> None:
        self._scorer = Scorer(subject, request.split)

    def step(self, step: Step) -> None:
        """Score a batch."""
        self._scorer.add(step.outputs, step.batch.target, step.loss)

    def result(self) -> Performance | Unavailable:
        """Return the scores of all examples."""
        return self._scorer.result()
