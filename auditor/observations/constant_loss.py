"""What one answer to all examples would cost, in the units of the subject's own loss."""

import math

from auditor.observations.performance import Performance
from auditor.observations.targets import constant_entropies


def constant_loss(seen: Performance | None) -> float:
    """Return the loss of the best constant answer, NaN where the loss is in other units.

    Of classes, whose loss is the cross-entropy, it is the entropy of the targets (of several
    labels, the mean of theirs); of numbers, whose loss is the squared error, their variance.
    """
    if seen is None or not len(seen.losses):
        return math.nan
    own = seen.entropies if len(seen.entropies) else seen.scores
    if not len(own) or not math.isclose(float(own.mean()), float(seen.losses.mean()), rel_tol=0.1):
        return math.nan
    if not len(seen.entropies):
        values = seen.target_values
        squared = seen.metric == "squared error" and values.size
        return float(values.var(axis=0).mean()) if squared else math.nan
    return float(constant_entropies(seen).mean())
