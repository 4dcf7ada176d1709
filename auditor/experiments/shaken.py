"""What models put out whose weights are blown up, so that bounds of their outputs show."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.loss_probe import DRAWS

FACTORS = (3.0, 30.0, 300.0)
"""What the weights of a copy are multiplied by: the largest drives the activation behind one layer
to its bounds, and with the least forty layers without normalisation do not overflow."""


@torch.no_grad()
def shaken_outputs(
    subject: Subject, bases: list[nn.Module], batch: Batch
) -> Iterator[tuple[int, float, Any]]:
    """Yield number, factor and outputs of models with each tensor blown up, by its own sign."""
    signs = torch.Generator().manual_seed(derived_seed(subject.seed, "signs"))
    for base, model in enumerate(bases):
        model.eval()
        parameters = [p for p in model.parameters() if p.is_floating_point()]
        kept = [p.detach().clone() for p in parameters]
        for number in range(DRAWS if parameters else 0):
            factor = FACTORS[number % len(FACTORS)]
            for parameter, was in zip(parameters, kept, strict=True):
                if was.ndim > 1 and not was.any():
                    # A layer that starts at zero would hold all outputs at its bias.
                    was = torch.randn(was.shape, generator=signs).to(was)
                sign = 1.0 if torch.rand((), generator=signs) < 0.5 else -1.0
                parameter.copy_(was * (sign * factor))
            try:
                yield base * DRAWS + number, factor, model(*batch.args, **batch.kwargs)
            except Exception:  # noqa: BLE001 - a model may refuse what such weights compute
                continue
