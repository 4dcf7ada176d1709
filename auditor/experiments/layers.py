"""The layers of a model in the order in which they run, and what they put out, examples first."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.intake.batches import Batch, tensors_in

CHANNELS_SECOND = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
)
TIME_FIRST = (nn.RNNBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Ran:
    """The layers that ran: `groups` of one with weights and what follows it in its shape.

    `layers` are all that are leaves; `head` is the last one with weights. `second` [modules] says
    whether the units stand in the second dimension, as channels do, or in the last.
    """

    layers: list[nn.Module]
    names: dict[nn.Module, str]
    groups: list[nn.Module]
    head: nn.Module | None
    second: dict[nn.Module, bool]
    maps: set[nn.Module]

    def shown(self, most: int) -> list[nn.Module]:
        """Return the first, the middle and the last of the groups, the head's own left out.

        Where some put out maps, [examples, channels, height, width], it is of these.
        """
        inner = list(dict.fromkeys(self.groups[:-1] if len(self.groups) > 1 else self.groups))
        inner = [module for module in inner if module in self.maps] or inner
        if len(inner) <= most:
            return inner
        return [inner[round(place * (len(inner) - 1) / (most - 1))] for place in range(most)]

    def outputs(
        self, model: nn.Module, batch: Batch, modules: list[nn.Module]
    ) -> list[tuple[str, torch.Tensor]]:
        """Return what some modules put out for a batch, [examples, units, places ...]."""
        found: dict[nn.Module, torch.Tensor] = {}

        def note(module: nn.Module, args: Any, output: Any) -> None:
            values = next(tensors_in(output), None)
            rows = None if values is None else self.rows(values, batch.size, module)
            if rows is not None:
                found[module] = rows.detach().clone()

        handles = [module.register_forward_hook(note) for module in modules]
        try:
            model(*batch.args, **batch.kwargs)
        finally:
            for handle in handles:
                handle.remove()
        return [(self.names[module], found[module]) for module in modules if module in found]

    def rows(self, values: torch.Tensor, size: int, module: nn.Module) -> torch.Tensor | None:
        """Return values with examples first and units second; None where that can't be told."""
        if not values.is_floating_point() or values.ndim < 2:
            return None
        time_first = isinstance(module, TIME_FIRST) and not module.batch_first
        axes = (1, 0) if time_first and values.ndim == 3 else (0, 1)
        axis = next((axis for axis in axes if values.shape[axis] == size), None)
        if axis is None:
            return None
        first = values.movedim(axis, 0)
        return first if self.second.get(module, False) else first.movedim(-1, 1)


def ran(model: nn.Module, batch: Batch) -> Ran:
    """Return the layers that a batch runs through."""
    whole = nn.RNNBase | nn.MultiheadAttention
    inside = {
        m for one in model.modules() if isinstance(one, whole) for m in list(one.modules())[1:]
    }
    names = {
        module: name or "the model"
        for name, module in model.named_modules()
        if (isinstance(module, whole) or next(module.children(), None) is None)
        and module not in inside
    }
    order: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        values = next(tensors_in(output), None)
        if values is not None:
            order.append((module, values.shape))

    handles = [module.register_forward_hook(note) for module in names]
    try:
        model(*batch.args, **batch.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    groups: list[nn.Module] = []
    shape, head, channels = torch.Size(), None, False
    second: dict[nn.Module, bool] = {}
    maps: set[nn.Module] = set()
    for module, put_out in order:
        if any(p.ndim > 1 for p in module.parameters(recurse=False)) or isinstance(module, whole):
            groups.append(module)
            shape, head = put_out, module
            channels = isinstance(module, CHANNELS_SECOND)
        elif groups and put_out == shape:
            groups[-1] = module
        if len(put_out) == 4 and put_out[2] * put_out[3] > 3:
            maps.add(module)
        if put_out != shape and len(put_out) < 3:
            channels = False
        second.setdefault(module, channels or isinstance(module, CHANNELS_SECOND))
    return Ran(list(dict.fromkeys(m for m, _ in order)), names, groups, head, second, maps)
