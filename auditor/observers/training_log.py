"""Looks at the log of training that came in with the subject."""

from auditor.core.request import Unavailable
from auditor.intake.subject import Subject
from auditor.observations.training_log import TrainingLog, TrainingLogOf


def training_log(request: TrainingLogOf, subject: Subject) -> TrainingLog | Unavailable:
    """Return the log of training, or why there is none."""
    return subject.log
