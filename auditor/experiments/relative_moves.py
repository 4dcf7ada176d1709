"""Directions in which weights are moved, each relative to the weights themselves."""

import itertools

import numpy as np
import torch

from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.landscape import Direction, Landscape, NotFiniteError
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed
from auditor.observations.sharpness import ASCENT, LAYERS, LENGTHS, LINE, PLANE


def uphill_of(landscape: Landscape, batches: list[Batch]) -> Direction:
    """Return the direction w² g / |w g| in which the loss rises most, g taken on the way there.

    Its length, relative to the weights, is one. Of a loss that is flat it is zero.

    Raises:
        NotFiniteError: the gradient is not finite at the checkpoint.
    """
    weights = landscape.weights
    found: Direction = [torch.zeros_like(w) for w in weights]
    for step in range(ASCENT[1]):
        with landscape.moved(found, LENGTHS[0]):
            gradients = [landscape.gradient(batch) for batch in batches]
        total = [torch.stack(each).sum(dim=0) for each in zip(*gradients, strict=True)]
        scaled = [w.abs() * g for w, g in zip(weights, total, strict=True)]
        length = float(torch.stack([s.double().square().sum() for s in scaled]).sum().sqrt())
        if not np.isfinite(length):
            if step == 0:
                raise NotFiniteError("the gradient of the loss at the checkpoint is not finite")
            break
        if length == 0:
            break
        found = [w.abs() * s / length for w, s in zip(weights, scaled, strict=True)]
    return found


def noise_of(landscape: Landscape, seed: int, number: int) -> Direction:
    """Return each weight times a standard normal number, the same for the same number."""
    drawn = _drawn(landscape, seed, f"noise {number}")
    return [w * z for w, z in zip(landscape.weights, drawn, strict=True)]


def _drawn(landscape: Landscape, seed: int, name: str) -> Direction:
    """Return standard normal numbers for each weight."""
    drawn = torch.Generator().manual_seed(derived_seed(seed, name))
    return [torch.randn(w.shape, generator=drawn).to(w) for w in landscape.weights]


def layer_of(parameter: str) -> str:
    """Return the layer that holds a parameter, or the parameter itself where the model does."""
    return parameter.partition(".parametrizations.")[0].rpartition(".")[0] or parameter


def by_layer(landscape: Landscape, direction: Direction) -> tuple[tuple[str, ...], Array]:
    """Return the layers, and their shares of the squared length, relative to the weights."""
    held: dict[str, float] = {}
    for (name, _), w, step in zip(landscape.named, landscape.weights, direction, strict=True):
        relative = torch.where(w != 0, step / w, 0.0)
        layer = clean_text(layer_of(name))
        held[layer] = held.get(layer, 0.0) + float(relative.double().square().sum())
    return tuple(held), np.asarray(list(held.values()))


def grouped(names: list[str]) -> list[list[str]]:
    """Return neighbours together, in no more groups than `LAYERS`."""
    count = min(LAYERS, len(names))
    edges = [round(place * len(names) / count) for place in range(count + 1)]
    return [names[start:end] for start, end in itertools.pairwise(edges)]


def filtered(landscape: Landscape, direction: Direction) -> Direction:
    """Return a direction with each filter as long as the weights', biases and scales left out.

    A filter is all that leads to one unit (Li et al. 2018, section 4). Where there is nothing but
    vectors each is taken as one.
    """
    weights = landscape.weights
    vectors = all(w.ndim < 2 for w in weights)
    made = []
    for w, d in zip(weights, direction, strict=True):
        rows = w.reshape(1, -1) if vectors else w.reshape(len(w), -1) if w.ndim > 1 else None
        if rows is None:
            made.append(torch.zeros_like(w))
            continue
        steps = d.reshape(rows.shape)
        lengths = steps.norm(dim=1, keepdim=True)
        scale = torch.where(lengths > 0, rows.norm(dim=1, keepdim=True) / lengths, 0.0)
        made.append((steps * scale).reshape(w.shape))
    return made


def slices_of(
    landscape: Landscape, worst: Direction, batch: Batch, seed: int
) -> tuple[Array, Array]:
    """Return the loss along a random and the worst direction, and over two random ones."""
    first, second, uphill = (
        filtered(landscape, direction)
        for direction in (*(_drawn(landscape, seed, f"slice {n}") for n in (1, 2)), worst)
    )

    def at(direction: Direction, times: float) -> float:
        with landscape.moved(direction, times):
            return float(landscape.loss(batch))

    line = [[at(direction, float(place)) for place in LINE] for direction in (first, uphill)]
    plane = np.zeros((len(PLANE), len(PLANE)))
    for row, up in enumerate(PLANE[::-1]):
        for column, right in enumerate(PLANE):
            both = [float(right) * a + float(up) * b for a, b in zip(first, second, strict=True)]
            plane[row, column] = at(both, 1.0)
    return np.asarray(line), plane
