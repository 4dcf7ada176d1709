"""Singular values of a matrix of any size, within bounded work."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from auditor.core.values import Array

CHUNK = 1 << 22
"""Values looked at in one go: 16 MB."""


def blocks_of(table: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield blocks of rows, with the number of the first, in float32 or better."""
    step = max(1, CHUNK // max(1, table.shape[1]))
    for start in range(0, len(table), step):
        block = table[start : start + step]
        yield start, block if block.dtype == torch.float64 else block.float()


def singular_values(
    table: torch.Tensor, spoilt: list[tuple[int, int]], side: int, seed: int
) -> tuple[Array, tuple[int, int]]:
    """Return the singular values of the matrix, or of a sketch of it, and of which shape.

    Rows, or columns, are dealt out in turn to as many sums as there is room for, each with a
    random sign (count sketch: Charikar, Chen & Farach-Colton 2002), and each sum is divided by
    the root of its terms. So no row is overlooked, a low rank stays low, and independent entries
    stay independent with their variance. The values are roots of the eigenvalues of the smaller
    Gram matrix in float64; below about 1e-8 of the largest they are rounding.
    """
    generator = torch.Generator().manual_seed(seed)
    units, fan_in = table.shape
    short = min(units, fan_in)
    wide = side if short == fan_in and units > fan_in else 4 * side
    tall = 4 * side if wide == side else side
    deal_rows, deal_columns = (
        _dealt(size, most, generator) for size, most in ((units, tall), (fan_in, wide))
    )
    total = torch.zeros(
        min(units, tall), min(fan_in, wide), dtype=torch.float64, device=table.device
    )
    wrong: dict[int, list[int]] = {}
    for row, column in spoilt:
        wrong.setdefault(row, []).append(column)
    for start, block in blocks_of(table):
        for row in [r for r in wrong if start <= r < start + len(block)]:
            block = block.clone()
            block[row - start, wrong[row]] = 0.0
        if deal_columns is not None:
            block = _in_sums(block, deal_columns[1].to(block), total.shape[1])
        if deal_rows is None:
            total[start : start + len(block)] = block.double()
        else:
            place, sign = (each.to(block.device) for each in deal_rows)
            span = slice(start, start + len(block))
            total.index_add_(0, place[span], block.double() * sign[span].unsqueeze(1))
    scale = float(total.abs().max())
    shape = int(total.shape[0]), int(total.shape[1])
    if not (scale > 0 and math.isfinite(scale)):
        return np.zeros(min(shape)), shape
    total /= scale
    gram = total @ total.T if shape[0] <= shape[1] else total.T @ total
    values = np.linalg.eigvalsh(gram.cpu().numpy())[::-1]
    return np.sqrt(np.maximum(values, 0.0)) * scale, shape


def _in_sums(block: torch.Tensor, sign: torch.Tensor, sums: int) -> torch.Tensor:
    """Return the signed sums of every so many columns."""
    short = -block.shape[1] % sums
    padded = torch.nn.functional.pad(block * sign, (0, short))
    return padded.view(len(block), -1, sums).sum(1)


def _dealt(
    size: int, most: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return for each of `size` terms its sum and its signed weight, None where all have room."""
    if size <= most:
        return None
    place = torch.arange(size) % most
    terms = torch.bincount(place, minlength=most).double()
    sign = torch.randint(0, 2, (size,), generator=generator).double() * 2 - 1
    return place, sign / terms[place].sqrt()
