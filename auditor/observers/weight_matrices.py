"""Looks at each weight as a matrix: rows alike, spectrum, extreme values. Runs no model."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.core.spectrum import effective_rank
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.weight_matrices import (
    BIAS,
    Outlier,
    WeightMatrices,
    WeightMatricesOf,
    WeightMatrix,
    WeightVector,
)
from auditor.observers.weight_parts import Part, owned_by, parts_of
from auditor.observers.weight_rows import Rows, compared
from auditor.observers.weight_spectrum import blocks_of, singular_values

SPECTRAL_WORK = 3e10
"""Floating-point operations spent on all spectra together."""
SIDES = (1024, 512, 256, 128, 64)
"""Longest shorter side of a spectrum; the longer one may be four times as long."""
COMPARED = 2048
"""Rows of one matrix that are compared with each other."""
TINY = 1e-6
"""Norm, over that of the largest row, below which a row counts as zero."""
GAP = 50.0
"""Times the largest of the others that an outlier is.

Where the tail of |w| falls with the power -a, the largest is g times the next with probability
g^-a, so with a = 3, heavier than trained weights have, in 8 layers of a million."""
WIDE_GAP = 1e4
"""The same where rows or columns are too few to tell an outlier from an input's scale."""
MOST_OUTLIERS = 4
HUGE = 1e18
"""Size that no weight is trained to: its square is about the largest number of float32. A flipped
bit of an exponent goes beyond."""
MOST_HUGE = 40
"""Values of such a size that are looked at, where each stands alone in its row and column."""
ENOUGH = 8
"""Rows and columns from which on a few values can't be one whole row or column."""


def weight_matrices(request: WeightMatricesOf, subject: Subject) -> WeightMatrices | Unavailable:
    """Look at every weight, within bounded work."""
    with torch.no_grad():
        parts, left_out = parts_of(subject)
        if not parts:
            return Unavailable("there are no weights")
        matrices = [part for part in parts if part.values.ndim > 1 and part.values.numel()]
        built = _as_built(subject)
        side = _side(matrices)
        made = [
            _matrix(part, side, derived_seed(subject.seed, f"{request.key} {number}"), built)
            for number, part in enumerate(matrices)
        ]
        return WeightMatrices(
            _with_copies(made, matrices),
            tuple(_vector(p) for p in parts if p.values.ndim == 1 and p.values.numel()),
            tuple(left_out),
        )


def _as_built(subject: Subject) -> dict[str, torch.Tensor] | None:
    """Return a fresh model's weights by name, None where it can't be had."""
    if subject.model is None or subject.factory is None:
        return None
    try:
        fresh = subject.fresh(derived_seed(subject.seed, "weights as built"))
    except Exception:  # noqa: BLE001 - other checks tell of a factory that breaks
        return None
    return {
        f"{owned.owner}.{name}".lstrip("."): tensor
        for owned in owned_by(fresh)
        for name, tensor in owned.tensors.items()
    }


def _side(parts: list[Part]) -> int:
    """Return the longest side for which all spectra are affordable."""
    for side in SIDES:
        work = 0.0
        for part in parts:
            n, d = len(part.values), part.values[0].numel()
            short, long = min(n, d, side), min(max(n, d), 4 * side)
            work += 2.0 * short * short * long + 10.0 * short**3
        if work <= SPECTRAL_WORK:
            return side
    return SIDES[-1]


