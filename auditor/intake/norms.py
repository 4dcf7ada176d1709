"""2-norms of tensors of any kind, neither lost nor infinite where their squares would be."""

from collections.abc import Sequence

import torch


def norm(tensor: torch.Tensor) -> torch.Tensor:
    """Return the 2-norm of a tensor, summed in float64; nothing waits for the device."""
    found: torch.Tensor = torch.linalg.vector_norm(_plain(tensor), dtype=torch.float64)
    return found


def norms(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the 2-norm of each of several tensors, as one tensor.

    Squares too large or too small for float32 are summed again in float64, which takes longer.
    """
    if not tensors:
        return torch.zeros(0, dtype=torch.float64)
    plain = [_plain(tensor) for tensor in tensors]
    double = any(values.dtype == torch.float64 for values in plain)
    kind = torch.float64 if double else torch.float32
    found = torch.stack(torch._foreach_norm(plain, dtype=kind)).double()
    for index in torch.nonzero((found == 0) | (found == torch.inf)).flatten().tolist():
        found[index] = torch.linalg.vector_norm(plain[index], dtype=torch.float64)
    return found


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """Return what counts for the norm, real and dense."""
    values = tensor.detach()
    if values.layout is torch.sparse_coo:
        values = values.coalesce().values()
    return torch.view_as_real(values) if values.is_complex() else values
