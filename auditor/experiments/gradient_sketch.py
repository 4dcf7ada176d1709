"""A gradient of any length as a vector of bounded length that keeps inner products."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

WIDTH = 1 << 18
"""Numbers kept of a gradient. Two of length 1 then have an inner product that is off by
1/512 (standard deviation), whatever the model's size."""


class Sketch:
    """Keeps gradients whole up to `width` numbers; longer ones are folded with random signs.

    Entry i is added, with its own random sign, to place i mod `width` (the count sketch of Charikar
    et al. 2002, with places in turn instead of at random), so that inner products stay what they
    are on average. Signs take one byte an entry and are the same for every gradient.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], seed: int, width: int = WIDTH) -> None:
        self._parameters = parameters
        self._sizes = [p.numel() * (2 if p.is_complex() else 1) for p in parameters]
        whole = sum(self._sizes)
        self.folded = whole > width
        self.width = min(width, whole)
        self._signs: list[torch.Tensor] = []
        if self.folded:
            generator = torch.Generator().manual_seed(seed)
            for size, parameter in zip(self._sizes, parameters, strict=True):
                bits = torch.randint(0, 2, (size,), generator=generator, dtype=torch.int8)
                self._signs.append((2 * bits - 1).to(parameter.device))

    def taken(self) -> torch.Tensor:
        """Return the parameters' gradients as one vector, float32 or better; none counts as 0."""
        first = self._parameters[0]
        kind = torch.promote_types(torch.float32, first.dtype.to_real())
        found = torch.zeros(self.width, dtype=kind, device=first.device)
        place = 0
        for number, (parameter, size) in enumerate(zip(self._parameters, self._sizes, strict=True)):
            if parameter.grad is not None and size:
                flat = _flat(parameter.grad).to(found)
                if self.folded:
                    before = place % self.width
                    signed = flat * self._signs[number]
                    after = -(before + size) % self.width
                    rows = functional.pad(signed, (before, after)).view(-1, self.width)
                    found += rows.sum(dim=0)
                else:
                    found[place : place + size] = flat
            place += size
        return found


def _flat(gradient: torch.Tensor) -> torch.Tensor:
    dense = gradient.detach()
    if dense.layout is not torch.strided:
        dense = dense.to_dense()
    return (torch.view_as_real(dense) if dense.is_complex() else dense).reshape(-1)
