"""Copies in which everything learns that is frozen at random values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.mended_copies import mended_copies
from auditor.intake.subject import Subject
from auditor.observations.frozen_trial import FrozenTrialOver
from auditor.observations.mended_copies import MendedCopies


def frozen_trial(request: FrozenTrialOver, subject: Subject) -> MendedCopies | Unavailable:
    """Train copies with the frozen layers as they are, and others in which they learn."""
    one, two = (dict(subject.fresh(seed).named_parameters()) for seed in (0, 1))
    drawn = {
        name
        for name, parameter in one.items()
        if _held(parameter) and name in two and not torch.equal(parameter, two[name])
    }
    if not drawn:
        return Unavailable("nothing is frozen that fresh models draw at random")

    @contextmanager
    def released(model: nn.Module) -> Iterator[None]:
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield

    return mended_copies(subject, released, request.steps, request.seeds)


def _held(parameter: nn.Parameter) -> bool:
    return not parameter.requires_grad and parameter.ndim > 1 and parameter.is_floating_point()
