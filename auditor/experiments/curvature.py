"""The top of the training loss's Hessian by Lanczos' method, and its trace by random probes."""

import math
from collections.abc import Callable

import numpy as np
import torch

from auditor.core.request import Split, Unavailable
from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.experiments.lab import halving, with_note
from auditor.experiments.landscape import (
    HEAVY,
    MOST,
    Direction,
    Landscape,
    NoGradientError,
    NotFiniteError,
    fitting,
    parts_of,
)
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.curvature import Curvature, CurvatureOver

CLOSE = 0.01
"""Residual, as a share of the eigenvalue, at which Lanczos' iterations end."""

KEPT = 250_000_000
"""Numbers that all of Lanczos' vectors together may have: a gigabyte of float32."""

FEWEST = 3
"""Iterations, and probes, that are made of however large a model."""

SEVERAL = 32
"""Examples of each batch below which a costly model is given a single batch of more."""

Product = Callable[[torch.Tensor], torch.Tensor]


def curvature(request: CurvatureOver, subject: Subject) -> Curvature | Unavailable:
    """Return the ends of the spectrum of the Hessian at the checkpoint, and its trace."""
    seed = derived_seed(subject.seed, request.key)

    def attempt(fraction: float) -> Curvature | Unavailable:
        with seeded(seed):
            return _curvature(request, subject, seed, fraction)

    return with_note(*halving(attempt))


