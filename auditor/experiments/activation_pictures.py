"""What the layers put out for a few examples: maps, units, distributions, exciting examples."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.examples import gathered
from auditor.experiments.excited import excited_units
from auditor.experiments.explained import Explained, explained, together
from auditor.experiments.lab import affordable, halving
from auditor.experiments.layers import Ran, ran
from auditor.experiments.maps import signed
from auditor.experiments.scenes import chosen, shown_input, spread_rows
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.activation_pictures import (
    CHANNELS,
    LAYERS,
    LEVELS,
    MOST_COLUMNS,
    MOST_UNITS,
    PICTURED,
    READ,
    ActivationPictures,
    ActivationPicturesOver,
    LayerMaps,
    ShownExample,
    UnitMap,
)
from auditor.observations.attributions import CHUNK, Kind

SAMPLED = 512
"""Values of a layer that are kept of each pass, evenly spread over what it puts out."""


def activation_pictures(
    request: ActivationPicturesOver, subject: Subject
) -> ActivationPictures | Unavailable:
    """Return pictures of what the checkpoint's layers put out for validation examples."""
    assert subject.model is not None
    model = subject.model
    with (
        preserved(model),
        seeded(derived_seed(subject.seed, request.key)),
        torch.no_grad(),
    ):
        model.eval()
        pool = gathered(subject, request.split, request.batches)[0]

        def attempt(fraction: float) -> ActivationPictures | Unavailable:
            return _pictured(request, subject, model, pool, fraction)

        made, _ = halving(attempt)
    return made


@dataclass
class _Seen:
    """What is kept of the passes: samples and zeros by layer, and what goes into the head."""

    samples: dict[nn.Module, list[torch.Tensor]] = field(default_factory=dict)
    head: list[torch.Tensor] = field(default_factory=list)
    places: list[torch.Tensor] = field(default_factory=list)


def _pictured(
    request: ActivationPicturesOver,
    subject: Subject,
    model: nn.Module,
    pool: Batch,
    fraction: float,
) -> ActivationPictures | Unavailable:
    count = min(pool.size, READ, affordable(subject, READ, 1, runs=2, training=False))
    size = subject.facts.data[request.split].batch_size
    chunk = max(1, int(min(CHUNK, max(size, 4)) * fraction))
    numbers = spread_rows(pool.size, count)
    read = pool.rows(torch.as_tensor(numbers)).to(subject.device)
    tensor = max(
        (t for t in tensors_in((read.args, read.kwargs)) if read.axis(t) is not None),
        key=lambda t: (t.is_floating_point(), t.numel()),
        default=None,
    )
    if tensor is None or tensor.is_complex():
        return Unavailable("the model takes no real numbers that belong to single examples")
    inputs = tensor.movedim(read.axis(tensor) or 0, 0)
    plan = ran(model, read.rows(torch.arange(min(2, count))))
    if not plan.layers:
        return Unavailable("the model runs no module whose output could be shown")
    seen = _Seen()
    parts: list[Explained] = []
    for start in range(0, count, chunk):
        batch = read.rows(torch.arange(start, min(start + chunk, count)))
        outputs = _watched(model, batch, plan, seen)
        output = int(parts[0].index[0]) if parts else None
        part = explained(subject, outputs, batch, output)
        if part is not None:
            parts.append(part)
    what = together(parts) if parts else None
    rows = chosen(what, PICTURED) if what is not None else list(range(min(PICTURED, count)))
    kind = _kind(inputs)
    few = read.rows(torch.as_tensor(rows))
    values = plan.outputs(model, few, plan.shown(LAYERS))
    quantiles, zeros = _distributions(plan, seen)
    units, exciting = excited_units(subject, what, seen.head, seen.places)
    return ActivationPictures(
        pictured=tuple(_shown(subject, inputs, kind, what, row, numbers) for row in rows),
        maps=tuple(_maps(subject, name, out) for name, out in values if _is_map(out)),
        units=tuple(_unit_maps(model, read, plan, values, rows, what, numbers)),
        layers=tuple(plan.names[module] for module in plan.layers),
        quantiles=quantiles,
        zeros=zeros,
        head=plan.names[plan.head] if plan.head is not None else "",
        head_units=seen.head[0].shape[1] if seen.head else 0,
        excited=units,
        examples=tuple(_shown(subject, inputs, kind, what, row, numbers) for row in exciting),
        read=count,
        split=request.split,
    )


def _kind(inputs: torch.Tensor) -> Kind:
    if not inputs.is_floating_point() and inputs.ndim <= 2:
        return "tokens"
    return "features" if inputs.ndim <= 2 else "picture"


def _shown(
    subject: Subject,
    inputs: torch.Tensor,
    kind: Kind,
    what: Explained | None,
    row: int,
    numbers: list[int],
) -> ShownExample:
    answer = what.names[row] if what is not None else ""
    truth = what.truths[row] if what is not None and what.truths else ""
    shown = shown_input(subject, inputs[row].detach().cpu(), kind)
    return ShownExample(numbers[row], answer, truth, kind, shown)


