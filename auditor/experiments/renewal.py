"""Computing running statistics anew on a private copy."""

from collections.abc import Iterable

import torch
from torch import nn

from auditor.intake.batches import Batch
from auditor.intake.running_statistics import INSTANCE, renewable


@torch.no_grad()
def renew(model: nn.Module, batches: Iterable[Batch], *, training: bool = False) -> None:
    """Replace running statistics by plain means over batches.

    Everything else is in evaluation mode meanwhile, or in `training` mode, dropout and all.
    """
    model.train(training)
    norms = renewable(model)
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    # Instance norm takes None for 0.
    singles = [norm for norm in norms if isinstance(norm, INSTANCE)]
    for number, batch in enumerate(batches, start=1):
        for norm in singles:
            norm.momentum = 1 / number
        model(*batch.args, **batch.kwargs)
    model.eval()


def on_batches(model: nn.Module) -> None:
    """Put a private copy in evaluation mode, but its norms on the statistics of each batch."""
    model.eval()
    for norm in renewable(model):
        norm.momentum = 0.0  # type: ignore[assignment]
        norm.train()