def _curvature(
    request: CurvatureOver, subject: Subject, seed: int, fraction: float
) -> Curvature | Unavailable:
    split: Split = "val" if request.split == "val" else "train"
    count, probes, most = request.batches, request.probes, request.iterations
    heavy = subject.facts.trainable > HEAVY
    if heavy:
        most = min(most, FEWEST + 1)
    if heavy or fitting(subject, _passes(count, probes, most)) < SEVERAL:
        count, probes = 1, min(probes, FEWEST)
    passes = _passes(count, probes, most)
    parts = parts_of(subject, split, count + probes, passes)
    if isinstance(parts, Unavailable):
        return parts
    batches = [batch.share(fraction) for batch in parts.batches]
    landscape = Landscape(subject, batches[0], seed, training=True)
    if not landscape.parameters:
        return Unavailable("the model has no trainable parameters")
    if landscape.numbers > MOST:
        return Unavailable(
            f"directions of {landscape.numbers:,} numbers are too many to keep in memory"
        )
    refused = landscape.refused(batches[0])
    if refused:
        return Unavailable(refused)
    chosen, others = batches[:count], batches[count:]
    hessian = Hessian(landscape)
    iterations = max(FEWEST, min(most, KEPT // landscape.numbers))
    drawn = torch.Generator().manual_seed(seed)
    start = torch.randn(landscape.numbers, generator=drawn)
    try:
        made = lanczos(lambda v: hessian.times(v, chosen), start, iterations)
    except NotFiniteError:
        return Unavailable("the gradient of the loss at the checkpoint is not finite")
    except NoGradientError as error:
        return Unavailable(str(error))
    along, traces = _probed(hessian, made.vector, others or chosen, probes, drawn)
    low, high = mean_interval(along) if len(others) > 1 else (math.nan, math.nan)
    trace_low, trace_high = mean_interval(traces)
    notes = [parts.note, hessian.note]
    if iterations < request.iterations:
        notes.append(f"the model is so large that {iterations} iterations were made")
    return Curvature(
        largest=made.ritz[-1],
        residual=made.residuals[-1],
        ritz=np.asarray(made.ritz),
        residuals=np.asarray(made.residuals),
        smallest=made.smallest,
        along=float(along.mean()) if len(others) > 1 else math.nan,
        low=low,
        high=high,
        trace=float(traces.mean()),
        trace_low=trace_low,
        trace_high=trace_high,
        probes=len(traces),
        parameters=landscape.numbers,
        batches=len(chosen),
        examples=sum(batch.size for batch in batches),
        split=split,
        method=hessian.method,
        note="; ".join(note for note in notes if note),
    )


def _passes(batches: int, probes: int, iterations: int) -> int:
    """Return what all products cost in forward passes: ten each, half as much again for two."""
    return 10 * batches * iterations + 16 * probes


class Hessian:
    """Products of the Hessian with flat vectors: exact, or by differences where they must be.

    Differences are central, (∇L(w + hv) - ∇L(w - hv)) / 2h, with h |v| = 1e-3 |w|.
    """

    def __init__(self, landscape: Landscape) -> None:
        self._landscape = landscape
        self.method, self.note = "Hessian-vector products by differentiating twice", ""

    def times(self, vector: torch.Tensor, batches: list[Batch]) -> torch.Tensor:
        """Return the product of the mean Hessian over batches and a vector."""
        total = torch.zeros_like(vector)
        for batch in batches:
            total += self.of(batch, [vector])[0] / len(batches)
        return total

    def of(self, batch: Batch, vectors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the products of one batch's Hessian and some vectors."""
        if not self.note:
            try:
                made = self._landscape.products(batch, [self._shaped(v) for v in vectors])
                return [self._flat(product) for product in made]
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except (RuntimeError, NotImplementedError) as error:
                if "allocate memory" in str(error):
                    raise
                self.method = "differences of gradients"
                self.note = "something in the model can't safely be differentiated twice"
        return [self._difference(batch, vector) for vector in vectors]

    def _difference(self, batch: Batch, vector: torch.Tensor) -> torch.Tensor:
        weights = self._flat(self._landscape.weights)
        step = 1e-3 * float(weights.norm()) / max(float(vector.norm()), 1e-30)
        shaped = self._shaped(vector)
        sides = []
        for sign in (1.0, -1.0):
            with self._landscape.moved(shaped, sign * step):
                sides.append(self._flat(self._landscape.gradient(batch)))
        return (sides[0] - sides[1]) / (2 * step)

    def _shaped(self, vector: torch.Tensor) -> list[torch.Tensor]:
        parameters = self._landscape.parameters
        pieces = vector.split([p.numel() for p in parameters])
        return [
            piece.view(p.shape).to(p.device, p.dtype)
            for piece, p in zip(pieces, parameters, strict=True)
        ]

    def _flat(self, direction: Direction) -> torch.Tensor:
        return torch.cat([piece.reshape(-1).float().cpu() for piece in direction])


class Lanczos:
    """What Lanczos' method found: the top Ritz value by iteration, and the top Ritz vector."""

    def __init__(self) -> None:
        self.ritz: list[float] = []
        self.residuals: list[float] = []
        self.smallest = 0.0
        self.vector = torch.zeros(0)


def lanczos(product: Product, start: torch.Tensor, iterations: int) -> Lanczos:
    """Return the top eigenvalue of a symmetric operator, with full reorthogonalisation.

    The residual of a Ritz pair is |β_k s_k|, with s_k the last entry of the eigenvector of the
    tridiagonal matrix and β_k what would stand beside it next (Parlett 1998, The Symmetric
    Eigenvalue Problem, 13.2). It ends where that is `CLOSE` of the eigenvalue, or the space is
    spent.

    Raises:
        NotFiniteError: a product is not finite.
    """
    found = Lanczos()
    vectors = torch.empty(min(iterations, start.numel()), start.numel())
    vectors[0] = start / start.norm()
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(len(vectors)):
        basis = vectors[: step + 1]
        rest = product(basis[-1])
        if not torch.isfinite(rest).all():
            raise NotFiniteError
        diagonal.append(_dot(rest, basis[-1]))
        for _ in range(2):  # Once leaves what rounding brought back.
            rest = rest - basis.T @ (basis @ rest)
        beta = float(rest.norm())
        values, shares = _eigen(diagonal, beside)
        scale = float(np.abs(values).max())
        spent = beta <= 1e-6 * scale or len(diagonal) == start.numel()
        found.ritz.append(float(values[-1]))
        found.residuals.append(0.0 if spent else beta * abs(float(shares[-1, -1])))
        found.smallest = float(values[0])
        found.vector = basis.T @ torch.from_numpy(shares[:, -1]).float()
        done = len(diagonal) >= FEWEST and found.residuals[-1] <= CLOSE * abs(found.ritz[-1])
        if spent or done or step + 1 == len(vectors):
            break
        beside.append(beta)
        vectors[step + 1] = rest / beta
    return found


def _dot(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one * other).sum(dtype=torch.float64))


def _eigen(diagonal: list[float], beside: list[float]) -> tuple[Array, Array]:
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = np.linalg.eigh(matrix)
    return values, vectors


def _probed(
    hessian: Hessian,
    top: torch.Tensor,
    batches: list[Batch],
    probes: int,
    drawn: torch.Generator,
) -> tuple[Array, Array]:
    """Return v'Hv along the top eigenvector and z'Hz of random signs z, a batch each.

    The mean of z'Hz is the trace (Hutchinson 1990).
    """
    along: list[float] = []
    traces: list[float] = []
    for number in range(probes):
        signs = (torch.randint(0, 2, top.shape, generator=drawn) * 2 - 1).float()
        images = hessian.of(batches[number % len(batches)], [top, signs])
        for direction, image, kept in zip((top, signs), images, (along, traces), strict=True):
            kept.append(_dot(direction, image))
    return np.asarray(along), np.asarray(traces)
