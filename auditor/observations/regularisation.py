"""What regularisation pulls at the weights with, against what the data does."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.values import Array, Number

Form = Literal["", "square", "absolute", "other"]
"""What a penalty is of a weight, as its gradient tells: "" where there is none."""

TIMES = (0.0, 1.0, 3.0, 10.0)
"""How far along the line from the copy with regularisation to the one without is scored."""

LIGHT = 0.05
"""Weight up to which regularisation is too light for copies to be raced."""


@dataclass(frozen=True)
class Released:
    """Two copies after the same steps on the same batches, one of them without regularisation.

    `losses` [times, examples] are those on the line w + t (w' - w) from the copy with
    regularisation, w, through that without, w', at each t of `times`; `scores` [times] are
    accuracies, NaN where the task has none. They began at `start`.
    """

    start: Literal["checkpoint", "fresh"]
    steps: int
    optimizer: str
    measure: str
    times: Array
    losses: Array
    scores: Array


@dataclass(frozen=True)
class SlopeCheck:
    """The slope of the data loss along one random direction, by autograd and by differences."""

    analytic: Number
    numeric: Number
    missing: str = ""

    @property
    def error(self) -> float:
        """Return |a - n| / max(|a|, |n|), NaN where there is none."""
        largest = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / largest if largest else math.nan


@dataclass(frozen=True)
class Regularisation:
    """Penalties on the weights, by trainable parameter in the model's order.

    `decays` are the optimizer's weight decays, NaN where not known, which `unknown` explains;
    `decoupled` tells whether they act beside the gradient (AdamW) and not through it. Of a penalty
    inside the loss, `hidden` is the norm of its gradient and `alike` the weight decay that would
    pull as it does (of an absolute penalty, its factor; NaN of another form); `terms` names the
    terms of the loss that hold it, and `worth` is its value. `weights` and `data` are norms of the
    parameters and of the data loss's gradient, RMS over batches. `fresh_weights` and `fresh_data`
    are those of a fresh model, empty without a factory. `free` are parameters whose scale changes
    nothing, as those before a normalisation. `data_loss` and `fresh_loss` hold no penalty.
    `untold` says why a penalty inside the loss could not be looked for.
    """

    parameters: tuple[str, ...]
    elements: Array
    decays: Array
    decoupled: bool
    unknown: str
    hidden: Array
    alike: Array
    form: Form
    terms: tuple[str, ...]
    worth: Number
    weights: Array
    data: Array
    fresh_weights: Array
    fresh_data: Array
    free: Array
    data_loss: Number
    fresh_loss: Number
    released: Released | None
    no_release: str
    slope: SlopeCheck
    untold: str = ""
    batches: int = 0
    split: str = ""

    @property
    def has_factory(self) -> bool:
        """Tell whether a fresh model was looked at."""
        return bool(self.fresh_weights.size)

    @property
    def penalised(self) -> Array:
        """Return which parameters any regularisation acts on."""
        return np.asarray((np.nan_to_num(self.decays) > 0) | (self.hidden > 0))

    @property
    def decay_worth(self) -> float:
        """Return the sum of λ/2 |w|² at the checkpoint, NaN where no decay is known."""
        if np.isnan(self.decays).all():
            return math.nan
        return float((np.nan_to_num(self.decays) * self.weights**2).sum() / 2)

    @property
    def weight(self) -> float:
        """Return how heavily regularisation weighs on a fresh network; NaN where that isn't known.

        Of a penalty: its value at the fresh weights over the fresh loss. Of a decoupled decay: the
        root mean square of λ w over the weights, in full steps of an adaptive optimizer. Parameters
        whose scale changes nothing are left out.
        """
        if not self.has_factory:
            return math.nan
        counted = ~self.free
        squares = np.where(counted, self.fresh_weights**2, 0.0)
        decays = np.nan_to_num(self.decays)
        loss = self.fresh_loss if self.fresh_loss > 0 else math.nan
        total = 0.0
        if self.form == "square":
            total += float((np.nan_to_num(self.alike) * squares).sum()) / 2 / loss
        elif self.form == "absolute":
            # E|w| of a fresh tensor lies within 20 % of its root mean square.
            sizes = np.sqrt(squares * self.elements)
            total += float((np.nan_to_num(self.alike) * sizes).sum()) / loss
        elif self.form == "other":
            # What it is worth to a fresh network isn't known; to this one it is.
            total += self.worth / loss
        if self.decoupled:
            held = float(self.elements[counted & (decays > 0)].sum())
            total += math.sqrt(float((decays**2 * squares).sum()) / held) if held else 0.0
        elif (decays > 0).any():
            total += float((decays * squares).sum()) / 2 / loss
        return total

    @property
    def shrunk(self) -> float:
        """Return |w| of the penalised weights over what it is in a fresh network, NaN if unknown.

        Without any penalty that is known, of all weights; where scale does nothing it isn't seen.
        """
        if not self.has_factory:
            return math.nan
        chosen = self.penalised if self.penalised.any() else np.ones(len(self.parameters), bool)
        chosen = chosen & ~self.free
        before = math.sqrt(float((self.fresh_weights[chosen] ** 2).sum()))
        after = math.sqrt(float((self.weights[chosen] ** 2).sum()))
        return after / before if before else math.nan

    def pulls(self, *, fresh: bool) -> Array:
        """Return how hard regularisation pulls at each parameter, in units of the data's pull.

        Of a decoupled decay: the RMS of λ w, in full steps. NaN where nothing pulls.
        """
        weights = self.fresh_weights if fresh else self.weights
        data = self.fresh_data if fresh else self.data
        decays = np.nan_to_num(self.decays)
        hidden = self.hidden
        if fresh and self.form == "square":
            hidden = np.nan_to_num(self.alike) * weights
        elif fresh and self.form == "absolute":
            hidden = np.nan_to_num(self.alike) * np.sqrt(self.elements)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = hidden + (0.0 if self.decoupled else decays * weights)
            found = inside / data
            if self.decoupled:
                beside = decays * weights / np.sqrt(np.maximum(self.elements, 1))
                found = np.where(inside > 0, found, 0.0) + beside
        return np.where(self.penalised, found, np.nan)


@dataclass(frozen=True)
class RegularisationOver(Request[Regularisation]):
    """Asks for the pull of regularisation and of the data, and for what becomes of copies freed.

    Gradients are taken on two batches, at the checkpoint and of a fresh model; two copies make
    `steps` steps each, and points on the line between them are scored on `scored` batches.
    """

    steps: int = 8
    scored: int = 4
    split: Literal["train", "val", "train_or_val"] = "train_or_val"

    answer: ClassVar = Regularisation
    depth: ClassVar = Depth.BACKWARD
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "loss"})
    scaled: ClassVar = ("steps", "scored")
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the passes, of which the slope's are made on two examples and count in full."""
        scored = len(TIMES) * min(self.scored, batches.get("val", 0))
        steps = 2 * self.steps if batches.get("train") else 0
        return Cost(6 + steps + scored + 7, 4 + steps + 1)

    def looked_at(self, batches: dict[Split, int]) -> dict[Split, int]:
        """Return the batches that one copy is trained on, and those that it is scored on."""
        looked: dict[Split, int] = {"val": min(self.scored, batches.get("val", 0))}
        if batches.get("train"):
            looked["train"] = max(2, self.steps)
        return looked
