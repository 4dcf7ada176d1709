"""What a module puts out: whether it varies, its mean, and something else in its place."""

import copy
import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch

from auditor.intake.batches import tensors_in

ROUNDING = 4
"""Times the precision of a number type within which two values count as equal."""


def is_numeric(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor holds real or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def first_tensor(value: Any) -> torch.Tensor | None:
    """Return the first dense tensor in what a module takes or puts out."""
    found = (t for t in tensors_in(value) if t.layout is torch.strided and t.numel())
    return next(found, None)


def example_axis(tensor: torch.Tensor, examples: int) -> int | None:
    """Return the dimension, one of the first two, that counts examples."""
    return next((d for d in range(min(2, tensor.ndim)) if tensor.shape[d] == examples), None)


class Constancy:
    """Watches whether a module's output varies, and whether it is more than its input."""

    def __init__(self) -> None:
        self._first: torch.Tensor | None = None
        self._input: torch.Tensor | None = None
        self._varies: list[torch.Tensor] = []
        self._fed: list[torch.Tensor] = []
        self._differs: list[torch.Tensor] = []
        self._examples = 0

    def see(self, given: torch.Tensor | None, made: torch.Tensor | None, examples: int) -> None:
        """Take in a call: the first tensors in and out, and how many examples they are of."""
        self._examples = max(self._examples, examples)
        if made is None or not is_numeric(made):
            self._varies.append(torch.tensor(True))
            return
        reference = _unit_reference(made)
        if self._first is None or self._first.shape != reference.shape:
            self._first = reference.clone()
        self._varies.append(apart(made, self._first))
        if given is None:
            return
        axis = example_axis(given, examples)
        rows = given if axis is None else given.movedim(axis, 0)
        if self._input is None or self._input.shape != rows[:1].shape:
            self._input = rows[:1].clone()
        self._fed.append(apart(rows, self._input))
        alike = given.shape == made.shape and given.dtype == made.dtype
        self._differs.append(apart(made, given) if alike else torch.tensor(True))

    def reason(self) -> Literal["constant", "identity"] | None:
        """Return what the output always was; None where its input did not vary to show it."""
        if self._examples < 2 or not _any(self._fed):
            return None
        if not _any(self._varies):
            return "constant"
        return None if _any(self._differs) else "identity"


def _unit_reference(tensor: torch.Tensor) -> torch.Tensor:
    """Return one value for each unit: of the channels of images, else of the last dimension.

    So a part that puts out another number at each position, whatever the input, is no constant:
    an embedding of positions is of that kind.
    """
    if tensor.ndim >= 4:
        return tensor[(slice(0, 1), slice(None), *(slice(0, 1),) * (tensor.ndim - 2))]
    return tensor[(slice(0, 1),) * (tensor.ndim - 1)] if tensor.ndim else tensor


def apart(values: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Tell, in a tensor, whether values differ from a reference beyond rounding; NaN does."""
    if not is_numeric(values):
        return (values != reference).any()
    scale = values.abs().max()
    return ~((values - reference).abs().max() <= ROUNDING * torch.finfo(values.dtype).eps * scale)


def _any(flags: list[torch.Tensor]) -> bool:
    return bool(torch.stack([flag.cpu() for flag in flags]).any()) if flags else False


class MeanOutput:
    """The mean of each tensor that a module puts out, over examples, call by call of a pass."""

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[int, list[torch.Tensor]]]] = defaultdict(list)

    def see(self, output: Any, examples: int, call: int) -> None:
        """Take in what the module put out at its `call`-th call in a batch."""
        tensors = [_mean(tensor, examples) for tensor in tensors_in(output) if is_numeric(tensor)]
        self._seen[call].append((examples, tensors))

    def tensors(self, call: int) -> Iterator[torch.Tensor]:
        """Yield the means, in the order in which the output holds its tensors."""
        seen = self._seen[min(call, max(self._seen))]
        total = sum(examples for examples, _ in seen)
        for column in zip(*(tensors for _, tensors in seen), strict=False):
            level = _of_one_shape(list(column))
            yield sum(  # type: ignore[misc]
                mean * (examples / total) for mean, (examples, _) in zip(level, seen, strict=True)
            )


def _mean(tensor: torch.Tensor, examples: int) -> torch.Tensor:
    """Return the mean over the dimension of the examples, which stays as one of size one."""
    axis = example_axis(tensor, examples)
    if axis is not None:
        return tensor.mean(axis, keepdim=True)
    if tensor.ndim < 2:
        return tensor.clone()
    # No example varies it: an embedding of positions. Its mean over them takes it out.
    return tensor.mean(tuple(range(tensor.ndim - 1)), keepdim=True)


def _of_one_shape(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return tensors with the dimensions averaged in which they differ, such as lengths."""
    if len({tensor.ndim for tensor in tensors}) > 1:
        return [tensors[0]] * len(tensors)
    odd = [d for d in range(tensors[0].ndim) if len({tensor.shape[d] for tensor in tensors}) > 1]
    return [tensor.mean(odd, keepdim=True) if odd else tensor for tensor in tensors]


def substituted(value: Any, tensors: Iterator[torch.Tensor]) -> Any:
    """Return `value` with its tensors of numbers replaced in order, as far as there are any."""
    if isinstance(value, torch.Tensor):
        new = next(tensors, None) if is_numeric(value) else None
        # A tensor of its own, since the next module may write into it.
        return value if new is None else torch.empty_like(value).copy_(new)
    if isinstance(value, Mapping):
        made: Any = copy.copy(value)
        for key, inner in value.items():
            made[key] = substituted(inner, tensors)
        return made
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(substituted(inner, tensors) for inner in value))
    if isinstance(value, tuple | list):
        return type(value)(substituted(inner, tensors) for inner in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        made = copy.copy(value)
        for name, inner in fields.items():
            object.__setattr__(made, name, substituted(inner, tensors))
        return made
    return value
