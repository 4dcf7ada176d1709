"""How far two answers lie apart, and which dimension of them counts examples."""

from collections.abc import Iterator
from typing import Any

import torch

from auditor.intake.batches import tensors_in


def numeric(value: Any) -> list[torch.Tensor]:
    """Return the dense tensors in what a model puts out as real numbers, in order.

    They come without a graph, which a model that derives by its inputs makes in any mode.
    """
    return [tensor.detach() for tensor in derivable(value)]


def derivable(value: Any) -> list[torch.Tensor]:
    """Return the same, each with its graph."""
    found = []
    for tensor in tensors_in(value):
        if tensor.layout is torch.strided and tensor.numel():
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            found.append(real if real.is_floating_point() else real.double())
    return found


def size_of(values: torch.Tensor) -> float:
    """Return the largest finite size among values, 0 where there is none."""
    finite = values.abs()
    finite = finite[finite.isfinite()]
    return float(finite.max()) if finite.numel() else 0.0


def apart(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the differences of values: none of equal infinities or of NaN, infinite of one."""
    gap = (one.double() - other.double()).abs()
    same = (one == other) | (one.isnan() & other.isnan())
    return torch.where(same, 0.0, gap.nan_to_num(torch.inf, torch.inf))


def cropped(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return the part of two tensors that both have, None where they differ in dimensions."""
    if one.ndim != other.ndim:
        return None
    for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)):
        one, other = one.narrow(axis, 0, min(a, b)), other.narrow(axis, 0, min(a, b))
    return one, other


def largest_change(one: Any, other: Any) -> float:
    """Return the largest difference of two outputs as a share of the largest value in each tensor.

    Infinite where they have other shapes, or one has NaN or infinity where the other has not.
    """
    pairs = numeric(one), numeric(other)
    if [t.shape for t in pairs[0]] != [t.shape for t in pairs[1]]:
        return float("inf")
    worst = 0.0
    for a, b in zip(*pairs, strict=True):
        gap = float(apart(a, b).max())
        worst = max(worst, gap / (size_of(a) or 1.0) if gap else 0.0)
    return worst


def by_example(tensor: torch.Tensor, axis: int, examples: int) -> list[torch.Tensor]:
    """Return a tensor as [examples, ...] in each way in which its `axis` may count them.

    Where it counts examples and something beside, either may run faster.
    """
    front = tensor.movedim(axis, 0)
    if front.shape[0] == examples:
        return [front]
    outer = front.unflatten(0, (examples, -1))
    inner = front.unflatten(0, (-1, examples)).transpose(0, 1)
    return [outer, inner]


def example_axes(of: torch.Size, less: torch.Size, examples: int, fewer: int) -> list[int]:
    """Return the dimensions that grow with the batch, from shapes for two sizes of it."""
    if len(of) != len(less):
        return []
    return [
        axis
        for axis, (a, b) in enumerate(zip(of, less, strict=True))
        if a != b and a * fewer == b * examples and a % examples == 0
    ]


def set_against(of: Any, less: Any, examples: int, fewer: int) -> str:
    """Return that outputs have a row and a column for each example; empty where they have not.

    `of` is what the model puts out for so many `examples`, `less` the same for `fewer` of them.
    """
    for a, b in zip(numeric(of), numeric(less), strict=False):
        if len(example_axes(a.shape, b.shape, examples, fewer)) > 1:
            return (
                "the output sets the examples of a batch against one another (it has a row and a "
                "column for each), so that each depends on the others by design"
            )
    return ""


def taken(
    whole: torch.Tensor, shape: torch.Size, count: int, places: list[int]
) -> Iterator[torch.Tensor]:
    """Yield the part of a tensor of all examples that belongs to some, in the shape given."""
    if whole.ndim != len(shape):
        return
    for axis, (a, b) in enumerate(zip(whole.shape, shape, strict=True)):
        beside = whole.shape[:axis] == shape[:axis] and whole.shape[axis + 1 :] == shape[axis + 1 :]
        if a % count or a // count * len(places) != b or not beside:
            continue
        for way in by_example(whole, axis, count):
            part = way[places]
            if a != count:
                inner = way.shape[1] == a // count and len(places) > 1 and not way.is_contiguous()
                part = part.transpose(0, 1) if inner else part
                part = part.flatten(0, 1)
            yield part.movedim(0, axis)


def as_numbers(one: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two tensors as real numbers of double precision."""
    if one.is_complex() and other.is_complex():
        return torch.view_as_real(one), torch.view_as_real(other)
    return one.double(), other.double()
