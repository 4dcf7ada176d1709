"""What copies of a model are measured by: the standard loss of their task, or their own."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split
from auditor.core.values import Array
from auditor.experiments.lab import private_copy, scored
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.contest import has_entropies
from auditor.observations.performance import Performance
from auditor.observations.probabilities import LIKELIHOODS
from auditor.observations.targets import best_constant_loss

Held = dict[Split, list[Batch]]
"""The batches of each split that copies are scored on."""

Scores = tuple[Array, Array]
"""Losses and shares of right answers, [examples] or [batches]; the second may be empty."""


@dataclass(frozen=True)
class Yardstick:
    """What copies are measured by, on which batches, and what counts as one on each split."""

    subject: Subject
    held: Held
    unit: str
    scales: dict[Split, float]
    fresh: float = math.nan

    def scores(self, model: nn.Module, split: Split) -> Scores:
        """Return the losses and the shares of right answers of a split; the second may be empty."""
        return self.read(*_measured(self.subject, model, self.held[split], split))

    def read(self, seen: Performance | None, whole: Array) -> Scores:
        """Return the same of what was measured."""
        if self.unit == "loss":
            return whole, np.zeros(0)
        assert seen is not None
        right = np.asarray(seen.scores, float) if seen.metric == "accuracy" else np.zeros(0)
        return np.asarray(seen.entropies if right.size else seen.scores, float), right


def yardstick_of(subject: Subject, held: Held) -> tuple[Yardstick, dict[Split, Scores]]:
    """Return the standard measure of the task where there is one, else the loss of whole batches.

    With it come the checkpoint's own scores. Of the loss what a fresh model loses more than the
    checkpoint does in training counts as one.
    """
    model = private_copy(subject)
    seen = {split: _measured(subject, model, batches, split) for split, batches in held.items()}
    units = {_standard(subject, one) for one, _ in seen.values()}
    scales = {split: _constant_loss(one) for split, (one, _) in seen.items()}
    sound = all(math.isfinite(scale) and scale > 0 for scale in scales.values())
    if len(units) == 1 and "" not in units and sound:
        yardstick = Yardstick(subject, held, units.pop(), scales)
    else:
        fresh = math.nan
        if subject.factory is not None:
            untrained = subject.fresh(derived_seed(subject.seed, "continued fresh"))
            fresh = float(_whole(subject, untrained, held["val"]).mean())
        learnt = fresh - float(seen["train"][1].mean())
        known = learnt if math.isfinite(learnt) and learnt > 0 else math.nan
        yardstick = Yardstick(subject, held, "loss", dict.fromkeys(held, known), fresh)
    return yardstick, {split: yardstick.read(*one) for split, one in seen.items()}


def _measured(
    subject: Subject, model: nn.Module, batches: list[Batch], split: Split
) -> tuple[Performance | None, Array]:
    """Return a model's scores, None where no standard metric applies, and its batches' losses."""
    if subject.facts.task != "custom":
        seen = scored(subject, model, batches, split)
        if isinstance(seen, Performance) and len(seen.losses) == len(batches):
            return seen, np.asarray(seen.losses, float)
    return None, _whole(subject, model, batches)


def _constant_loss(seen: Performance | None) -> float:
    """Return the mean loss of the best constant answer, NaN where it is not known."""
    if seen is None or not seen.examples:
        return math.nan
    return best_constant_loss(seen)


def _standard(subject: Subject, seen: Performance | None) -> str:
    """Return the name of the loss of single examples that stands for the subject's own, if any.

    Cross-entropy does not where classes are weighted, nor where the loss is not known and the model
    is worse by it than a constant: it was trained for something else.
    """
    assert subject.loss is not None
    loss = subject.loss
    if seen is None:
        return ""
    if seen.metric != "accuracy":
        return seen.metric if loss.known else ""
    if loss.weights or loss.known not in ("", *LIKELIHOODS) or not has_entropies(seen):
        return ""
    fits = bool(loss.known) or float(np.mean(seen.entropies)) <= _constant_loss(seen)
    return "cross-entropy" if fits else ""


@torch.no_grad()
def _whole(subject: Subject, model: nn.Module, batches: Iterable[Batch]) -> Array:
    assert subject.loss is not None
    model.eval()
    losses = [subject.loss(model(*b.args, **b.kwargs), b.target).detach() for b in batches]
    return np.asarray(torch.stack([loss.reshape(()) for loss in losses]).double().cpu().numpy())
