"""Where attributions land: on an input of numbers, or on what an embedding makes of tokens."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from auditor.intake.batches import Batch, changed, tensors_in


@dataclass(frozen=True)
class Source:
    """The input tensor that outputs are attributed to: number `place` among the batch's inputs.

    Tokens are whole numbers that an embedding takes; attributions land on its vectors. `base`
    [values of one example] is where the path of integrated gradients starts; of tokens it is the
    zero vector.
    """

    place: int
    tokens: bool
    base: torch.Tensor | None = None

    def values(self, batch: Batch) -> torch.Tensor:
        """Return the input tensor of a batch, examples first."""
        tensor = _inputs(batch)[self.place]
        return tensor.movedim(batch.axis(tensor) or 0, 0)

    def run(self, model: nn.Module, batch: Batch, share: float = 1.0) -> "Run":
        """Run the model with the input moved to `share` of its way from the base to itself."""
        if self.tokens:
            with _Embedded(self.values(batch), share) as embedded:
                outputs = model(*batch.args, **batch.kwargs)
            return Run(outputs, embedded.leaves, embedded.spans)
        whole = self.values(batch)
        values = whole if whole.is_floating_point() else whole.float()
        base = torch.zeros_like(values) if self.base is None else self.base.to(values)
        span = (values - base).detach()
        leaf = (values if share == 1.0 else base + share * span).detach()
        leaf = leaf.contiguous().requires_grad_()
        axis = batch.axis(_inputs(batch)[self.place]) or 0
        # A clone, since a leaf can't be written to in place and some models do so.
        moved = _with(batch, self.place, leaf.clone().movedim(0, axis))
        return Run(model(*moved.args, **moved.kwargs), [leaf], [span])


@dataclass(frozen=True)
class Run:
    """A pass: its outputs, the `leaves` that gradients are taken by, and the way to each."""

    outputs: Any
    leaves: list[torch.Tensor]
    spans: list[torch.Tensor]

    def gradients(
        self, score: torch.Tensor, others: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor | None]] | None:
        """Return the gradients by the leaves and by other tensors; None where there are none."""
        if not score.requires_grad or not self.leaves:
            return None
        found: list[torch.Tensor | None] = list(
            torch.autograd.grad(score.sum(), [*self.leaves, *others], allow_unused=True)
        )
        mine, rest = found[: len(self.leaves)], found[len(self.leaves) :]
        if all(gradient is None for gradient in mine):
            return None
        whole: list[torch.Tensor] = [
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(self.leaves, mine, strict=True)
        ]
        return whole, rest


def source_of(model: nn.Module, batch: Batch) -> Source | str:
    """Return what outputs are attributed to, or why they can't be attributed to anything.

    The largest input of numbers; without one, the tokens that go into the largest embedding;
    without either, whole numbers that the model takes as fractions just as well.
    """
    inputs = _inputs(batch)
    own = [(place, t) for place, t in enumerate(inputs) if batch.axis(t) is not None and t.numel()]
    numbers = [(t.numel(), -place) for place, t in own if t.is_floating_point()]
    if numbers:
        return Source(-max(numbers)[1], tokens=False)
    whole = [(place, t) for place, t in own if not t.is_complex()]
    if not whole:
        return "the model takes no numbers that belong to single examples"
    with _Embedded(None, 1.0) as seen, torch.no_grad():
        outputs = model(*batch.args, **batch.kwargs)
    for _, indices in sorted(seen.calls, key=lambda call: -call[0]):
        for place, tensor in whole:
            if tensor.ndim > 1 and _same(tensor, indices):
                return Source(place, tokens=True)
    place = max(whole, key=lambda one: one[1].numel())[0]
    try:
        with torch.no_grad():
            moved = _with(batch, place, inputs[place].float())
            again = model(*moved.args, **moved.kwargs)
        pairs = zip(tensors_in(outputs), tensors_in(again), strict=True)
        if all(torch.allclose(a, b, equal_nan=True) for a, b in pairs):
            return Source(place, tokens=False)
    except Exception:  # noqa: BLE001 - a model that wants whole numbers may raise anything
        pass
    return "the inputs are whole numbers, and no embedding was seen that takes them as they are"


def _inputs(batch: Batch) -> list[torch.Tensor]:
    """Return the input tensors of a batch in the order in which `changed` comes upon them."""
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    changed((batch.args, batch.kwargs), note)
    return found


def _with(batch: Batch, place: int, put: torch.Tensor) -> Batch:
    order = iter(range(len(_inputs(batch))))
    args, kwargs = changed(
        (batch.args, batch.kwargs), lambda tensor: put if next(order) == place else tensor
    )
    return Batch(args, kwargs, batch.target)


def _same(tensor: torch.Tensor, indices: torch.Tensor) -> bool:
    """Tell whether an embedding was given an input as it is, or with its dimensions swapped."""
    if tensor.shape == indices.shape:
        return torch.equal(tensor.to(indices.dtype), indices)
    turned = tensor.ndim == 2 and tensor.shape == indices.shape[::-1]
    return turned and torch.equal(tensor.t().to(indices.dtype), indices)


class _Embedded(TorchFunctionMode):
    """Puts leaves in the place of what embeddings make of `tokens`; notes all calls."""

    def __init__(self, tokens: torch.Tensor | None, share: float) -> None:
        super().__init__()
        self._tokens, self._share = tokens, share
        self.leaves: list[torch.Tensor] = []
        self.spans: list[torch.Tensor] = []
        self.calls: list[tuple[int, torch.Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        output = func(*args, **given)
        if func is functional.embedding:
            indices, weight = (*args, *(given[name] for name in ("input", "weight")[len(args) :]))[
                :2
            ]
        elif func is torch.embedding:
            weight, indices = args[:2]
        else:
            return output
        if self._tokens is None:
            self.calls.append((len(weight), indices))
            return output
        if not _same(self._tokens, indices):
            return output
        leaf = (self._share * output).detach().requires_grad_()
        self.leaves.append(leaf)
        self.spans.append(output.detach())
        return leaf.clone()


@contextmanager
def noted(model: nn.Module, layer: nn.Module | None, *, inputs: bool) -> Iterator[list[Any]]:
    """Note what a layer puts out, or is given, on every pass in the block; last call last.

    What it puts out is handed on as a copy: a rectifier may write into it.
    """
    held: list[Any] = []

    def leaving(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor):
            held.append(output)
            return output.clone()
        return None

    def entering(module: nn.Module, args: Any) -> None:
        held.extend(t for t in tensors_in(args) if t.requires_grad)

    handle = None
    if layer is not None:
        handle = (
            layer.register_forward_pre_hook(entering)
            if inputs
            else layer.register_forward_hook(leaving)
        )
    try:
        yield held
    finally:
        if handle is not None:
            handle.remove()
