"""Which rows of a weight matrix are the same row up to sign and scale."""

from dataclasses import dataclass

import torch

from auditor.observers.weight_parts import Part

NARROW = 64
"""Columns to which rows are projected to find candidates, which are then compared whole."""
WIDE = 1 << 22
"""Values of rows compared with each other, so that of wide ones fewer are."""
SIMILAR = 0.99
"""|cos| in the projection from which on two rows are compared whole."""
COARSE, FINE = 1e-4, 1e-6
"""1 - |cos| below which two rows are one: of 16 bits and less, rounded to 3 digits; of more."""
SAMPLED = 1 << 12
"""Values looked at to tell how often two are the same number."""


@dataclass(frozen=True)
class Rows:
    """What `WeightMatrix` says of the rows that were compared."""

    compared: int
    beside: int
    duplicates: int
    opposites: int
    tolerance: float
    dimension: float
    collision: float
    identical: bool

    @classmethod
    def none(cls) -> "Rows":
        """Return what is said where nothing was compared."""
        return cls(0, 0, 0, 0, FINE, 0.0, 0.0, False)


def compared(
    part: Part,
    table: torch.Tensor,
    alive: torch.Tensor,
    spoilt: list[tuple[int, int]],
    most: int,
    seed: int,
) -> Rows:
    """Compare the rows of `table` that are `alive`, at most so many, within each group.

    Values at `spoilt` count as zero. Each row is set beside the one before it that is most like
    it in a random projection to few columns, and the two are compared whole in float64, so that
    the work grows with the square of the rows only in few columns (Johnson & Lindenstrauss 1984).
    """
    tolerance = COARSE if table.dtype.itemsize < 4 else FINE
    most = min(most, max(most // 8, WIDE // table.shape[1]))
    chosen = torch.nonzero(alive).flatten()
    if len(chosen) > most:
        chosen = chosen[torch.linspace(0, len(chosen) - 1, most).round().long()]
    rows = table[chosen.to(table.device)].double()
    at = {int(row): place for place, row in enumerate(chosen.tolist())} if spoilt else {}
    for row, column in spoilt:
        if row in at:
            rows[at[row], column] = 0.0
    collision = _collision(rows)
    identical = len(rows) > 1 and bool((rows - rows[:1]).abs().max() <= FINE * rows.abs().max())
    beside = _alive(part.before, most).to(rows)
    if len(rows) < 2 and not len(beside):
        return Rows(len(rows), 0, 0, 0, tolerance, 1.0, collision, False)
    group = chosen // max(1, len(table) // part.groups)
    group = torch.cat([group.new_zeros(len(beside)), group]).to(rows.device)
    count, rows = len(rows), torch.cat([beside.reshape(-1, rows.shape[1]), rows])
    rows = rows / rows.norm(dim=1, keepdim=True)
    small = _projected(rows, seed)
    partner = _partners(small, group)
    partner[: len(beside)] = -1
    with_one = torch.nonzero(partner >= 0).flatten()
    first, second = rows[with_one], rows[partner[with_one]]
    # |a - b|² = 2 - 2 cos, which keeps its digits where the cosine is all but 1.
    apart = torch.minimum((first - second).square().sum(1), (first + second).square().sum(1)) / 2
    same = apart <= tolerance
    opposite = same & ((first * second).sum(1) < 0)
    distinct = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    distinct[with_one[same]] = False
    return Rows(
        compared=count,
        beside=len(beside),
        duplicates=int(same.sum()),
        opposites=int(opposite.sum()),
        tolerance=tolerance,
        dimension=_dimension(small[distinct]) if bool(distinct.any()) else 1.0,
        collision=collision,
        identical=identical,
    )


def _alive(before: torch.Tensor | None, most: int) -> torch.Tensor:
    """Return rows of the parts before this one that are not zero, at most so many."""
    if before is None or not before.numel():
        return torch.zeros(0)
    step = -(-len(before) // most)
    rows = torch.view_as_real(before) if before.is_complex() else before
    rows = rows.reshape(len(rows), -1)[::step].double()
    return rows[(rows.abs().amax(1) > 0) & rows.isfinite().all(1)]


def _projected(rows: torch.Tensor, seed: int) -> torch.Tensor:
    """Return the directions of the rows in few columns."""
    if rows.shape[1] <= NARROW:
        return rows
    generator = torch.Generator().manual_seed(seed)
    onto = torch.randn(rows.shape[1], NARROW, generator=generator, dtype=torch.float64)
    small = rows @ onto.to(rows.device)
    length: torch.Tensor = small.norm(dim=1, keepdim=True).clamp(min=1e-30)
    return small / length


def _partners(small: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """Return for each row the earlier one of its group that is most like it, -1 for none."""
    alike = (small @ small.T).abs_()
    allowed = (group.unsqueeze(0) == group.unsqueeze(1)).tril(-1)
    best = alike.masked_fill_(~allowed, -1.0).max(dim=1)
    return torch.where(best.values > SIMILAR, best.indices, -1)


def _dimension(rows: torch.Tensor) -> float:
    """Return (Σλ)² / Σλ² of the eigenvalues λ of the rows' second moment, by its traces."""
    short = rows.T @ rows if rows.shape[1] < len(rows) else rows @ rows.T
    return float(short.diagonal().sum() ** 2 / short.square().sum())


def _collision(rows: torch.Tensor) -> float:
    """Return how likely two values drawn at random are the same number, of either sign."""
    values = rows.flatten()
    if len(values) > SAMPLED:
        values = values[:: len(values) // SAMPLED]
    counts = torch.unique(values.abs(), return_counts=True)[1].double()
    total = counts.sum()
    return float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
