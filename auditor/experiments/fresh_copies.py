"""Fresh copies of the model, trained on a few batches without dropout."""

import itertools
import math

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.values import Array
from auditor.experiments.training import train
from auditor.intake.batches import Batch
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance


def trained_copy(
    subject: Subject, batches: list[Batch], seed: int, rate: float, steps: int
) -> tuple[nn.Module, Array]:
    """Return a fresh copy trained for so many steps, and the loss before each."""
    assert subject.model is not None
    model = subject.fresh(seed)
    for mine, theirs in zip(model.parameters(), subject.model.parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False  # Adam takes dense gradients
    with seeded(seed):
        endless = itertools.islice(itertools.cycle(batches), steps)
        losses = train(
            subject, model, endless, OptimizerSpec(name="Adam", lr=rate), mode=unregularised
        )
    return model, losses


def unregularised(model: nn.Module) -> None:
    """Put a model into training mode without its dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0


@torch.no_grad()
def scored_copy(subject: Subject, model: nn.Module, batches: list[Batch]) -> Performance | None:
    """Return the scores of a copy in the mode it was trained in, None where no metric applies."""
    unregularised(model)
    scorer = Scorer(subject, "train")
    for batch in batches:
        scorer.add(model(*batch.args, **batch.kwargs), batch.target, None)
    seen = scorer.result()
    return None if isinstance(seen, Unavailable) else seen


def tail(losses: Array) -> float:
    """Return the mean of the last tenth of the losses, infinite where the run was lost."""
    last = losses[-max(1, len(losses) // 10) :]
    return float(last.mean()) if len(last) and np.isfinite(last).all() else math.inf
