"""The subject: everything live that an audit works on."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Capability, Split, Unavailable
from auditor.core.spec import OptimizerSpec, TrainingSpec
from auditor.core.subject import SubjectFacts
from auditor.core.values import Array
from auditor.intake.batches import Batch
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.loaders import Batches
from auditor.intake.losses import Loss
from auditor.intake.modules import module_of
from auditor.intake.optimizer import LiveOptimizer
from auditor.intake.seeding import seeded
from auditor.intake.spectral import begun
from auditor.observations.earlier import Earlier, Which
from auditor.observations.training_log import TrainingLog

ABSENT: dict[Capability, str] = {
    "model": "no model factory is named, so only the weights can be looked at",
    "weights": "no checkpoint is named",
    "train": "no training data is given (`data: train`)",
    "val": "no validation data is given (`data: val`)",
    "loss": "no loss is named (`loss`)",
    "factory": "no factory is given that builds the model afresh (`model: factory`)",
    "optimizer": "no optimizer of one learning rate is declared (`training: optimizer`) or in the "
    "checkpoint",
    "batch_norm": "the model has no batch normalisation that keeps running statistics",
    "earlier": "there is no earlier audit to compare with (`--baseline last`, or a record)",
}

BATCH_NORM = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Subject:
    """The live bundle; the only thing in an audit that holds torch objects.

    `fresh` builds the model anew, with other weights for another seed. `code` are the callables
    that were named or handed in, by what they make ("model.factory"); `loader_of` builds the
    loader of a split anew, where a spec says how; `arguments` are those that the spec gives the
    factory.
    """

    model: nn.Module | None
    factory: Callable[[], nn.Module] | None
    loss: Loss | None
    data: dict[Split, Batches]
    optimizer: OptimizerSpec | None
    clip_norm: float | None
    checkpoint: Checkpoint | None
    device: torch.device
    seed: int
    base: Path
    facts: SubjectFacts
    training: TrainingSpec = field(default_factory=TrainingSpec)
    live_optimizer: LiveOptimizer | None = None
    earlier: Mapping[Which, Earlier] = field(default_factory=dict)
    claims: Mapping[str, float] = field(default_factory=dict)
    hashes: Mapping[Split, Array] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    loader_of: Mapping[Split, Callable[[], Any]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    include_samples: bool = False
    """Whether answers may hold the inputs of single examples."""
    log: TrainingLog | Unavailable = field(default_factory=lambda: Unavailable("no log was read"))

    def fresh(self, seed: int) -> nn.Module:
        """Return a freshly initialised model on the subject's device, ready to be evaluated.

        Raises:
            InputError: the factory hands out the audited model itself, or no model.
        """
        if self.factory is None:
            raise ValueError("this subject has no factory")
        with seeded(seed):
            built = module_of(self.factory(), self.facts.factory)
        audited = set(self.model.parameters()) if self.model is not None else set()
        if built is self.model or not audited.isdisjoint(built.parameters()):
            raise InputError(
                "model.factory: it hands out the audited model, or parts of it, instead of "
                "building a new one"
            )
        return begun(built.to(self.device))

    def batches(self, split: Split, most: int) -> Generator[Batch]:
        """Yield the first `most` batches of a split, on the subject's device."""
        for batch in self.data[split].first(most):
            yield batch.to(self.device)
