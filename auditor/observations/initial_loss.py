"""The loss of freshly initialised models."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from auditor.core.request import Capability, Cost, Depth, Request, Split
from auditor.core.subject import TargetFacts
from auditor.core.text import clean_text
from auditor.core.values import Array, Number

CATEGORICAL = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")

Remedy = Literal["inputs", "targets", "bias", "reset", "head"]

PAIRS: tuple[tuple[Remedy, Remedy], ...] = (
    ("inputs", "targets"),
    ("inputs", "bias"),
    ("inputs", "reset"),
    ("targets", "bias"),
    ("reset", "targets"),
)
"""What is tried together where nothing mends the loss by itself."""

LEFT = 0.25
"""Share of the excess that a remedy may leave and still have found the cause."""


@dataclass(frozen=True)
class FreshLosses:
    """`losses` is [seeds, batches], dropout off and batch norm on batch statistics.

    `loss` is the name of a loss that `torch.nn.functional` knows, else empty; `outputs` the
    width of the model's output; `output_deviation` [seeds] the standard deviation of what it
    put out; `input_mean` and `input_deviation` describe the inputs, NaN where they are token
    indices. `checkpoint_loss` is the mean loss of the checkpoint itself on the same batches,
    and `targets` the distribution of their targets. Terms of the loss that only regularise are
    `left_out` everywhere.

    `neutral_loss` is what an output costs that knows nothing, computed with the loss itself on
    the same batches; `neutral` says which output that is. NaN and empty where the outputs are no
    tensor. `growth` is the power of the batch's size by which the loss grows: 0 for a mean over
    the batch, 1 for a sum; `examples` is the size of the first batch.

    `prior_loss` is what a constant output costs on the same batches that is the logarithm of each
    class's share of the split, weighted as the loss weights it, and of labels their log-odds: what
    a last bias can save. `constant_loss` is what the best constant costs that suits the targets of
    these very batches: no output that ignores the inputs costs less. `handed_on_loss` is what an
    input costs that stands for the output, where it has the shape of the numbers asked for. NaN
    where not known.

    Where the fresh models start off chance, `remedied` [remedies, seeds] is their mean loss, as a
    multiple of the neutral one, with each of `remedies` applied, one or two at once: `inputs` and
    `targets` standardised, the last `bias` at zero, every layer's weights `reset` to PyTorch's own
    initialisation, and the last layer (`head`) divided by the deviation of what it puts out.
    """

    loss: str
    outputs: int | None
    losses: Array
    output_deviation: Array
    input_mean: Number
    input_deviation: Number
    checkpoint_loss: Number
    targets: TargetFacts
    split: str
    task: str = ""
    neutral: str = ""
    neutral_loss: Number = math.nan
    growth: Number = math.nan
    examples: int = 0
    left_out: tuple[str, ...] = ()
    constant_loss: Number = math.nan
    prior_loss: Number = math.nan
    handed_on_loss: Number = math.nan
    remedies: tuple[tuple[Remedy, ...], ...] = ()
    remedied: Array = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def numeric(self) -> bool:
        """Tell whether the loss compares numbers, so that its scale is that of the targets."""
        return self.loss in ("mse_loss", "l1_loss") or self.task == "regression"


@dataclass(frozen=True)
class FreshLossesOver(Request[FreshLosses]):
    """Asks for the loss of fresh models over some seeds and batches."""

    seeds: int = 5
    batches: int = 4
    split: str = "train_or_val"

    answer: ClassVar = FreshLosses
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar = ("seeds",)
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "factory", "loss"})
    at_most: ClassVar = True

    def cost(self, batches: dict[Split, int]) -> Cost:
        """Return the forward passes, with those that remedies take where the loss is off.

        One per seed and batch and one per batch for the checkpoint; for the remedies three more per
        seed and batch, and one to see which layer takes the inputs.
        """
        looked_at = min(self.batches, batches.get("train" if self.split == "train" else "val", 0))
        return Cost(forwards=(4 * self.seeds + 1) * looked_at + min(1, looked_at))


def chance_of(fresh: FreshLosses) -> tuple[float, str]:
    """Return the loss of knowing nothing and a clause that names it, or zero and why not."""
    facts, neutral = fresh.targets, fresh.neutral_loss
    level, words = 0.0, ""
    if fresh.loss in CATEGORICAL and fresh.task == "custom":
        return 0.0, "The task is custom: how many answers an output chooses from is not known."
    if fresh.loss in CATEGORICAL:
        if fresh.outputs is None or fresh.outputs < 2:
            return 0.0, "How many classes the model tells apart is not known, so neither is chance."
        level, words = math.log(fresh.outputs), f"chance among {fresh.outputs:,} classes"
    elif fresh.loss in BINARY:
        level, words = math.log(2), "chance between two classes"
    elif fresh.loss in ("mse_loss", "l1_loss"):
        squared = fresh.loss == "mse_loss"
        spread = facts.variance if squared else facts.mean_absolute_deviation
        name = "the variance" if squared else "the mean absolute deviation"
        level = float(np.mean(spread)) if spread else 0.0
        words = f"{name} of the targets, which is what the best constant gets,"
    elif math.isfinite(neutral):
        if not neutral > 0:
            return 0.0, (
                f"{fresh.neutral[:1].upper()}{fresh.neutral[1:]} costs {neutral:.4g}, and how many "
                "times chance a loss is can't be told unless chance costs something above zero."
            )
        return neutral, f"{fresh.neutral} costs {neutral:.4g}"
    elif fresh.loss:
        return 0.0, f"For `{clean_text(fresh.loss)}` the loss at chance is not known."
    else:
        return 0.0, (
            "The loss is one of your own, or weighted, smoothed or summed, so what it is at chance "
            "is not known."
        )
    if not (math.isfinite(level) and level > 0):
        return 0.0, "The targets do not vary, or are not numbers, so there is no chance level."
    return level, f"{words} is {level:.4g}"


def best_constant(fresh: FreshLosses, chance: float) -> float | None:
    """Return the least loss without looking at the input: the entropy of the labels, or measured.

    None where there are no labels: the best constant for numbers is chance.
    """
    facts = fresh.targets
    if not facts.counts:
        return None
    if fresh.loss not in (*CATEGORICAL, *BINARY):
        return min(chance, fresh.prior_loss) if math.isfinite(fresh.prior_loss) else None
    labels = fresh.loss in BINARY
    groups: dict[int, list[int]] = {}
    for index, count in zip(facts.classes, facts.counts, strict=True):
        groups.setdefault(index // 2 if labels else 0, []).append(count)
    shares = [np.asarray(group, float) / max(sum(group), 1) for group in groups.values()]
    entropies = [float(-(share[share > 0] * np.log(share[share > 0])).sum()) for share in shares]
    return min(chance, float(np.mean(entropies)))
