"""What a linear model fits of the same examples, and copies that are trained to reach it."""

import itertools
from dataclasses import replace

import torch

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.baselines import Block, designs_for, tuned
from auditor.experiments.fresh_copies import scored_copy, tail, trained_copy
from auditor.experiments.straits import strait
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.capacity import LINEAR_STEPS, RATES, Capacity

LINEAR_RATES = (1e-2, 1e-1)
"""Learning rates of Adam that the linear model is fitted with."""

BEHIND = 0.02
"""Share of the constant's error that the linear model must be ahead for copies to be trained on."""

UNTRAINED = 8
"""Untrained copies that are looked at where those which were trained answer alike to all."""

LOGITS = ("binary", "multiclass", "segmentation", "language_model")
"""Tasks whose outputs are numbers for classes that exclude one another."""


def beside_linear(
    subject: Subject, batches: list[Batch], answer: Capacity, longer: int
) -> Capacity:
    """Return the answer with what a linear model fits, and longer runs where that is more."""
    fitted = _linear(subject, batches)
    if isinstance(fitted, Unavailable):
        return replace(answer, linear_missing=fitted.reason)
    scores, least, parameters = fitted
    answer = replace(answer, linear_scores=scores, linear_parameters=parameters)
    if not len(answer.true_scores) or len(scores) != answer.true_scores.shape[1]:
        return replace(answer, linear_missing="its scores can't be set beside the copies'")
    sign = 1.0 if answer.metric == "accuracy" else -1.0
    reached = (sign * answer.true_scores.mean(axis=1)).max()
    ahead = sign * float(scores.mean()) - reached
    if not ahead > BEHIND * answer.constant_error or not longer:
        return answer
    runs = []
    for number, rate in enumerate(RATES):
        seed = derived_seed(subject.seed, f"capacity longer {number}")
        model, losses = trained_copy(subject, batches, seed, rate, longer)
        seen = scored_copy(subject, model, batches)
        if seen is not None and len(losses) == longer:
            runs.append((losses, seen.scores, model))
    if not runs:
        return answer
    runs.sort(key=lambda run: tail(run[0]))
    losses, best, _ = runs[0]
    if not _after_as_many_again(losses) > least:
        return replace(answer, longer_scores=best, longer=losses)
    classes = subject.facts.outputs if subject.facts.task in LOGITS else None
    fresh = (subject.fresh(derived_seed(subject.seed, f"strait {n}")) for n in range(UNTRAINED))
    models = itertools.chain((model for *_, model in runs), fresh)
    return replace(
        answer,
        longer_scores=best,
        longer=losses,
        out_of_reach=True,
        strait=strait(models, batches[0], classes or 0),
    )


def _linear(subject: Subject, batches: list[Batch]) -> tuple[Array, float, int] | Unavailable:
    """Return a linear model's scores on the same examples, its loss, and its parameters."""
    try:
        designs = designs_for(subject)
        if isinstance(designs, Unavailable):
            return designs
        read = [(designs.read(b.args, b.kwargs), b.target) for b in batches]
        alike = all((x.shape[1:], y.shape[1:]) == _shapes(read[0]) for x, y in read)
        blocks: list[Block] = read
        if alike:
            blocks = [(torch.cat([x for x, _ in read]), torch.cat([y for _, y in read]))]
        model, runs = tuned(subject, designs.linear, blocks, blocks, LINEAR_RATES, LINEAR_STEPS)
        seen = scored_copy(subject, model, batches)
        if seen is None:
            return Unavailable("no standard metric applies")
        return seen.scores, min(run.loss for run in runs), model.parameters_count
    except (InputError, RuntimeError, ValueError, TypeError, IndexError) as error:
        return Unavailable(f"no linear model could be trained: {clean_text(error, 160)}")


def _shapes(block: Block) -> tuple[torch.Size, torch.Size]:
    return block[0].shape[1:], block[1].shape[1:]


def _after_as_many_again(losses: Array) -> float:
    """Return what the loss would come to after as many steps again, at the pace of the end.

    The pace is the fall from the third quarter of the steps to the last; losses fall ever more
    slowly, so this is the least that can be expected.
    """
    quarter = max(1, len(losses) // 4)
    before, after = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
    return float(after - 4 * max(0.0, before - after))
