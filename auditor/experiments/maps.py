"""Attribution maps: saliency, integrated gradients and class activation maps of a batch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.core.values import Array
from auditor.experiments.explained import Explained
from auditor.experiments.sources import Source, noted
from auditor.intake.batches import Batch
from auditor.observations.attributions import SIDE, STEPS


@dataclass(frozen=True)
class Maps:
    """Maps of a batch, examples first: |gradient| and the class activation map, and scores.

    `inner` is the gradient's magnitude at the input of the first layer with weights, where it
    could be had; `cam` is None where the layer ran otherwise than expected.
    """

    saliency: Array
    cam: Array | None
    inner: Array | None
    scores: Array


@dataclass(frozen=True)
class Path:
    """Integrated gradients [examples, ...], what they add up to, and what they should, each."""

    integrated: Array
    attributed: Array
    total: Array
    steps: int


def maps_of(
    model: nn.Module,
    batch: Batch,
    source: Source,
    what: Explained,
    camera: nn.Module | None = None,
    first: nn.Module | None = None,
) -> Maps | None:
    """Return the maps of a batch; None where no gradient reaches the input.

    Saliency is |d score / d input| (Simonyan, Vedaldi, Zisserman 2014). The class activation map
    is ReLU(sum over channels k of a_k A_k), A being what the layer puts out and a_k the mean of
    d score / d A_k over all places (Selvaraju et al. 2017).
    """
    with (
        torch.enable_grad(),
        noted(model, camera, inputs=False) as shot,
        noted(model, first, inputs=True) as given,
    ):
        run = source.run(model, batch)
        # Where a layer runs on several inputs, those calls count that the source goes into.
        seen, fed = ([t for t in each if t.requires_grad] for each in (shot, given))
        score = what.scores(run.outputs)
        others = [*seen[-1:], *fed[:1]]
        found = run.gradients(score, others)
    if found is None:
        return None
    mine, rest = found
    cam, inner = None, None
    if seen and rest[0] is not None and seen[-1].ndim == 4:
        weight = rest[0].mean(dim=(2, 3), keepdim=True)
        cam = _numpy((weight * seen[-1].detach()).sum(dim=1).relu())
    if fed and rest[-1] is not None and rest[-1].shape[:1] == score.shape[:1]:
        inner = _numpy(pooled(rest[-1].abs().float()))
    size = sum(_reduced(g, source, batch) for g in mine)
    assert isinstance(size, torch.Tensor)
    return Maps(_numpy(size), cam, inner, _numpy(score))


def _reduced(gradient: torch.Tensor, source: Source, batch: Batch) -> torch.Tensor:
    """Return the magnitude of a gradient at each place: largest over colours, norm of vectors."""
    size = gradient.detach().float()
    if source.tokens:
        norms: torch.Tensor = torch.linalg.vector_norm(_examples_first(size, source, batch), dim=-1)
        return norms
    return pooled(size.abs())


def pooled(values: torch.Tensor) -> torch.Tensor:
    """Return non-negative values [examples, ...] as maps of at most `SIDE` rows and columns.

    Channels of pictures give their largest; of inputs with more dimensions all but the last two
    do. A dimension that is larger is averaged over neighbours.
    """
    while values.ndim > 3:
        values = values.amax(dim=1)
    if values.ndim == 3:
        return _averaged(values)
    return values


def _averaged(values: torch.Tensor) -> torch.Tensor:
    size = (min(values.shape[1], SIDE), min(values.shape[2], SIDE))
    made: torch.Tensor = functional.adaptive_avg_pool2d(values, size)
    return made


def signed(values: torch.Tensor) -> torch.Tensor:
    """Return signed values [examples, ...] as maps: sums over channels, averages over places."""
    while values.ndim > 3:
        values = values.sum(dim=1)
    if values.ndim == 3:
        return _averaged(values)
    return values


def path_of(
    model: nn.Module, batch: Batch, source: Source, what: Explained, most: int, close: float
) -> Path | None:
    """Return integrated gradients, with more steps until they add up, or `most` are taken.

    (x - x') times the mean of the gradient along the way from the base x' to the input x, at the
    midpoints of equal steps; they add up to f(x) - f(x') (Sundararajan, Taly, Yan 2017, which
    advises 20 to 300 steps and to look at the sum). The sum is good once every example's lies
    within the share `close` of it.
    """
    with torch.no_grad():
        ends = [what.scores(source.run(model, batch, share).outputs) for share in (1.0, 0.0)]
    total = _numpy(ends[0] - ends[1])
    made: Path | None = None
    tries = [steps for steps in STEPS if steps <= most] or [max(2, most)]
    for steps in tries:
        sums: list[torch.Tensor] = []
        spans: list[torch.Tensor] = []
        for step in range(steps):
            with torch.enable_grad():
                run = source.run(model, batch, (step + 0.5) / steps)
                found = run.gradients(what.scores(run.outputs), [])
            if found is None:
                return made
            spans = spans or run.spans
            parts = [g.detach().double() / steps for g in found[0]]
            sums = parts if not sums else [a + b for a, b in zip(sums, parts, strict=True)]
        whole = [
            _examples_first(mean * span.double(), source, batch)
            for mean, span in zip(sums, spans, strict=True)
        ]
        attributed = np.sum([_numpy(part.flatten(1).sum(dim=1)) for part in whole], axis=0)
        kept = sum(part.sum(dim=-1) if source.tokens else signed(part) for part in whole)
        assert isinstance(kept, torch.Tensor)
        made = Path(_numpy(kept), attributed, total, steps)
        # Sums are in double, scores in the model's own precision: of almost nothing a share of
        # rounding would remain for ever.
        small = 1e-3 * max(float(np.abs(total).max(initial=0.0)), 1e-12)
        if (np.abs(attributed - total) <= close * np.maximum(np.abs(total), small)).all():
            break
    return made


def _examples_first(values: torch.Tensor, source: Source, batch: Batch) -> torch.Tensor:
    """Return what an embedding was given or made with examples first, as the tokens have them."""
    if source.tokens and values.shape[:2] != source.values(batch).shape[:2]:
        return values.transpose(0, 1)
    return values


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().cpu().numpy()
