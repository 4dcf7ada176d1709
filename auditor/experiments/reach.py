"""Why parameters get no gradient, tried out on a copy."""

from auditor.core.request import Split, Unavailable
from auditor.experiments.lab import affordable, cycled, private_copy
from auditor.experiments.silence import MOST, cut_off, silent
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.reach import SilenceCauses, SilenceCausesOver

PASSES = MOST + 7
"""Forward passes over one batch, at most."""


def silence_causes(request: SilenceCausesOver, subject: Subject) -> SilenceCauses | Unavailable:
    """Return which parameters get no gradient from a batch, and why."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")
    split: Split = "train" if request.split == "train" else "val"
    batch = next(cycled(subject, split, 1), None)
    if batch is None:
        return Unavailable("there is no batch")
    seed = derived_seed(subject.seed, request.key)
    model = private_copy(subject)
    quietest = silent(subject, model, batch, seed)
    if not quietest:
        return SilenceCauses((), (), (), ())
    room = affordable(subject, batch.size, PASSES, training=False)
    if room < batch.size:
        batch = batch.take(max(2, room))
    cut = cut_off(subject, model, batch, quietest, seed)
    # That has moved every parameter a little, so that none is zero any more.
    still = set(silent(subject, model, batch, seed))
    return SilenceCauses(
        quietest, cut, tuple(n for n in quietest if n not in still), quietest[:MOST]
    )