def _matrix(
    part: Part, side: int, seed: int, built: dict[str, torch.Tensor] | None
) -> WeightMatrix:
    values = torch.view_as_real(part.values) if part.values.is_complex() else part.values
    table = values.reshape(len(values), -1)
    units, fan_in = table.shape
    peak, flat, norms, zeros = _row_by_row(table)
    finite = bool(torch.isfinite(peak).all())
    outliers, spoilt = _outliers(table, peak, part) if finite else ((), [])
    rows = Rows.none()
    singular, shape = np.zeros(0), (units, fan_in)
    biases, worst_bias = 0, None
    if finite:
        for row, column in spoilt:
            clean = table[row].double().index_fill(0, torch.tensor(column), 0.0)
            norms[row] = clean.norm()
        rows = compared(part, table, norms > TINY * norms.max(), spoilt, COMPARED, seed)
        singular, shape = singular_values(table, spoilt, side, seed)
        biases, worst_bias = _biases(part, norms)
    used = norms.max() > 0 if finite else False
    return WeightMatrix(
        name=part.name,
        part=part.part,
        kind=part.kind,
        shape="x".join(map(str, part.values.shape)),
        units=units,
        fan_in=fan_in,
        groups=part.groups,
        compared=rows.compared,
        beside=rows.beside,
        zero_units=int((norms <= TINY * norms.max()).sum()) if finite else 0,
        constant_units=int((flat & (peak > 0)).sum()) if finite and fan_in > 1 else 0,
        duplicates=rows.duplicates,
        opposites=rows.opposites,
        tolerance=rows.tolerance,
        dimension=rows.dimension,
        collision=rows.collision,
        zero_share=zeros / max(1, table.numel()),
        identical=bool(used) and rows.identical,
        one_value=bool(used) and rows.identical and bool(flat.all()),
        columns_alike=bool(used) and _columns_alike(part, table),
        as_built=_same(part, built),
        trainable=part.trainable,
        finite=finite,
        rms=math.sqrt(float(norms.square().sum()) / table.numel()) if finite else math.nan,
        outliers=outliers,
        biases=biases,
        worst_bias=worst_bias,
        singular=singular,
        sketched=shape != (units, fan_in),
        sketch=shape,
        built_rank=_built_rank(part, built, side, seed),
    )


def _with_copies(made: Sequence[WeightMatrix], parts: Sequence[Part]) -> tuple[WeightMatrix, ...]:
    """Return the matrices, each with the name of an earlier one that holds the same values."""
    first: dict[tuple[str, float], int] = {}
    told = []
    for number, matrix in enumerate(made):
        distinct = matrix.finite and matrix.rms > 0 and not matrix.identical
        if distinct and matrix.units * matrix.fan_in >= ENOUGH * ENOUGH:
            before = first.setdefault((matrix.shape, matrix.rms), number)
            mine, theirs = parts[number].values, parts[before].values
            if before != number and torch.equal(mine, theirs.to(mine)):
                matrix = replace(matrix, copy_of=made[before].name)
        told.append(matrix)
    return tuple(told)


def _built_rank(
    part: Part, built: dict[str, torch.Tensor] | None, side: int, seed: int
) -> float | None:
    """Return the effective rank in a fresh model of a parameter whose rows nobody knows."""
    fresh = built.get(part.name) if built is not None and part.kind == "other" else None
    if fresh is None or fresh.shape != part.values.shape or part.values.is_complex():
        return None
    if not bool(torch.isfinite(fresh).all()):
        return None
    return effective_rank(singular_values(fresh.reshape(len(fresh), -1), [], side, seed)[0])


