"""Training fresh copies as they are and mended, from the same seeds on the same batches."""

import itertools
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.values import Array
from auditor.experiments.fresh_copies import tail, unregularised
from auditor.experiments.lab import affordable, cycled, halving, scored
from auditor.experiments.training import train
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.mended_copies import NOTHING, RATES, SCORED, MendedCopies, runs_of
from auditor.observations.targets import constant_entropies

FEWEST = 40
"""Steps below which copies are not compared: so few show nothing."""

Mend = Callable[[nn.Module], AbstractContextManager[object]]


ADAM = tuple(OptimizerSpec(name="Adam", lr=rate) for rate in RATES)
"""What copies are trained by whose training is not the question."""


def mended_copies(
    subject: Subject, mend: Mend, steps: int, seeds: int, optimizers: Iterable[OptimizerSpec] = ADAM
) -> MendedCopies:
    """Return how copies score that run inside of `mend`, beside others that do not.

    Of several optimizers the one counts that fits the training data best, on either side.
    """
    if subject.factory is None or subject.loss is None or "train" not in subject.data:
        return _untried("copies need a factory, training data and a loss to be trained")
    size = subject.facts.data["train"].batch_size
    steps = affordable(subject, steps, size, runs=runs_of(seeds))
    if steps < FEWEST:
        return _untried(f"the model is too costly: {steps} steps are all that it can afford")
    batches = list(itertools.islice(subject.batches("val", SCORED), SCORED))
    made: list[list[Array]] = [[], []]
    metric, constant = "", math.nan
    ways: tuple[Mend, Mend] = (_left, mend)
    for number in range(seeds):
        seed = derived_seed(subject.seed, f"mended copies {number}")
        for arm, way in enumerate(ways):
            runs = [_run(subject, way, batches, seed, one, steps) for one in optimizers]
            _, metric, scores, constant = min(runs, key=lambda run: run[0])
            if not metric:
                return _untried("no standard metric applies")
            made[arm].append(scores)
    return MendedCopies(
        metric, steps, np.stack(made[0]), np.stack(made[1]), constant=float(constant)
    )


def _left(model: nn.Module) -> AbstractContextManager[object]:
    """Leave a model as it is."""
    return nullcontext()


def _untried(why: str) -> MendedCopies:
    return MendedCopies("", 0, NOTHING.as_it_is, NOTHING.mended, why)


def _run(
    subject: Subject,
    mend: Mend,
    batches: list[Batch],
    seed: int,
    optimizer: OptimizerSpec,
    steps: int,
) -> tuple[float, str, Array, float]:
    """Train a copy without dropout; return its last losses, the metric and the scores.

    Of classes the cross-entropy of each example is told, which shows more than right and wrong, and
    that of the best constant.
    """

    def attempt(fraction: float) -> tuple[float, str, Array, float]:
        with seeded(seed):
            model = subject.fresh(seed)
        with seeded(seed), mend(model):
            stream = cycled(subject, "train", steps, fraction)
            losses = train(subject, model, stream, optimizer, mode=unregularised)
            seen = scored(subject, model, batches, "val")
        if isinstance(seen, Unavailable):
            return 0.0, "", np.zeros(0), math.nan
        if seen.metric == "accuracy" and len(seen.entropies) == len(seen.scores):
            constant = float(constant_entropies(seen).mean())
            return tail(losses), "cross-entropy", np.asarray(seen.entropies, float), constant
        return tail(losses), seen.metric, np.asarray(seen.scores, float), math.nan

    return halving(attempt)[0]
