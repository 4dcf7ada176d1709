"""Sees which units of the rectifying layers fire, by elimination."""

from typing import Any

import torch

from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from auditor.observations.activity import LayerActivity, UnitActivity, UnitActivityOver
from auditor.observers.observer import Observer, Place, Step


class UnitActivityObserver(Observer):
    """Looks, batch after batch, only at units that have not fired yet."""

    def __init__(self, request: UnitActivityOver, subject: Subject) -> None:
        self._split = request.split
        self._examples = 0
        self._kinds: dict[tuple[str, int], str] = {}
        self._fired: dict[tuple[str, int], torch.Tensor] = {}
        self._silent: dict[tuple[str, int], torch.Tensor] = {}
        self._done: set[tuple[str, int]] = set()

    def leaving(self, place: Place, output: Any) -> None:
        """Note the units of a rectifier that gave anything but zero."""
        if not place.rectifies:
            return
        tensor = next(tensors_in(output), None)
        if tensor is None or tensor.ndim < 2:
            return
        axis = place.unit_axis % tensor.ndim
        layer = (place.name, tensor.shape[axis])
        if layer in self._done:
            return
        if layer not in self._fired:
            self._kinds[layer] = place.kind
            self._fired[layer] = torch.zeros(layer[1], dtype=torch.bool, device=tensor.device)
        silent = self._silent.get(layer)
        looked_at = (
            tensor.detach() if silent is None else tensor.detach().index_select(axis, silent)
        )
        others = [dim for dim in range(tensor.ndim) if dim != axis]
        fires = torch.count_nonzero(looked_at, dim=others) > 0
        if silent is None:
            self._fired[layer] |= fires
        else:
            # A layer may run several times in a batch, so what fired before must stay.
            earlier = self._fired[layer].index_select(0, silent)
            self._fired[layer].index_copy_(0, silent, earlier | fires)

    def step(self, step: Step) -> None:
        """Drop the units that have fired from what is looked at next."""
        self._examples += step.batch.size
        open_layers = [layer for layer in self._fired if layer not in self._done]
        if not open_layers:
            return
        fired = torch.cat([self._fired[layer] for layer in open_layers]).cpu()
        for layer, flags in zip(
            open_layers, fired.split([layer[1] for layer in open_layers]), strict=True
        ):
            silent = torch.nonzero(~flags).flatten()
            if silent.numel() == 0:
                self._done.add(layer)
            else:
                self._silent[layer] = silent.to(self._fired[layer].device)

    def result(self) -> UnitActivity:
        """Return which units of which layers fired."""
        return UnitActivity(
            layers=tuple(
                LayerActivity(layer[0], self._kinds[layer], fired.cpu().numpy())
                for layer, fired in self._fired.items()
            ),
            examples=self._examples,
            split=self._split,
        )
