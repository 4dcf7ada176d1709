"""What simpler models, trained on the same data, get where the audited model is scored."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

EXAMPLES = 4096
"""Training examples that simpler models are fitted to at most."""

STEPS = 400
"""Steps of training at each learning rate at most."""

RATES = (1e-3, 3e-3, 1e-2, 3e-2)
"""Learning rates of Adam that are tried: around 1e-3, its authors' advice (Kingma & Ba 2015)."""


@dataclass(frozen=True)
class SimpleModel:
    """One simpler model, its tuning, and its scores.

    `name` is with its article, `built` says of what it is made, `parameters` counts its trainable
    numbers. For each of `rates`, `held_out` is the least loss on the held-out examples, and
    `steps` the step it was reached at; `rate` is the one of least loss. `scores` [examples] and
    `entropies` [examples] are those of `Performance` on validation data, `train_scores` the
    first of these on training data.
    """

    name: str
    built: str
    parameters: int
    rates: tuple[Number, ...]
    held_out: tuple[Number, ...]
    steps: tuple[int, ...]
    rate: Number
    scores: Array
    entropies: Array
    train_scores: Array


@dataclass(frozen=True)
class SimpleModels:
    """Simpler models, the simplest first, beside the `parameters` of the audited model.

    They were fitted to `fitted` training examples and tuned on `held` others.
    """

    models: tuple[SimpleModel, ...]
    parameters: int
    fitted: int
    held: int


@dataclass(frozen=True)
class SimpleModelsOver(Request[SimpleModels]):
    """Asks for simpler models, scored on the first batches of validation and training data."""

    batches: int = 64

    answer: ClassVar = SimpleModels
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "train", "val", "loss"})
    scaled: ClassVar = ("batches",)
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes: one forward of the audited model, the others of small models."""
        return Cost(1, 2 * len(RATES) * STEPS) if batches.get("train") else Cost()
