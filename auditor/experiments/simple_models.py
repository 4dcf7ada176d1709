"""The simplest models that take what the audited model takes, and put out what it puts out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.text import counted
from auditor.experiments.simple_parts import (
    CONTEXT,
    EMBEDDED,
    ChannelsLast,
    Finish,
    Flat,
    Nth,
    Read,
    Simple,
    Standardise,
    Tokens,
)
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.subject import Subject

WEIGHTS = 400_000
"""Weights that a linear model has at most; wider inputs are averaged until they fit."""

FEATURES = 2048
"""Inputs that a flat model sees at most, and words it tells apart (more share a place)."""

WIDEST = 64
"""Units of the hidden layer at most."""

NARROWEST = 8
"""Units of the hidden layer at least, however small the audited model."""

REPEATED = 0.25
"""Correlation of targets with inputs of the same shape from which they repeat the inputs."""

MOST_NUMBERS = 64
"""Numbers an example that a flat model puts out at most."""


@dataclass(frozen=True)
class Designs:
    """How to read a batch, and how to build the simpler models once features were read.

    `linear` and `hidden` take the features and the targets that statistics are taken from;
    `words` says, for each, of what it is made.
    """

    read: Read
    linear: Callable[[torch.Tensor, torch.Tensor], Simple]
    hidden: Callable[[torch.Tensor, torch.Tensor], Simple]
    words: tuple[str, str]


def designed(subject: Subject, batch: Batch, outputs: Any) -> Designs | Unavailable:
    """Return how simpler models read such batches, or why none can.

    `batch` is a batch of training data and `outputs` what the audited model makes of it.
    """
    main, target = main_output(outputs), batch.target
    if not isinstance(main, torch.Tensor) or not isinstance(target, torch.Tensor):
        return Unavailable("the outputs or the targets are no tensors")
    if batch.starts is not None:
        return Unavailable(
            "the examples of a batch are joined end to end, as for `nn.EmbeddingBag`, which no "
            "simpler model here reads"
        )
    size = batch.size
    if main.is_complex() or not main.ndim or main.shape[0] != size or target.shape[:1] != (size,):
        return Unavailable("the outputs or the targets do not come example by example")
    classes = not target.is_floating_point() and main.ndim > 1 and main.shape[1:].numel() > 1
    if classes and target.ndim > 1 and target.shape[-1] == 1 and target.ndim == main.ndim:
        target = target.squeeze(-1)
    classes = classes and main.ndim == target.ndim + 1
    inputs = [t for t in tensors_in((batch.args, batch.kwargs)) if batch.axis(t) is not None]
    if not classes and _repeats(inputs, target):
        return Unavailable(
            "the targets repeat the inputs, which a linear map can copy, so no simpler model "
            "can be held against one that has to squeeze or clean them"
        )
    vocabulary = max(
        (
            module.num_embeddings
            for module in (subject.model.modules() if subject.model else ())
            if isinstance(module, nn.Embedding | nn.EmbeddingBag)
        ),
        default=0,
    )
    layout = _layout(subject, main, target, classes)
    if classes and main.ndim == 2:
        return _flat(subject, batch, layout, main.shape[1], vocabulary)
    if classes or main.ndim > 2:
        placed = _placed(subject, inputs, layout, vocabulary)
        if placed is not None:
            return placed
    width = main.shape[1:].numel()
    if classes or width > MOST_NUMBERS:
        return Unavailable("no simple model is known for inputs and targets of these shapes")
    return _flat(subject, batch, layout, width, vocabulary)


@dataclass(frozen=True)
class Layout:
    """The layout of the model's output: [examples, channels, *places] or with channels last.

    `numbers` tells that the targets are numbers, by whose mean and deviation answers are scaled.
    """

    shape: tuple[int, ...]
    places: tuple[int, ...]
    channels: int
    axis: int
    ending: str
    numbers: bool
    dtype: torch.dtype | None

    def finish(self, targets: torch.Tensor, *, flat: bool) -> Finish:
        """Return what brings a body's answers into this layout."""
        numbers = None
        if self.numbers:
            table = targets.reshape(len(targets), *self.shape)
            if flat:
                numbers = table.reshape(len(table), -1)
            else:
                numbers = table.movedim(self.axis, -1).reshape(-1, self.channels)
        shape = self.shape if flat else None
        return Finish(shape, self.axis, self.ending, numbers, self.dtype)


