"""What is claimed of the model: by the spec, and by the checkpoint's own numbers."""

import math

from auditor.intake.subject import Subject
from auditor.observations.claims import Claims, ClaimsOf, quantity

MOST = 10
"""Numbers of a checkpoint that are looked at."""

AMBIGUOUS = ("loss", "error", "err", "ap", "em")
"""Keys of checkpoints that say nothing of where they were measured: often in training."""


def claims(request: ClaimsOf, subject: Subject) -> Claims:
    """Return what is claimed of a subject."""
    extras = subject.checkpoint.extras if subject.checkpoint is not None else {}
    recorded: dict[str, float] = {}
    for key, text in extras.items():
        name = key.rpartition(".")[2]
        if name.lower() in AMBIGUOUS or quantity(name) is None or len(recorded) >= MOST:
            continue
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            recorded[key] = value
    return Claims(dict(subject.claims), recorded)
