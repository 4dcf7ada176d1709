"""When two places say the same of a setting: numbers as far as text keeps them, names by kin."""

import math
import re
from collections.abc import Iterable

from auditor.core.text import clean_text
from auditor.observations.setting_sources import Stated
from auditor.observations.settings import Plain

CLOSE = 1e-3
"""Relative difference of two numbers that are one: text and float32 keep more digits than that."""

_OPTIMIZERS = {
    name.lower(): name
    for name in (
        "SGD", "Muon", "Adam", "AdamW", "RAdam", "SparseAdam", "NAdam", "Adamax", "RMSprop",
        "Adadelta", "Adagrad", "Adafactor", "ASGD", "Rprop", "LBFGS",
    )
} | {"momentum": "SGD", "nesterov": "SGD", "sgdm": "SGD"}  # fmt: skip
_DRESSED = re.compile(r"^(fused|paged)|(torch|fused|hf|apex|xla|npu|bnb|8bit|4bit|optimizer)+$")

_KIN = {
    "cosine": ("cosine", "sgdr"),
    "step": ("steplr", "multistep", "step", "milestone", "piecewise"),
    "exponential": ("exponential",),
    "plateau": ("plateau",),
    "cycle": ("onecycle", "cyclic", "1cycle"),
    "linear": ("linearlr", "linear"),
    "polynomial": ("polynomial", "poly"),
    "none": ("none", "nonetype", "constant", "no", "fixed", "constantlr"),
}
"""Families of schedules, by words of their names."""

CLASSES = frozenset(
    {
        "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR",
        "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "OneCycleLR", "CyclicLR",
        "ReduceLROnPlateau",
    }
)  # fmt: skip
"""Classes of torch.optim.lr_scheduler that their saved state tells."""

SOME_SCHEDULE = "another schedule"
"""The name of a schedule whose saved state does not tell its class."""
COMPOSED = ("LambdaLR", "SequentialLR", "ChainedScheduler", "MultiplicativeLR", SOME_SCHEDULE)
"""Schedules that can be any, as far as their saved state tells."""

_LOSSES = {
    "crossentropyloss": "cross_entropy",
    "crossentropy": "cross_entropy",
    "ce": "cross_entropy",
    "xent": "cross_entropy",
    "nllloss": "nll_loss",
    "bceloss": "binary_cross_entropy",
    "binarycrossentropy": "binary_cross_entropy",
    "bcewithlogitsloss": "binary_cross_entropy_with_logits",
    "binarycrossentropywithlogits": "binary_cross_entropy_with_logits",
    "mseloss": "mse_loss",
    "mse": "mse_loss",
    "l2": "mse_loss",
    "l1loss": "l1_loss",
    "l1": "l1_loss",
    "mae": "l1_loss",
    "smoothl1loss": "smooth_l1_loss",
    "huberloss": "huber_loss",
    "huber": "huber_loss",
}
"""What losses are called, by their names in torch.nn.functional."""


def alike(one: Plain, other: Plain) -> bool:
    """Tell whether two values are the same; those of different sorts can't be told apart."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if one is None or other is None or isinstance(one, tuple) or isinstance(other, tuple):
        return True
    if isinstance(one, str) and isinstance(other, str):
        return _bare(one) == _bare(other)
    if isinstance(one, str) or isinstance(other, str):
        return True
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-12)


def any_alike(value: Plain, others: Iterable[Stated]) -> bool:
    """Tell whether one of several places says the same."""
    return any(alike(value, other.value) for other in others)


def numbers(told: Iterable[Stated]) -> list[float]:
    """Return the values that are numbers."""
    values = (one.value for one in told)
    return [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]


def times(one: float, other: float) -> float:
    """Return how many times the smaller of two numbers the larger is."""
    low, high = sorted((abs(one), abs(other)))
    return high / low if low > 0 else math.inf if high > 0 else 1.0


def power_of(base: float, ratio: float) -> bool:
    """Tell whether a ratio above 1 is a whole power of a base."""
    if not 1 < ratio < 1e12:
        return False
    whole = round(math.log(ratio, base))
    return whole >= 1 and math.isclose(ratio, base**whole, rel_tol=5e-3)


def optimizer_of(text: Plain) -> str:
    """Return the class of torch.optim that a name stands for, empty where it is no known one."""
    if not isinstance(text, str):
        return ""
    return _OPTIMIZERS.get(_DRESSED.sub("", _bare(text.rpartition(".")[2])), "")


def schedule_of(text: Plain) -> str:
    """Return the family of a schedule, empty where its name tells none."""
    if not isinstance(text, str):
        return ""
    bare = _bare(text.removeprefix("SchedulerType.").rpartition(".")[2])
    for family, words in _KIN.items():
        if any(word in bare if len(word) > 4 else word == bare for word in words):
            return family
    return ""


def loss_of(text: Plain) -> str:
    """Return the name of a loss in torch.nn.functional, empty where it is no known one."""
    if not isinstance(text, str):
        return ""
    bare = _bare(text.rpartition(".")[2])
    known = {_bare(name): name for name in _LOSSES.values()}
    return _LOSSES.get(bare, known.get(bare, ""))


def shown(value: Plain) -> str:
    """Return a value as text."""
    if isinstance(value, tuple):
        return f"({', '.join(f'{one:g}' for one in value)})"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 or value % 1 else f"{value:,.0f}"
    return clean_text(value, 80)


def _bare(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())