def _layout(subject: Subject, main: torch.Tensor, target: torch.Tensor, classes: bool) -> Layout:
    assert subject.loss is not None
    shape = tuple(main.shape[1:])
    first = main.ndim < 3 or not classes or main.shape[2:] == target.shape[1:]
    if not classes and main.ndim == 3:
        first = False
    axis = 1 if first else main.ndim - 1
    channels = main.shape[axis] if main.ndim > 1 else 1
    places = tuple(main.shape[2:] if axis == 1 else main.shape[1:-1])
    numbers = not classes and subject.facts.task == "regression"
    numbers = numbers and target.shape[1:].numel() == main.shape[1:].numel()
    dtype = main.dtype if not subject.loss.known and main.is_floating_point() else None
    ending = _ending(subject.loss.known, main.detach().float(), axis, classes)
    return Layout(shape, places, channels, axis, ending, numbers, dtype)


def _ending(loss: str, main: torch.Tensor, axis: int, classes: bool) -> str:
    """Return what the outputs have been through: for a loss of one's own, by how they look."""
    if loss:
        return {"nll_loss": "log_softmax", "binary_cross_entropy": "sigmoid"}.get(loss, "")
    if classes and bool((main.exp().sum(axis) - 1).abs().max() < 1e-3):
        return "log_softmax"
    if bool(((main < 0) | (main > 1)).any()):
        return ""
    if classes and bool((main.sum(axis) - 1).abs().max() < 1e-3):
        return "softmax"
    return "sigmoid"


def _repeats(inputs: list[torch.Tensor], target: torch.Tensor) -> bool:
    """Tell whether the targets are an input over again, as those of an autoencoder are."""
    if target.shape[1:].numel() < 2 or not target.is_floating_point():
        return False
    for given in inputs:
        if given.shape != target.shape and given.numel() != target.numel():
            continue
        if not given.is_floating_point() or given.shape[0] != target.shape[0]:
            continue
        if target.ndim > 2 and given.shape == target.shape:
            return True
        both = torch.stack([given.double().reshape(-1), target.double().reshape(-1)])
        if float(torch.corrcoef(both)[0, 1].nan_to_num()) > REPEATED:
            return True
    return False


def _units(subject: Subject, inputs: int, outputs: int, more: int = 0) -> int:
    """Return the width of a hidden layer that leaves at most half the audited model's numbers."""
    room = (subject.facts.parameters / 2 - more - outputs) / (inputs + outputs + 1)
    return int(min(WIDEST, max(NARROWEST, room)))


