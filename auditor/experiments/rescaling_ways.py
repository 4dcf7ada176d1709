"""The ways to rescale the inputs that are tried on a checkpoint."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from auditor.experiments.inputs import NORMS, column_axis, entered, in_columns, inputs_of
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.subject import Subject

IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
"""Mean and deviation of ImageNet's pixels in [0, 1], as torchvision's models want them."""

SCALES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 2.0, 4.0, 8.0, 16.0)

Reason = Literal["usual", "statistics", "scale"]


@dataclass(frozen=True)
class Layout:
    """Where an input's examples and columns stand, and each column's mean and deviation."""

    examples: int
    axis: int | None
    kind: str
    mean: torch.Tensor
    deviation: torch.Tensor

    @property
    def colours(self) -> bool:
        """Tell whether the columns are three channels."""
        return self.kind == "channel" and len(self.mean) == 3

    def shaped(self, tensor: torch.Tensor, by_column: torch.Tensor) -> torch.Tensor:
        """Return one number a column so that it meets its column of `tensor`."""
        wide = by_column.to(tensor)
        if self.axis is None or by_column.numel() == 1:
            return wide.reshape(())
        rows = tensor.movedim(self.examples, 0)
        place = [1] * rows.ndim
        place[self.axis] = -1
        return wide.reshape(place).movedim(0, self.examples)


@dataclass(frozen=True)
class Way:
    """A way to rescale: x becomes a x + b, column by column, and channels may change places."""

    name: str
    reason: Reason
    scale: tuple[torch.Tensor, ...]
    shift: tuple[torch.Tensor, ...]
    swapped: bool = False

    def applied(self, batch: Batch, layouts: dict[str, Layout]) -> Batch:
        """Return the batch with its inputs rescaled."""
        names = iter([name for name, _ in inputs_of(batch)])
        order = list(layouts)

        def change(tensor: torch.Tensor) -> torch.Tensor:
            name = next(names)
            layout = layouts.get(name)
            if layout is None:
                return tensor
            place = order.index(name)
            if self.swapped:
                assert layout.axis is not None
                rows = tensor.movedim(layout.examples, 0).flip(layout.axis)
                return rows.movedim(0, layout.examples)
            a, b = (layout.shaped(tensor, part[place]) for part in (self.scale, self.shift))
            return tensor * a + b

        return batch.with_inputs(change)

    @property
    def rule(self) -> str:
        """Return what it does, as text."""
        if self.swapped:
            return "channels 0 and 2 change places"
        if len(self.scale) > 1 or max(self.scale[0].numel(), self.shift[0].numel()) > 3:
            return "x becomes a x + b, with a and b of each column"
        a, b = (
            ", ".join(f"{v:.4g}" for v in part[0].tolist()) for part in (self.scale, self.shift)
        )
        return f"x becomes {f'({a})' if ',' in a else a} x + {f'({b})' if ',' in b else b}"


def layouts_of(
    subject: Subject, batches: list[Batch]
) -> tuple[dict[str, Layout], dict[str, nn.Module]]:
    """Return the layout of every floating-point input, and the layers that take them."""
    found, places = entered(subject, batches[0])
    layouts, modules = {}, {}
    for name, tensor in inputs_of(batches[0]):
        examples = batches[0].axis(tensor)
        if not tensor.is_floating_point() or examples is None or not tensor.isfinite().all():
            continue
        entry = found.direct.get(places.get(name, 0))
        axis, kind, _ = column_axis(
            tensor.movedim(examples, 0).shape, entry.module if entry else None
        )
        mean, deviation = _moments(batches, name, examples, axis)
        layouts[name] = Layout(examples, axis, kind, mean, deviation)
        if entry:
            modules[name] = entry.module
    return layouts, modules


def _moments(
    batches: Iterable[Batch], name: str, examples: int, axis: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each column's mean and deviation over some batches."""
    parts = []
    for batch in batches:
        tensor = dict(inputs_of(batch))[name]
        values = in_columns(tensor, examples, axis).double()
        parts.append(torch.stack([values.mean((0, 2)), values.square().mean((0, 2))]) * batch.size)
    first, second = torch.stack(parts).sum(0) / sum(batch.size for batch in batches)
    return first, (second - first.square()).clamp(min=0).sqrt()