def _watched(model: nn.Module, batch: Batch, plan: Ran, seen: _Seen) -> Any:
    """Run a batch and keep a sample of what each layer puts out, and what the head is given."""

    def leaving(module: nn.Module, args: Any, output: Any) -> None:
        values = next(tensors_in(output), None)
        if values is not None and values.numel() and values.is_floating_point():
            flat = values.detach().flatten()
            kept = flat[:: max(1, flat.numel() // SAMPLED)][:SAMPLED]
            seen.samples.setdefault(module, []).append(kept.float())

    def entering(module: nn.Module, args: Any) -> None:
        values = next((t for t in tensors_in(args) if t.is_floating_point()), None)
        rows = None if values is None else plan.rows(values, batch.size, module)
        if rows is not None:
            given.append(rows)

    given: list[torch.Tensor] = []
    handles = [module.register_forward_hook(leaving) for module in plan.layers]
    if plan.head is not None:
        handles.append(plan.head.register_forward_pre_hook(entering))
    try:
        outputs = model(*batch.args, **batch.kwargs)
    finally:
        for handle in handles:
            handle.remove()
    if given:
        # [examples, units, places]: the largest value counts, and where it stands.
        flat = (
            given[-1].detach().flatten(2) if given[-1].ndim > 2 else given[-1].detach()[..., None]
        )
        most, where = flat.float().max(dim=2)
        seen.head.append(most)
        seen.places.append(where if flat.shape[2] > 1 else torch.full_like(where, -1))
    return outputs


def _distributions(plan: Ran, seen: _Seen) -> tuple[Array, Array]:
    quantiles = np.full((len(plan.layers), len(LEVELS)), np.nan)
    zeros = np.full(len(plan.layers), np.nan)
    known = [(row, seen.samples[m]) for row, m in enumerate(plan.layers) if m in seen.samples]
    joined = [torch.cat(parts) for _, parts in known]
    if not joined:
        return quantiles, zeros
    whole = torch.cat(joined).cpu().double().numpy()
    ends = np.cumsum([len(part) for part in joined])[:-1]
    for (row, _), values in zip(known, np.split(whole, ends), strict=True):
        finite = values[np.isfinite(values)]
        if finite.size:
            quantiles[row] = np.quantile(finite, LEVELS)
            zeros[row] = float((finite == 0).mean())
    return quantiles, zeros


def _is_map(values: torch.Tensor) -> bool:
    return values.ndim == 4 and values.shape[2:].numel() >= 4


def _maps(subject: Subject, name: str, values: torch.Tensor) -> LayerMaps:
    """Return the most and the least active channels of [examples, channels, height, width].

    The maps of the first layers show the input, and are as private.
    """
    size = values.float().abs().flatten(2).mean(dim=2).nan_to_num(0.0)
    order = size.argsort(dim=1, descending=True, stable=True)
    most = min(CHANNELS - 1, max(1, order.shape[1] - 1))
    picks = torch.cat([order[:, :most], order[:, -1:]], dim=1)[:, : order.shape[1]]
    index = picks[:, :, None, None].expand(-1, -1, *values.shape[2:])
    kept = values.float().gather(1, index)
    small = torch.stack([signed(one) for one in kept])
    peak = small.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
    maps = (small / peak).nan_to_num(0.0)
    if not subject.include_samples:
        maps = maps[..., :0, :0]
    return LayerMaps(
        name,
        values.shape[1],
        picks.cpu().numpy(),
        size.gather(1, picks).double().cpu().numpy(),
        maps.cpu().numpy().astype(np.float16),
    )


def _unit_maps(
    model: nn.Module,
    read: Batch,
    plan: Ran,
    values: Sequence[tuple[str, torch.Tensor]],
    rows: list[int],
    what: Explained | None,
    numbers: list[int],
) -> list[UnitMap]:
    """Return units by position where a layer puts out sequences, else by example."""
    found = []
    for name, out in values:
        if out.ndim == 3 and out.shape[2] > 1:
            one = out[0].float()
            columns = tuple(str(place) for place in range(min(one.shape[1], MOST_COLUMNS)))
            found.append(_unit_map(name, one, "position", columns, numbers[rows[0]]))
    flat = [name for name, out in values if out.ndim == 2]
    if found or not flat or any(_is_map(out) for _, out in values):
        return found
    count = min(len(numbers), MOST_COLUMNS)
    labels = ["" for _ in numbers]
    if what is not None:
        names = what.truths if len(what.truths) == len(what.names) else what.names
        labels = [name.partition(":")[0] for name in names]
    order = sorted(range(count), key=lambda row: (_sortable(labels[row]), row))
    several = read.rows(torch.as_tensor(order))
    columns = tuple(
        f"{labels[row]} · {numbers[row]}" if labels[row] else str(numbers[row]) for row in order
    )
    return [
        _unit_map(name, out.float().T, "example", columns, -1)
        for name, out in plan.outputs(model, several, plan.shown(LAYERS))
        if name in flat and out.ndim == 2
    ]


def _sortable(label: str) -> tuple[float, str]:
    try:
        return float(label.rpartition(" ")[2]), label
    except ValueError:
        return float("inf"), label


def _unit_map(
    name: str, values: torch.Tensor, across: Any, columns: tuple[str, ...], example: int
) -> UnitMap:
    table = values[:, : len(columns)].nan_to_num(0.0)
    spread = table.std(dim=1, correction=0)
    kept = spread.argsort(descending=True, stable=True)[:MOST_UNITS].sort().values
    return UnitMap(
        name,
        len(values),
        across,
        kept.cpu().numpy(),
        table[kept].cpu().numpy().astype(np.float32),
        columns,
        example,
    )
