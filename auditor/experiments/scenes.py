"""The examples whose outputs are explained, and what they are attributed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split
from auditor.core.values import Array
from auditor.experiments.distances import numeric, set_against
from auditor.experiments.examples import by_turns
from auditor.experiments.explained import Explained, explained, rows_of, together
from auditor.experiments.lab import affordable
from auditor.experiments.maps import Maps, maps_of, pooled
from auditor.experiments.sources import Source, source_of
from auditor.intake.batches import Batch
from auditor.intake.subject import Subject
from auditor.observations.attributions import CHUNK, MOST_FEATURES, MOST_TOKENS, READ, Kind


@dataclass(frozen=True)
class Scene:
    """What is explained: the examples read, their source, and what of each one's output.

    `numbers` are those of the examples in the loader.
    """

    model: nn.Module
    batch: Batch
    numbers: list[int]
    source: Source
    what: Explained
    kind: Kind
    chunk: int

    def at(self, rows: Sequence[int]) -> tuple[Batch, Explained]:
        """Return the examples numbered, on the model's device."""
        index = torch.as_tensor(rows)
        return self.batch.rows(index), self.what.of(list(rows))

    def maps(
        self, rows: Sequence[int], camera: nn.Module | None, first: nn.Module | None
    ) -> Maps | None:
        """Return the maps of the examples numbered, a few at a time."""
        parts = []
        for start in range(0, len(rows), self.chunk):
            batch, what = self.at(rows[start : start + self.chunk])
            made = maps_of(self.model, batch, self.source, what, camera, first)
            if made is None:
                return None
            parts.append(made)
        return _together(parts)


def ready(model: nn.Module) -> nn.Module:
    """Return a private model in evaluation mode, whose inputs can be derived by."""
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            # On CUDA the backward pass of these wants training mode.
            module.dropout = 0.0
            module.train()
    return model


def scene_of(
    subject: Subject, model: nn.Module, pool: Batch, split: Split, fraction: float
) -> Scene | str:
    """Return the examples to choose from with what the model answers, or why there are none."""
    count = min(pool.size, READ, affordable(subject, READ, 1, runs=4, training=False))
    chunk = max(1, int(min(CHUNK, max(subject.facts.data[split].batch_size, 4)) * fraction))
    numbers = spread_rows(pool.size, count)
    read = pool.rows(torch.as_tensor(numbers)).to(subject.device)
    parts: list[Explained] = []
    source: Source | str = ""
    for start in range(0, count, chunk):
        batch = read.rows(torch.arange(start, min(start + chunk, count)))
        with torch.no_grad():
            outputs = model(*batch.args, **batch.kwargs)
        output = int(parts[0].index[0]) if parts else None
        part = explained(subject, outputs, batch, output)
        if part is None:
            return "the model's outputs do not belong to single examples"
        main = rows_of(outputs, batch.size)
        if main is not None and not bool(main.isfinite().all()):
            return "the model's outputs are not finite"
        if not parts:
            against = _against(model, batch, outputs)
            if against:
                return against
            source = source_of(model, batch)
            if isinstance(source, str):
                return source
        parts.append(part)
    assert isinstance(source, Source)
    values = source.values(read)
    if values.ndim < 2:
        return "each example is a single number"
    kind: Kind = "tokens" if source.tokens else "features" if values.ndim == 2 else "picture"
    if kind == "features":
        mean = values.float().mean(dim=0).to(values.dtype if values.is_floating_point() else None)
        source = Source(source.place, tokens=False, base=mean)
    return Scene(model, read, numbers, source, together(parts), kind, chunk)


def _against(model: nn.Module, batch: Batch, outputs: Any) -> str:
    """Return why no example has an output of its own; empty where nothing says so."""
    if not any(list(t.shape).count(batch.size) > 1 for t in numeric(outputs)) or batch.size < 2:
        return ""
    fewer = batch.take(batch.size - 1)
    with torch.no_grad():
        return set_against(outputs, model(*fewer.args, **fewer.kwargs), batch.size, fewer.size)


def spread_rows(size: int, count: int) -> list[int]:
    """Return the numbers of `count` of `size` examples, evenly spread: data may be sorted."""
    return [place * size // count for place in range(count)]


def chosen(what: Explained, most: int) -> list[int]:
    """Return the examples to picture: wrong answers that the model is surest of, and right ones.

    Half are wrong where there are enough; the right ones are the first of different answers. Where
    nobody can tell, they are the first ones.
    """
    right, sure = what.right.cpu().numpy(), what.sure.cpu().numpy()
    wrong = sorted(np.flatnonzero(right == 0), key=lambda row: -sure[row])[: most // 2]
    groups = [name.partition(":")[0] for name in what.names]
    rest = by_turns(groups, [int(row) for row in np.flatnonzero(right != 0)], most - len(wrong))
    return [*rest, *(int(row) for row in wrong)]


def shown_input(subject: Subject, values: torch.Tensor, kind: Kind) -> Array:
    """Return one example's input as it is shown: ids, numbers, or a picture from 0 to 1.

    It is empty where the audit was not asked to include such inputs.
    Three channels, or the first three of four, are colours; of other numbers of channels the mean
    is shown. The least value is 0 and the greatest 1.
    """
    if not subject.include_samples:
        return np.zeros(0)
    if kind == "tokens":
        return values.flatten()[:MOST_TOKENS].numpy().astype(np.int64)
    if kind == "features":
        return values.flatten()[:MOST_FEATURES].double().numpy()
    numbers = values.float().nan_to_num(0.0, 0.0, 0.0)
    while numbers.ndim > 3:
        numbers = numbers.mean(dim=0)
    if numbers.ndim == 3 and numbers.shape[0] in (3, 4):
        picture = pooled(numbers[:3]).movedim(0, -1)
    else:
        picture = pooled((numbers.mean(dim=0) if numbers.ndim == 3 else numbers)[None])[0]
    low, high = float(picture.min()), float(picture.max())
    picture = (picture - low) / (high - low) if high > low else torch.zeros_like(picture)
    return picture.numpy().astype(np.float16)


def _together(parts: list[Maps]) -> Maps:
    cams = [part.cam for part in parts if part.cam is not None]
    inner = [part.inner for part in parts if part.inner is not None]
    whole = len({one.shape[1:] for one in inner}) == 1 and len(inner) == len(parts)
    return Maps(
        np.concatenate([part.saliency for part in parts]),
        np.concatenate(cams) if len(cams) == len(parts) else None,
        np.concatenate(inner) if whole else None,
        np.concatenate([part.scores for part in parts]),
    )
