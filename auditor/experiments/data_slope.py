"""A check of the data loss's slope with regularisation off, in double precision."""

import math
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.experiments.in_float64 import NotInFloat64Error, fitting
from auditor.experiments.penalties import Scalars, gradients, slopes
from auditor.experiments.probe import raised
from auditor.intake.batches import Batch
from auditor.intake.seeding import reseed, seeded
from auditor.intake.subject import Subject
from auditor.observations.regularisation import SlopeCheck

WIDEST = 50_000_000
"""Parameters up to which the slope is checked, on a copy in double precision."""

STEPS = (1e-5, 1e-6)
"""Steps of the differences, relative to the weights; the closer agreement counts."""


def data_slope(subject: Subject, batch: Batch, scalars: Scalars, seed: int) -> SlopeCheck:
    """Check the slope of the data loss alone along a random direction, in double precision."""
    assert subject.model is not None
    if sum(p.numel() for p in subject.model.parameters()) > WIDEST:
        return SlopeCheck(math.nan, math.nan, f"a model of more than {WIDEST:,} parameters is not "
                          "copied in float64 for it")  # fmt: skip
    try:
        with seeded(seed), torch.enable_grad():
            made = fitting(subject, batch, 2)
            loss = scalars.bare(made.loss)
            leaves = [p for p in made.model.parameters() if p.requires_grad and p.numel()]
            generator = torch.Generator().manual_seed(seed)
            ways = [
                torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
                * (p.detach().abs().square().mean().sqrt().clamp(min=1e-3))
                for p in leaves
            ]

            def value() -> torch.Tensor:
                reseed(seed)
                given = made.batch.with_inputs(lambda t: t.clone())
                return loss(made.model(*given.args, **given.kwargs), given.target)

            total = value()
            if not total.requires_grad:
                return SlopeCheck(math.nan, math.nan, "no gradient comes from the loss")
            analytic = float(slopes(ways, gradients(total, leaves)).sum())
            numeric = [_difference(value, leaves, ways, step) for step in STEPS]
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except (NotInFloat64Error, InputError) as error:
        return SlopeCheck(math.nan, math.nan, clean_text(error))
    except Exception as error:  # noqa: BLE001 - the model and the loss are the user's
        return SlopeCheck(math.nan, math.nan, raised(error))
    return SlopeCheck(analytic, min(numeric, key=lambda n: abs(n - analytic)))


@torch.no_grad()
def _difference(value: Any, leaves: Any, ways: Any, step: float) -> float:
    ends = []
    for sign in (1.0, -2.0):
        for p, way in zip(leaves, ways, strict=True):
            p.add_(way, alpha=sign * step)
        ends.append(float(value()))
    for p, way in zip(leaves, ways, strict=True):
        p.add_(way, alpha=step)
    return (ends[0] - ends[1]) / (2 * step)
