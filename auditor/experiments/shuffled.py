"""A model whose weights were shuffled: the same values in each parameter, in no order."""

from collections.abc import Sequence

import torch
from torch import nn

from auditor.intake.batches import Batch, tensors_in
from auditor.intake.subject import BATCH_NORM

LARGE = 1 << 20
"""Values from which on a parameter is shuffled by rows and by columns, not value by value."""


def shuffled(parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the values of a parameter in random order."""
    values = parameter.detach()
    if values.numel() < 2 or values.layout is not torch.strided:
        return values.clone()

    def order(count: int) -> torch.Tensor:
        return torch.randperm(count, generator=generator).to(values.device)

    if values.numel() <= LARGE or values.ndim < 2:
        return values.flatten()[order(values.numel())].reshape(values.shape)
    rows = values.flatten(1)
    return rows[order(len(rows))][:, order(rows.shape[1])].reshape(values.shape)


def by_execution(model: nn.Module, batch: Batch) -> list[tuple[str, nn.Module]]:
    """Return the modules with parameters of their own in the order in which a pass meets them.

    Those that it does not meet are the first: what they hold is used by others.
    """
    own = {
        m: name for name, m in model.named_modules() if next(m.parameters(False), None) is not None
    }
    met: dict[nn.Module, None] = {}
    handles = [m.register_forward_pre_hook(lambda m, args: met.setdefault(m)) for m in own]
    try:
        with torch.no_grad():
            model(*batch.args, **batch.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    rest = [m for m in own if m not in met]
    return [(own[m], m) for m in (*rest, *met)]


def put(layers: Sequence[nn.Module], values: dict[int, torch.Tensor]) -> None:
    """Write values into the parameters of some layers, by the identity of each parameter."""
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters(recurse=False):
                parameter.copy_(values[id(parameter)])


def settle_norms(model: nn.Module, batch: Batch) -> None:
    """Let batch norm take the statistics of a batch for those of its running ones.

    Statistics of the trained weights do not fit shuffled ones; the model ends in evaluation mode.
    """
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORM) and m.track_running_stats]
    first = next(tensors_in((batch.args, batch.kwargs)), None)
    if not norms or first is None or batch.size < 2:
        return
    was = [(m, m.momentum) for m in norms]
    try:
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        with torch.no_grad():
            model(*batch.args, **batch.kwargs)
    finally:
        for norm, momentum in was:
            norm.momentum = momentum
            norm.eval()
