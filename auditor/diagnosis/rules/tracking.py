"""Causes that lie outside the model: what it stands on is no longer what it was."""

from auditor.diagnosis.rule import Rule, Sight
from auditor.diagnosis.rules.effects import COMPARED

TRACKING = (
    Rule(
        id="data-changed",
        title="The data is not what it was ({note})",
        plain="The data is not what it was",
        sights=(Sight("data-changed"),),
        explains=COMPARED,
    ),
    Rule(
        id="environment-changed",
        title="The environment is not that of the training ({note})",
        plain="The environment is not that of the training",
        sights=(Sight("environment-changed"),),
        explains=COMPARED,
    ),
    Rule(
        id="training-not-reproducible",
        title="Training comes out otherwise each time ({note})",
        plain="Training comes out otherwise each time",
        sights=(Sight("not-reproducible-training"),),
        explains=COMPARED,
    ),
)
