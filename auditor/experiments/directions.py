"""Directions along which tensors are moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

FLOOR = 0.1
"""Size by which what is zero all over is moved, in place of its own."""


@dataclass(frozen=True)
class Direction:
    """Where to move: by tensor, all its elements by `values`, or the one at `at` alone."""

    values: Mapping[str, torch.Tensor]
    at: int | None = None

    def slope(self, gradients: Mapping[str, torch.Tensor | None]) -> float:
        """Return the derivative along this direction that gradients have."""
        total = 0.0
        for name, values in self.values.items():
            gradient = gradients[name]
            if gradient is not None:
                part = gradient.reshape(-1)[self.at] if self.at is not None else gradient
                total += float((part.conj() * values).real.sum())
        return total


def random_direction(
    leaves: Mapping[str, torch.Tensor],
    generator: torch.Generator,
    still: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, torch.Tensor]:
    """Return ±1 for each element of some tensors, times the root mean square of its tensor.

    The row of a tensor that is to stay `still` has zeros.
    """
    made = {}
    for name, leaf in leaves.items():
        signs = torch.randint(2, leaf.shape, generator=generator, dtype=torch.int8)
        made[name] = (2 * signs.to(leaf.device) - 1).to(leaf.dtype) * size_of(leaf)
        if name in still:
            made[name][still[name]] = 0
    return made


def padding_rows(model: nn.Module) -> dict[str, int]:
    """Return, by parameter, the row of an embedding that gets no gradient by design."""
    rows = {
        id(module.weight): module.padding_idx
        for module in model.modules()
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None
    }
    return {name: rows[id(p)] for name, p in model.named_parameters() if id(p) in rows}


def size_of(leaf: torch.Tensor) -> torch.Tensor:
    """Return the root mean square of a tensor, in place of that of zeros a tenth."""
    size = leaf.detach().abs().square().mean().sqrt()
    return torch.where(size > 0, size, FLOOR)
