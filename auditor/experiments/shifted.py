"""Which input is a sequence, and whether the targets are that sequence moved on."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from auditor.intake.batches import Batch, tensors_in

MOST_SHIFT = 16
MATCHED = 0.9
"""Share of positions at which target and later input must agree: some may be masked or unknown."""
MORE = 0.05
"""By how much more than without a shift, so that sequences that hardly vary prove nothing."""
FEWEST_STEPS, FEWEST_PLACES = 3, 8
CLOSE = 1e-5


@dataclass(frozen=True)
class Sequence:
    """An input that is a sequence: the how-manieth tensor, its dimensions, and the targets' shift.

    `shift` is 0 where targets are the inputs themselves, -1 where they are neither, though there
    is one for each step.
    """

    place: int
    batch: int
    time: int
    steps: int
    shift: int
    matched: float


def sequence_of(batch: Batch) -> Sequence | None:
    """Return the input of which the targets are the next values; else the first with one a step.

    None where no input is a sequence with a target for each of its steps.
    """
    target = next(tensors_in(batch.target), None)
    if target is None:
        return None
    found: list[Sequence] = []
    for place, tensor in enumerate(tensors_in((batch.args, batch.kwargs))):
        axis = batch.axis(tensor) if tensor.layout is torch.strided else None
        if axis is None or tensor.dtype is torch.bool or tensor.is_complex():
            continue
        for time in _times(tensor, axis):
            matched = _matched(tensor, target, axis, time)
            if matched is not None:
                found.append(Sequence(place, axis, time, tensor.shape[time], *matched))
    moved = [one for one in found if one.shift > 0] or [one for one in found if one.shift == 0]
    return next(iter(moved or found), None)


def runs_first(batch: Batch, loaded: object) -> bool:
    """Tell whether the first dimension of the inputs is time and the second counts examples.

    It is where the targets are the inputs moved on along it, and where the second one, in inputs
    and targets alike, has the size of the batches that the loader says it makes (`loaded`).
    """
    target = next(tensors_in(batch.target), None)
    given = next(tensors_in((batch.args, batch.kwargs)), None)
    if target is None or given is None or given.layout is not torch.strided or given.ndim < 2:
        return False
    if given.ndim > 3 or min(given.shape[:2]) < 2 or given.is_complex():
        return False
    if per_step(batch) and given.shape[1] == loaded != given.shape[0]:
        return True
    if given.dtype is torch.bool or given.shape[0] < FEWEST_STEPS:
        return False
    along = _matched(given, target, 1, 0)
    beside = _matched(given, target, 0, 1)
    return bool(along and along[0] > 0 and not (beside and beside[0] > 0))


def unsettled(batch: Batch, loaded: object) -> bool:
    """Tell whether nothing shows which of two dimensions counts examples: targets share both."""
    given = next(tensors_in((batch.args, batch.kwargs)))
    return per_step(batch) and not given.shape[0] == loaded != given.shape[1]


def per_step(batch: Batch) -> bool:
    """Tell whether targets share the first two dimensions of the inputs."""
    target = next(tensors_in(batch.target), None)
    given = next(tensors_in((batch.args, batch.kwargs)), None)
    if target is None or given is None or given.ndim not in (2, 3) or target.ndim < 2:
        return False
    return target.shape[:2] == given.shape[:2] and (
        given.ndim == 3 or not given.is_floating_point()
    )


def _times(tensor: torch.Tensor, axis: int) -> Iterator[int]:
    most = 3 if tensor.is_floating_point() else 2
    if 2 <= tensor.ndim <= most:
        yield from (d for d in range(tensor.ndim) if d != axis and tensor.shape[d] >= FEWEST_STEPS)


def _matched(
    tensor: torch.Tensor, target: torch.Tensor, axis: int, time: int
) -> tuple[int, float] | None:
    """Return the shift at which targets are the inputs, and for what share of positions."""
    inputs = tensor.movedim((axis, time), (0, 1))
    inputs = inputs.reshape(*inputs.shape[:2], -1)
    examples, steps = inputs.shape[:2]
    flat = target.numel() == examples * steps
    if target.ndim > max(axis, time) and target.shape[time] == steps:
        if target.shape[axis] != examples:
            return None
        wanted = target.movedim((axis, time), (0, 1)).reshape(examples, steps, -1)
    elif flat and target.shape[0] == target.numel():
        wanted = target.reshape((examples, steps) if axis < time else (steps, examples))
        wanted = (wanted if axis < time else wanted.T).unsqueeze(-1)
    else:
        return None
    shares = [_share(inputs, wanted, shift) for shift in range(min(MOST_SHIFT, steps - 2) + 1)]
    best = max(range(1, len(shares)), key=shares.__getitem__, default=0)
    if best and shares[best] >= MATCHED and shares[best] > shares[0] + MORE:
        return best, shares[best]
    if shares[0] >= MATCHED:
        return 0, shares[0]
    # Numbers in two dimensions are as likely a row of features as a series.
    series = not tensor.is_floating_point() or tensor.ndim > 2
    return (-1, max(shares)) if series and time == 1 - axis else None


def _share(inputs: torch.Tensor, wanted: torch.Tensor, shift: int) -> float:
    """Return the share of targets that are the inputs `shift` steps later."""
    later = inputs[:, shift:]
    now = wanted[:, : wanted.shape[1] - shift]
    if now.shape[2] not in (1, later.shape[2]):
        return 0.0
    if inputs.is_floating_point() or wanted.is_floating_point():
        scale = float(inputs.abs().max()) or 1.0
        same = (later.double() - now.double()).abs() <= CLOSE * scale
        counted = torch.ones_like(same)
    else:
        same = later == now
        # Negative labels mark what the loss leaves out.
        counted = (now >= 0).expand_as(same)
    if now.shape[2] == 1:
        total = counted.sum((0, 1)).clamp(min=1)
        share = float(((same & counted).sum((0, 1)) / total).max())
        places = int(counted[..., 0].sum())
    else:
        places = int(counted.sum())
        share = float((same & counted).sum()) / max(places, 1)
    return share if places >= FEWEST_PLACES else 0.0
