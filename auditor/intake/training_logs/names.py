"""What a column is: trainers name one quantity in many ways."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test", ""]

TRAIN = frozenset({"train", "training", "trn", "tr"})
VAL = frozenset({"val", "valid", "validation", "eval", "evaluation", "dev"})
TEST = frozenset({"test", "testing"})

STEPS = (
    "trainer/global_step", "train/global_step", "global_step", "step", "steps", "iteration",
    "iterations", "iter", "update", "updates", "num_updates", "batch_idx", "batch", "_step",
)  # fmt: skip
"""Columns that count steps, the surest first."""
EPOCHS = ("epoch", "epochs", "train/epoch", "trainer/epoch", "current_epoch", "ep")

LOSSES = (("loss",), ("total", "loss"), ("loss", "total"), ("avg", "loss"), ("mean", "loss"),
          ("running", "loss"), ("objective",), ("cost",))  # fmt: skip
"""Names of the loss as a whole, apart from its split."""

UNTOLD = frozenset(
    {"time", "runtime", "seconds", "sec", "eta", "duration", "elapsed", "date", "timestamp", "wall",
     "memory", "mem", "fps", "throughput", "flos", "samples", "tokens", "size", "id", "rank",
     "seed", "scale", "scaler", "weight", "min", "max"}
)  # fmt: skip
"""Words of columns that tell nothing of how training went."""

BY_DESIGN = frozenset(
    {"g", "d", "gen", "generator", "disc", "discriminator", "adv", "adversarial", "critic", "actor",
     "policy", "value", "entropy", "kl", "kld"}
)  # fmt: skip
"""Words of losses of which training does not lower each by design; none stands for the whole."""

_TAIL = re.compile(r"(?:epoch|step|avg|mean)$")
_PARTS = re.compile(r"[^a-z0-9.]+|(?<!\d)\.|\.(?!\d)")


@dataclass(frozen=True)
class Meaning:
    """What a column holds: a canonical quantity ("loss", "lr", "grad_norm", a metric) of a split.

    `tail` is "epoch" or "step" where the name says over what it is averaged; a `whole` one is no
    part of a quantity, such as one group's rate or one term of the loss.
    """

    quantity: str
    split: Split
    tail: str = ""
    whole: bool = True


def meaning_of(column: str) -> Meaning | None:
    """Return what a column holds, None where it tells nothing of how training went.

    What a table exported from Weights & Biases puts before the name, that of the run, is left out.
    """
    words = [word for word in _PARTS.split(column.lower().rpartition(" - ")[2]) if word]
    split = _split_in(words)
    rest = [w for w in words if w not in TRAIN | VAL | TEST] or words
    tail = rest[-1] if len(rest) > 1 and _TAIL.match(rest[-1]) else ""
    rest = rest[:-1] if tail else rest
    rest = rest[1:] if len(rest) > 1 and rest[0] in ("epoch", "batch") else rest
    if not rest or UNTOLD & set(rest) or "per" in rest:
        return None
    if _is_rate(rest):
        return Meaning("lr", "", tail, rest in (["lr"], ["learning", "rate"]))
    if _is_gradient_norm(rest):
        return Meaning("grad_norm", "", tail)
    if tuple(rest) in LOSSES:
        return Meaning("loss", split, tail)
    if "loss" in rest and BY_DESIGN & set(rest):
        return None
    if "loss" in rest:
        return Meaning("loss", split, tail, whole=False)
    return Meaning("_".join(rest), split, tail)


def first_of(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """Return the first of the known names that is a column, by the log's spelling."""
    spelt = {column.strip().lower(): column for column in columns}
    return next((spelt[name] for name in names if name in spelt), None)


def _split_in(words: list[str]) -> Split:
    for split, known in (("val", VAL), ("test", TEST), ("train", TRAIN)):
        if known & set(words):
            return split  # type: ignore[return-value]
    return ""


def _is_rate(words: list[str]) -> bool:
    return words[0] in ("lr", "lrs") or words[:2] == ["learning", "rate"] or words[-1] == "lr"


def _is_gradient_norm(words: list[str]) -> bool:
    """Tell whether a name is that of the norm of the whole gradient, and not of one layer's."""
    text = "_".join(w for w in words if w not in ("total", "global", "all", "l2", "2.0", "2"))
    return text in ("grad_norm", "gradient_norm", "gradnorm", "gnorm", "norm_grad", "grads_norm")