def _flat(
    subject: Subject, batch: Batch, layout: Layout, outputs: int, vocabulary: int
) -> Designs | Unavailable:
    first = next(tensors_in((batch.args, batch.kwargs)))
    axis = batch.axis(first)
    most = max(32, min(FEATURES, WEIGHTS // max(outputs, 1)))
    read = Flat(0 if axis is None else axis, vocabulary, most)
    features = read(batch.args, batch.kwargs)
    width = features.shape[1]
    if not width:
        return Unavailable("no input comes example by example")
    units = _units(subject, width, outputs)

    def linear(x: torch.Tensor, y: torch.Tensor) -> Simple:
        last = nn.Linear(width, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return Simple(read, nn.Sequential(Standardise(x, 1), last), layout.finish(y, flat=True))

    def hidden(x: torch.Tensor, y: torch.Tensor) -> Simple:
        layers = nn.Linear(width, units), nn.ReLU(), nn.Linear(units, outputs)
        return Simple(read, nn.Sequential(Standardise(x, 1), *layers), layout.finish(y, flat=True))

    kind = "counts of tokens" if read.counts else "input" if width == 1 else "inputs"
    return Designs(
        read,
        linear,
        hidden,
        (
            f"each of {width:,} {kind} times a weight",
            f"{width:,} {kind}, {counted(units, 'unit')} with ReLU",
        ),
    )


def _placed(
    subject: Subject, inputs: list[torch.Tensor], layout: Layout, vocabulary: int
) -> Designs | None:
    """Return designs that answer place by place, None where no input has the places."""
    outputs, places = layout.channels, layout.places
    for number, given in enumerate(inputs):
        whole = given.dtype in (torch.int64, torch.int32)
        read = Nth(number)
        if whole and len(places) == 1 and given.shape[1:] == places:
            words = vocabulary or int(given.max()) + 1
            if words * outputs > 10 * WEIGHTS:
                return None
            return _tokens(subject, Nth(number, words), layout, words)
        if whole or given.is_complex():
            continue
        if given.ndim > 2 and given.shape[2:] == places and len(places) <= 3:
            return _convolved(subject, read, layout, given.shape[1])
        if given.ndim > 2 and given.shape[1:-1] == places:
            return _pointwise(subject, read, layout, given.shape[-1])
    return None


def _tokens(subject: Subject, read: Nth, layout: Layout, words: int) -> Designs:
    outputs = layout.channels
    units = _units(subject, CONTEXT * EMBEDDED, outputs, words * EMBEDDED)

    def linear(x: torch.Tensor, y: torch.Tensor) -> Simple:
        return Simple(read, Tokens(words, outputs, 0), layout.finish(y, flat=False))

    def hidden(x: torch.Tensor, y: torch.Tensor) -> Simple:
        return Simple(read, Tokens(words, outputs, units), layout.finish(y, flat=False))

    return Designs(
        read,
        linear,
        hidden,
        (
            f"a weight for each pair of a token and an answer, {words:,} by {outputs:,}",
            f"the token and the two before it, embedded, {counted(units, 'unit')} with ReLU",
        ),
    )


def _convolved(subject: Subject, read: Nth, layout: Layout, channels: int) -> Designs:
    outputs, dimensions = layout.channels, len(layout.places)
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    units = _units(subject, channels * 3**dimensions, outputs)

    def linear(x: torch.Tensor, y: torch.Tensor) -> Simple:
        body = nn.Sequential(Standardise(x, 1), kind(channels, outputs, 3, padding=1))
        return Simple(read, ChannelsLast(body), layout.finish(y, flat=False))

    def hidden(x: torch.Tensor, y: torch.Tensor) -> Simple:
        layers = kind(channels, units, 3, padding=1), nn.ReLU(), kind(units, outputs, 1)
        body = nn.Sequential(Standardise(x, 1), *layers)
        return Simple(read, ChannelsLast(body), layout.finish(y, flat=False))

    window = " x ".join("3" * dimensions)
    return Designs(
        read,
        linear,
        hidden,
        (
            f"one convolution of {window} places",
            f"a convolution of {window} places to {counted(units, 'unit')} with ReLU, and one of "
            "a single place",
        ),
    )


def _pointwise(subject: Subject, read: Nth, layout: Layout, features: int) -> Designs:
    outputs = layout.channels
    units = _units(subject, features, outputs)

    def linear(x: torch.Tensor, y: torch.Tensor) -> Simple:
        body = nn.Sequential(Standardise(x, x.ndim - 1), nn.Linear(features, outputs))
        return Simple(read, body, layout.finish(y, flat=False))

    def hidden(x: torch.Tensor, y: torch.Tensor) -> Simple:
        layers = nn.Linear(features, units), nn.ReLU(), nn.Linear(units, outputs)
        body = nn.Sequential(Standardise(x, x.ndim - 1), *layers)
        return Simple(read, body, layout.finish(y, flat=False))

    return Designs(
        read,
        linear,
        hidden,
        (
            f"each place by itself, its {features:,} numbers times a weight each",
            f"each place by itself, {counted(units, 'unit')} with ReLU",
        ),
    )