def ways_of(
    subject: Subject,
    model: nn.Module,
    batch: Batch,
    layouts: dict[str, Layout],
    modules: dict[str, nn.Module],
) -> Iterator[Way]:
    """Yield the ways to try, those that statistics suggest first."""
    known = tuple(layouts.values())

    def everywhere(name: str, a: Any, b: Any, reason: Reason = "usual") -> Way:
        scale, shift = (torch.as_tensor(v, dtype=torch.float64).reshape(-1) for v in (a, b))
        return Way(name, reason, (scale,) * len(known), (shift,) * len(known))

    if "train" in subject.data:
        yield from _as_in_training(subject, layouts)
    yield from _as_batch_norm_saw(model, batch, layouts, modules)
    yield standardised(layouts)
    yield everywhere("divided by 255", 1 / 255, 0.0)
    yield everywhere("multiplied by 255", 255.0, 0.0)
    yield everywhere("mapped from [0, 1] to [-1, 1]", 2.0, -1.0)
    yield everywhere("mapped from [-1, 1] to [0, 1]", 0.5, 0.5)
    yield everywhere("mapped from [0, 255] to [-1, 1]", 1 / 127.5, -1.0)
    if all(layout.colours for layout in known):
        mean, deviation = (part.double() for part in IMAGENET)
        yield everywhere("normalised as for ImageNet", 1 / deviation, -mean / deviation)
        yield everywhere(
            "mapped from [0, 255] as for ImageNet", 1 / (255 * deviation), -mean / deviation
        )
        yield everywhere("rid of ImageNet's normalisation", deviation, mean)
        yield everywhere(
            "as for ImageNet, not in [-1, 1]",
            0.5 / deviation,
            (0.5 - mean) / deviation,
        )
        yield everywhere("in [-1, 1], not as for ImageNet", 2 * deviation, 2 * mean - 1)
        ones = tuple(torch.ones(1) for _ in known)
        yield Way("red and blue swapped", "usual", ones, ones, swapped=True)
    for scale in SCALES:
        yield everywhere(f"multiplied by {scale:g}", scale, 0.0, "scale")


def standardised(layouts: dict[str, Layout]) -> Way:
    """Return the way that gives each column zero mean and unit deviation."""
    known = tuple(layouts.values())
    scale = tuple(1 / torch.where(k.deviation > 0, k.deviation, 1.0) for k in known)
    shift = tuple(-k.mean * a for k, a in zip(known, scale, strict=True))
    return Way("standardised", "usual", scale, shift)


def _as_in_training(subject: Subject, layouts: dict[str, Layout]) -> Iterator[Way]:
    """Yield the way that gives each column the mean and deviation that it has in training."""
    there = list(subject.batches("train", 8))
    scale, shift = [], []
    for name, layout in layouts.items():
        if name not in dict(inputs_of(there[0])):
            return
        mean, deviation = _moments(there, name, layout.examples, layout.axis)
        if len(mean) != len(layout.mean):
            return
        a = torch.where(layout.deviation > 0, deviation / layout.deviation, 1.0)
        scale.append(a)
        shift.append(mean - a * layout.mean)
    yield Way("matched to the training data", "statistics", (*scale,), (*shift,))


def _as_batch_norm_saw(
    model: nn.Module, batch: Batch, layouts: dict[str, Layout], modules: dict[str, nn.Module]
) -> Iterator[Way]:
    """Yield the way that gives the first batch norm the mean and variance that it has kept.

    Where it takes the input itself, column by column. Behind a convolution or a linear layer
    without activation between, a common factor a and shift b of the inputs turn the layer's
    output z into a (z - c) + b w + c, with c its bias and w the sum of a unit's weights: a makes
    the variances agree, b the means, by least squares.
    """
    if len(layouts) != 1 or not modules:
        return
    found: list[tuple[nn.Module, torch.Tensor]] = []

    def look(module: nn.Module, given: tuple[Any, ...]) -> None:
        tensor = next(tensors_in(given), None)
        if not found and tensor is not None:
            found.append((module, tensor))

    handles = [
        module.register_forward_pre_hook(look)
        for module in model.modules()
        if isinstance(module, NORMS) and getattr(module, "running_mean", None) is not None
    ]
    if not handles:
        return
    model(*batch.args, **batch.kwargs)
    for handle in handles:
        handle.remove()
    if not found or found[0][1].ndim < 2:
        return
    norm, seen = found[0]
    values = seen.movedim(1, 0).flatten(1).double()
    mean, variance = values.mean(1), values.var(1, correction=0)
    kept = [getattr(norm, part).double() for part in ("running_mean", "running_var")]
    name = "matched to the first batch norm"
    (layout,) = layouts.values()
    (entry,) = modules.values()
    weight = getattr(entry, "weight", None)
    if isinstance(entry, NORMS) and len(mean) == len(layout.mean):
        scale = (kept[1] / variance.clamp(min=1e-12)).sqrt()
        yield Way(name, "statistics", (scale,), (kept[0] - scale * mean,))
    elif weight is not None and len(weight) == len(mean):
        bias = getattr(entry, "bias", None)
        c = torch.zeros_like(mean) if bias is None else bias.detach().double()
        w = weight.detach().double().flatten(1).sum(1)
        scale = (kept[1] / variance.clamp(min=1e-12)).median().sqrt().reshape(1)
        gap = kept[0] - c - scale * (mean - c)
        shift = ((gap * w).sum() / w.square().sum().clamp(min=1e-12)).reshape(1)
        yield Way(name, "statistics", (scale,), (shift,))
