"""Batches: the arguments of a forward pass, the target, and parts of both."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text, kind_of


@dataclass(frozen=True)
class Batch:
    """The arguments of one forward pass, and the target of the loss."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Any

    @property
    def size(self) -> int:
        """Return the number of examples.

        It is the first dimension of the first input; of inputs that come time first, the second,
        where that is the first dimension of the target; of examples joined end to end, the number
        of places at which one begins.
        """
        first = next(tensors_in((self.args, self.kwargs)), None)
        if first is None or not first.ndim:
            return 1
        starts = self.starts
        if starts is not None:
            return len(starts)
        target = next(tensors_in(self.target), None)
        if target is not None and target.ndim and first.ndim > 1:
            examples = target.shape[0]
            if examples != first.shape[0] and examples == first.shape[1]:
                return int(examples)
        return int(first.shape[0])

    @property
    def starts(self) -> torch.Tensor | None:
        """Return where each example begins in inputs that are joined end to end, else None.

        Such are the offsets of an `nn.EmbeddingBag`: whole numbers that rise from 0 within the
        first input's length, as many as there are targets.
        """
        inputs = list(tensors_in((self.args, self.kwargs)))
        target = next(tensors_in(self.target), None)
        if target is None or not target.ndim or len(inputs) < 2 or inputs[0].ndim != 1:
            return None
        first = inputs[0]
        if len(target) in (0, len(first)):
            return None
        for other in inputs[1:]:
            if other.dtype not in (torch.int64, torch.int32) or other.shape != target.shape[:1]:
                continue
            rising = bool((other[0] == 0) & (other.diff() >= 0).all() & (other[-1] <= len(first)))
            if rising:
                return other
        return None

    def axis(self, tensor: torch.Tensor) -> int | None:
        """Return the dimension of one of the batch's tensors that counts its examples."""
        axes = (axis for axis in range(min(2, tensor.ndim)) if tensor.shape[axis] == self.size)
        return next(axes, None)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with every tensor on `device`."""
        return self._with(lambda tensor: tensor.to(device))

    def take(self, examples: int) -> "Batch":
        """Return the first `examples` examples of the batch."""
        if self.starts is not None:
            return self.rows(torch.arange(min(examples, self.size)))

        def cut(tensor: torch.Tensor) -> torch.Tensor:
            axis = self.axis(tensor)
            return tensor if axis is None else tensor.narrow(axis, 0, min(examples, self.size))

        return self._with(cut)

    def share(self, fraction: float) -> "Batch":
        """Return the first share of the batch, one example at least; all of it for 1."""
        return self if fraction == 1.0 else self.take(max(1, int(self.size * fraction)))

    def rows(self, index: torch.Tensor) -> "Batch":
        """Return the examples numbered by `index`, in its order; one may stand in it twice."""
        starts = self.starts
        if starts is not None:
            return self._with(_joined_rows(self._lengths(starts), starts, index.to(starts.device)))

        def chosen(tensor: torch.Tensor) -> torch.Tensor:
            axis = self.axis(tensor)
            return tensor if axis is None else tensor.index_select(axis, index.to(tensor.device))

        return self._with(chosen)

    def padded(self) -> "Batch":
        """Return the batch with a row for each example that is joined to others end to end.

        Rows are filled up with zeros, and the sizes stand where the starts did; any other batch
        stays as it is.
        """
        starts = self.starts
        if starts is None:
            return self
        sizes = self._lengths(starts)
        total = int(sizes.sum())

        def rowed(tensor: torch.Tensor) -> torch.Tensor:
            if tensor is starts:
                return sizes
            if tensor.ndim and len(tensor) == total:
                return nn.utils.rnn.pad_sequence(tensor.split(sizes.tolist()), batch_first=True)
            return tensor

        return self._with(rowed)

    def _lengths(self, starts: torch.Tensor) -> torch.Tensor:
        """Return how long each of the examples is that are joined end to end."""
        first = next(tensors_in((self.args, self.kwargs)))
        return torch.diff(starts, append=starts.new_tensor([len(first)]))

    def with_inputs(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        """Return the batch with `change` applied to every input tensor, the target as it is."""
        return Batch(changed(self.args, change), changed(self.kwargs, change), self.target)

    def with_inputs_of(self, index: torch.Tensor) -> "Batch":
        """Return the batch with each example's inputs those of the one that `index` names."""
        other = self.rows(index)
        return Batch(other.args, other.kwargs, self.target)

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Batch":
        return Batch(
            changed(self.args, change), changed(self.kwargs, change), changed(self.target, change)
        )


def _joined_rows(
    lengths: torch.Tensor, starts: torch.Tensor, index: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what takes some examples out of tensors in which all are joined end to end."""
    total, sizes = int(lengths.sum()), lengths[index]
    begins = sizes.cumsum(0) - sizes
    places = torch.arange(int(sizes.sum()), device=starts.device)
    places = places + (starts[index] - begins).repeat_interleave(sizes)

    def chosen(tensor: torch.Tensor) -> torch.Tensor:
        if tensor is starts:
            return begins.to(tensor.dtype)
        if tensor.ndim and len(tensor) == total:
            return tensor[places.to(tensor.device)]
        whole = tensor.ndim and len(tensor) == len(starts)
        return tensor[index.to(tensor.device)] if whole else tensor

    return chosen


def changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return `value` with `change` applied to every tensor in its tuples, lists and mappings."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: changed(inner, change) for key, inner in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(changed(inner, change) for inner in value))
    if isinstance(value, tuple | list):
        return type(value)(changed(inner, change) for inner in value)
    return value


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield every tensor in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from tensors_in(inner)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors_in(getattr(value, field.name))


def described(value: Any, depth: int = 0) -> str:
    """Return the structure and shapes of a batch in one line."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}[{', '.join(map(str, value.shape))}]"
    if depth < 3 and isinstance(value, Mapping):
        inner = (
            f"{clean_text(k, 30)}: {described(v, depth + 1)}" for k, v in list(value.items())[:8]
        )
        return "{" + ", ".join(inner) + "}"
    if depth < 3 and isinstance(value, tuple | list):
        inner = (described(v, depth + 1) for v in value[:8])
        return f"{type(value).__name__}({', '.join(inner)})"
    return kind_of(value)