def _row_by_row(
    table: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Return each row's largest |value|, whether it is of one value, its norm; and the zeros."""
    peaks, flats, norms, zeros = [], [], [], torch.zeros((), dtype=torch.long, device=table.device)
    for _, block in blocks_of(table):
        low, high = torch.aminmax(block, dim=1)
        peak = torch.maximum(-low, high)
        scale = torch.where(peak > 0, peak, 1).unsqueeze(1)
        norms.append((block / scale).norm(dim=1).double() * scale[:, 0].double())
        peaks.append(peak)
        flats.append(low == high)
        zeros += block.numel() - torch.count_nonzero(block)
    peak, flat, norm = (torch.cat(each).cpu() for each in (peaks, flats, norms))
    return peak.double(), flat, norm, int(zeros)


def _outliers(
    table: torch.Tensor, peak: torch.Tensor, part: Part
) -> tuple[tuple[Outlier, ...], list[tuple[int, int]]]:
    """Return the few values far beyond all others, and where in the table they stand."""
    units, fan_in = table.shape
    huge = min(MOST_HUGE, int((peak > HUGE).sum()) * fan_in)
    small = table.numel() < ENOUGH * ENOUGH
    if small and not huge:
        return (), []
    wanted = max(MOST_OUTLIERS, huge) + 1
    rows = torch.topk(peak, min(wanted, units)).indices
    found = table[rows.to(table.device)].cpu().double()
    most, places = torch.topk(found.abs().flatten(), min(wanted, found.numel()))
    gap = GAP if min(units, fan_in) >= ENOUGH else WIDE_GAP
    for count in range(len(most) - 1, 0, -1):
        beside = float(most[count])
        few = count <= MOST_OUTLIERS and not small
        if not few and not float(most[count - 1]) > HUGE:
            continue
        if not beside > 0 or not float(most[count - 1]) > gap * beside:
            continue
        if few or _scattered(rows[places[:count] // fan_in], places[:count] % fan_in, table):
            break
    else:
        return (), []
    told, where = [], []
    for place in places[:count].tolist():
        row, column = int(rows[place // fan_in]), place % fan_in
        index = [row + part.offset, *np.unravel_index(column, tuple(part.values.shape[1:]) or (1,))]
        if part.values.is_complex():
            index = [row + part.offset, column // 2]
        if part.swapped:
            index[:2] = index[1], index[0]
        text = "[" + ", ".join(str(int(i)) for i in index) + "]"
        told.append(Outlier(text, float(found.flatten()[place]), beside))
        where.append((row, column))
    return tuple(told), where


def _scattered(rows: torch.Tensor, columns: torch.Tensor, table: torch.Tensor) -> bool:
    """Tell whether values fill no half of any row or column, as those of one unit or input do."""
    return all(
        length == 1 or 2 * int(torch.bincount(places).max()) < length
        for places, length in ((rows, table.shape[1]), (columns, table.shape[0]))
    )


def _columns_alike(part: Part, table: torch.Tensor) -> bool:
    """Tell whether each input, over all positions of a kernel, is read alike."""
    inputs = part.values.shape[1] if part.values.ndim > 1 else 0
    if part.groups > 1 or part.kind in ("embedding", "other") or inputs < 2:
        return False
    few = table[:COMPARED]
    apart = few.reshape(len(few), inputs, -1)
    apart = apart if apart.dtype == torch.float64 else apart.float()
    most = apart.abs().max()
    return bool((apart - apart[:, :1]).abs().max() <= TINY * most)


def _biases(part: Part, norms: torch.Tensor) -> tuple[int, float | None]:
    if part.bias is None or not norms.max() > 0:
        return 0, None
    bias = part.bias.abs().double().cpu()
    ratio = bias / norms.clamp(min=float(norms.median()) or float(norms.max()))
    worst = float(ratio.max())
    return int((ratio > BIAS).sum()), worst if math.isfinite(worst) else None


def _same(part: Part, built: dict[str, torch.Tensor] | None) -> bool | None:
    """Tell whether a fresh model has the same values in the part."""
    fresh = built.get(part.name) if built is not None else None
    if fresh is None:
        return None
    if not part.swapped:
        if fresh.shape[1:] == part.values.shape[1:]:
            fresh = fresh[part.offset : part.offset + len(part.values)]
        elif fresh.numel() == part.values.numel():
            fresh = fresh.reshape(part.values.shape)
        return bool(torch.equal(fresh.to(part.values), part.values))
    # The order of the values does not matter where only the sorted ones are compared.
    if fresh.numel() != part.values.numel():
        return None
    mine, theirs = part.values.flatten().sort().values, fresh.to(part.values).flatten()
    return bool(torch.equal(mine, theirs.sort().values))


def _vector(part: Part) -> WeightVector:
    values = torch.view_as_real(part.values).flatten() if part.values.is_complex() else part.values
    values = values.double().cpu()
    found: tuple[Outlier, ...] = ()
    if len(values) >= ENOUGH and bool(torch.isfinite(values).all()):
        most = torch.topk(values.abs(), 2)
        high, beside = most.values.tolist()
        if beside > 0 and high > WIDE_GAP * beside and high > 1:
            place = int(most.indices[0])
            found = (Outlier(f"[{place}]", float(values[place]), beside),)
    alike = bool((values == values[0]).all())
    return WeightVector(part.name, len(values), alike, float(values[0]), found)
