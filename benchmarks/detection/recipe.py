"""How a subject of the benchmark is made: data, model, loss, and a training loop."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor import audit
from auditor.api import Record
from benchmarks.detection.data import Data
from benchmarks.detection.scores import Score

Loss = str | Callable[[Any, Any], torch.Tensor] | Mapping[str, Any]
Optimizer = torch.optim.Optimizer


def every_parameter(model: nn.Module) -> Iterable[nn.Parameter]:
    return model.parameters()


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run hangs on.

    A fault is a recipe with something changed. `held` are the parameters that the optimizer is
    given, `schedule` makes a scheduler that steps once an epoch, and `training` is what the audit
    is told beyond what stands here.
    """

    family: str
    data: Callable[[int], Data]
    build: Callable[[], nn.Module]
    loss: Loss
    score: Score
    optimizer: Mapping[str, Any]
    epochs: int
    batch_size: int = 32
    shuffle: bool = True
    clip_norm: float | None = None
    zero_grad: bool = True
    held: Callable[[nn.Module], Iterable[nn.Parameter]] = every_parameter
    schedule: Callable[[Optimizer], Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def trained(self, seed: int) -> "Subject":
        """Train a fresh model; the same seed gives the same weights."""
        data = self.data(seed)
        torch.manual_seed(seed)
        model = self.build()
        named = {key: value for key, value in self.optimizer.items() if key != "name"}
        kind = getattr(torch.optim, self.optimizer["name"])
        optimizer = kind(self.held(model), **named)
        scheduler = self.schedule(optimizer) if self.schedule else None
        loss = loss_of(self.loss)
        train = data.train.loader(self.batch_size, self.shuffle)
        for _ in range(self.epochs):
            for inputs, target in train:
                if self.zero_grad:
                    optimizer.zero_grad()
                outputs = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
                loss(outputs, target).backward()
                if self.clip_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), self.clip_norm)
                optimizer.step()
            if scheduler is not None:
                scheduler.step()
        optimizer.zero_grad()
        return Subject(self, data, model, optimizer)


def loss_of(loss: Loss) -> Callable[[Any, Any], torch.Tensor]:
    """Return the function that a loss stands for; terms are summed.

    Of a cross-entropy the classes of logits (N, T, C) stand last, as language models have them.
    """
    if isinstance(loss, str):
        named: Callable[[Any, Any], torch.Tensor] = getattr(functional, loss)
        if loss != "cross_entropy":
            return named
        return lambda outputs, target: named(
            outputs.mT if outputs.ndim == 3 and target.ndim == 2 else outputs, target
        )
    if isinstance(loss, Mapping):
        terms = [loss_of(term) for term in loss.values()]
        return lambda outputs, target: torch.stack([t(outputs, target) for t in terms]).sum()
    return loss


@dataclass
class Subject:
    """A trained model with all that belongs to it; a fault after training changes it in place."""

    recipe: Recipe
    data: Data
    model: nn.Module
    optimizer: Optimizer

    def scores(self) -> np.ndarray:
        """Return how good the answer to each validation example is, (N,)."""
        self.model.eval()
        found = []
        with torch.no_grad():
            for inputs, target in self.data.val.loader(256, shuffle=False):
                outputs = self.model(*inputs) if isinstance(inputs, tuple) else self.model(inputs)
                found.append(self.recipe.score(outputs, target))
        return torch.cat(found).double().numpy()

    def audited(self) -> Record:
        """Audit the model by all checks of the standard profile, remedies and all."""
        recipe = self.recipe
        known: dict[str, Any] = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
        if recipe.clip_norm is not None:
            known["clip_norm"] = recipe.clip_norm
        return audit(
            self.model,
            factory=recipe.build,
            train=self.data.train.loader(recipe.batch_size, recipe.shuffle),
            val=self.data.val.loader(recipe.batch_size, shuffle=False),
            loss=recipe.loss,
            optimizer=self.optimizer,
            training={**known, **recipe.training},
            **recipe.options,
        )
