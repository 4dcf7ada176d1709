"""What models that were shown little or nothing know of the validation data."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split
from auditor.experiments.examples import gathered, labels_of, mixed
from auditor.experiments.lab import scored
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.overfit import SCORED, Unshown, knowing, seeds_for
from auditor.observations.performance import Performance

SIZE = 32
"""Examples in each batch of validation data."""

SPLIT: Split = "val"


@dataclass(frozen=True)
class Examination:
    """Some validation examples of one class each, and the class of each in bytes."""

    subject: Subject
    batches: list[Batch]
    labels: list[bytes]

    def scores(self, model: nn.Module) -> list[float]:
        """Return whether the model is right on each example; none where that can't be told."""
        found = scored(self.subject, model, self.batches, SPLIT)
        if not isinstance(found, Performance) or found.metric != "accuracy":
            return []
        return [float(score) for score in found.scores]

    def shown(self, examples: Batch) -> float:
        """Return the share of the examples whose class is among those of the ones given."""
        classes = set(labels_of(examples))
        return float(np.mean([label in classes for label in self.labels]))


def examination(subject: Subject) -> Examination | None:
    """Return validation examples to ask models about; None where they have no single class."""
    if "val" not in subject.data or subject.facts.task not in ("multiclass", "binary"):
        return None
    with seeded(derived_seed(subject.seed, "overfit, validation")):
        batches = mixed(gathered(subject, SPLIT, SCORED), SIZE)[:SCORED]
    labels = [label for batch in batches for label in labels_of(batch)]
    return Examination(subject, batches, labels) if labels else None


def untrained(exam: Examination) -> Unshown | None:
    """Ask fresh models before their first step, one after the other until one does not know."""
    subject = exam.subject
    common = max(exam.labels.count(label) for label in set(exam.labels)) / len(exam.labels)
    shares: list[float] = []
    for number in range(seeds_for(subject.facts.outputs)):
        scores = exam.scores(subject.fresh(derived_seed(subject.seed, f"overfit {number}")))
        if not scores:
            return None
        shares.append(float(np.mean(scores)))
        if shares[-1] <= knowing(common):
            break
    same = shares[-1] > knowing(common)
    return Unshown(
        accuracies=tuple(shares),
        examples=len(exam.labels),
        common=common,
        alike=same and _alike(subject),
        trained=same and _trained(subject),
    )


def _alike(subject: Subject) -> bool:
    """Tell whether fresh models of two seeds have the same weights."""
    first, second = (subject.fresh(derived_seed(subject.seed, f"overfit {n}")) for n in (0, 1))
    return _equal(first, second)


def _trained(subject: Subject) -> bool:
    """Tell whether a fresh model has the weights of the audited one."""
    fresh = subject.fresh(derived_seed(subject.seed, "overfit 0"))
    return subject.model is not None and _equal(fresh, subject.model)


def _equal(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    return mine.keys() == theirs.keys() and all(
        torch.equal(values, theirs[name]) for name, values in mine.items()
    )
