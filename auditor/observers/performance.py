"""Sees how well the model does, example by example."""

from dataclasses import replace

import numpy as np

from auditor.core.request import Unavailable
from auditor.intake.fingerprint import digests, shortened
from auditor.intake.scoring import Scorer
from auditor.intake.subject import Subject
from auditor.observations.example_scores import MOST
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observers.observer import Observer, Step


class PerformanceObserver(Observer):
    """Scores each example and keeps what other predictors need to be scored on it.

    Of the first examples it keeps what they are known by, so that a later audit finds them again.
    """

    def __init__(self, request: PerformanceOver, subject: Subject) -> None:
        self._scorer = Scorer(subject, request.split)
        self._hashes = np.zeros(0, np.uint64)
        self._known = True

    def step(self, step: Step) -> None:
        """Score a batch."""
        self._scorer.add(step.outputs, step.batch.target, step.loss)
        if not self._known or len(self._hashes) >= MOST:
            return
        hashes, rows = shortened(digests(step.batch)), self._scorer.rows
        if rows is not None and len(rows) == len(hashes):
            hashes = hashes[rows.cpu().numpy()]
        self._hashes = np.concatenate([self._hashes, hashes])
        self._known = len(self._hashes) == self._scorer.examples

    def result(self) -> Performance | Unavailable:
        """Return the scores of all examples."""
        found = self._scorer.result()
        if isinstance(found, Unavailable):
            return found
        return replace(found, hashes=self._hashes) if self._known else found
