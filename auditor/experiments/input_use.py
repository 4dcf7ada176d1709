"""How much worse the checkpoint does on inputs that belong to other targets."""

import math
from typing import Literal

import numpy as np
import torch

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.examples import distinct, gathered, labels_of, moved
from auditor.experiments.lab import affordable, halving
from auditor.intake.batches import Batch
from auditor.intake.preserve import preserved
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.input_use import InputUse, InputUseOver
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_score, constant_entropies

LEAST_EXAMPLES = 8
"""Examples of each batch that are kept, however costly the model."""


def input_use(request: InputUseOver, subject: Subject) -> InputUse | Unavailable:
    """Measure the checkpoint on each example's own inputs and on those of another example.

    Inputs move among all examples that could be joined, since the examples of one batch may all
    be of one class where the loader does not shuffle.
    """
    split: Split = request.split
    assert subject.model is not None
    runs = 1 + request.permutations
    size = max(1, subject.facts.data[split].batch_size)
    count = affordable(subject, request.batches, size, runs, training=False)
    if count == 1:
        size = max(min(size, LEAST_EXAMPLES), affordable(subject, size, 1, runs, training=False))
    pools = gathered(subject, split, count)
    if subject.facts.data[split].batch_size > size:
        pools = [pool.take(size) for pool in pools]
    pools = [pool for pool in pools if pool.size > 1]
    if not pools:
        return Unavailable("there are no two examples whose inputs could be exchanged")
    labels = [labels_of(pool) for pool in pools]
    with (
        preserved(subject.model),
        seeded(derived_seed(subject.seed, request.key)),
        torch.no_grad(),
    ):
        orders = [[moved(pool.size) for pool in pools] for _ in range(request.permutations)]
        subject.model.eval()

        def attempt(fraction: float) -> InputUse | Unavailable:
            cut = max(1, int(size * fraction))
            own = _measured(subject, pools, cut, split)
            others = [
                _measured(
                    subject,
                    [pool.with_inputs_of(at) for pool, at in zip(pools, order, strict=True)],
                    cut,
                    split,
                )
                for order in orders
            ]
            return _compared(own, others, pools, labels, split)

        made, _ = halving(attempt)
    return made


def _measured(
    subject: Subject, pools: list[Batch], size: int, split: Split
) -> tuple[Array, Performance | Unavailable]:
    """Return the loss of each batch of `size`, and the scores of the examples."""
    assert subject.model is not None
    assert subject.loss is not None
    scorer, losses = Scorer(subject, split), []
    for pool in pools:
        for index in torch.arange(pool.size).split(size):
            batch = pool.rows(index).to(subject.device)
            outputs = subject.model(*batch.args, **batch.kwargs)
            losses.append(subject.loss(outputs, batch.target))
            scorer.add(outputs, batch.target, losses[-1])
    return torch.stack(losses).double().cpu().numpy(), scorer.result()


def _compared(
    own: tuple[Array, Performance | Unavailable],
    others: list[tuple[Array, Performance | Unavailable]],
    pools: list[Batch],
    labels: list[list[bytes]],
    split: Split,
) -> InputUse:
    scores = own[1]
    swapped = [found for _, found in others if isinstance(found, Performance)]
    per: Literal["example", "batch"] = "batch"
    metric, rows, constant = "loss", [losses for losses, _ in (own, *others)], math.nan
    wrong, wrong_constant = np.zeros((1, 0)), math.nan
    if isinstance(scores, Performance) and len(swapped) == len(others):
        per = "example"
        whole = [scores, *swapped]
        if scores.metric != "accuracy":
            metric, rows = scores.metric, [found.scores for found in whole]
            constant = best_constant_score(scores)
        else:
            metric, rows = "cross-entropy", [found.entropies for found in whole]
            constant = float(constant_entropies(scores).mean())
            wrong = 1 - np.asarray([found.scores for found in whole])
            wrong_constant = 1 - best_constant_score(scores)
    return InputUse(
        own=rows[0],
        others=np.asarray(rows[1:]),
        metric=metric,  # type: ignore[arg-type]
        per=per,
        constant=constant,
        wrong=wrong[0],
        wrong_others=wrong[1:],
        wrong_constant=wrong_constant,
        examples=sum(pool.size for pool in pools),
        # Inputs move within a pool, so what counts is what differs there.
        targets=max(len(set(found)) for found in labels),
        inputs=max(len(distinct(pool)) for pool in pools),
        split=split,
    )
