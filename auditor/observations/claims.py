"""What is claimed of a model, and which quantity a name stands for."""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request
from auditor.core.values import Number

Average = Literal["", "macro", "micro", "weighted", "binary"]

Kind = Literal[
    "accuracy",
    "error rate",
    "top-k accuracy",
    "exact match",
    "balanced accuracy",
    "precision",
    "recall",
    "F1",
    "mean IoU",
    "AUC",
    "average precision",
    "cross-entropy",
    "loss",
    "perplexity",
    "bits per token",
    "mean squared error",
    "root mean squared error",
    "mean absolute error",
    "R²",
]

LOWER: frozenset[Kind] = frozenset(
    {
        "error rate",
        "cross-entropy",
        "loss",
        "perplexity",
        "bits per token",
        "mean squared error",
        "root mean squared error",
        "mean absolute error",
    }
)
"""Quantities of which less is better."""

UNBOUNDED: frozenset[Kind] = LOWER - {"error rate"} | {"R²"}
"""Quantities that are no shares, and so are never told in per cent."""


@dataclass(frozen=True)
class Quantity:
    """What can be measured: `average` is over classes, `k` of the top-k accuracy."""

    kind: Kind
    average: Average = ""
    k: int = 1

    @property
    def name(self) -> str:
        """Return what it is called."""
        called = f"top-{self.k} accuracy" if self.kind == "top-k accuracy" else self.kind
        return f"{called}, {self.average}" if self.average else called

    @property
    def higher_is_better(self) -> bool:
        """Tell which way is good."""
        return self.kind not in LOWER

    @property
    def share(self) -> bool:
        """Tell whether it lies between 0 and 1."""
        return self.kind not in UNBOUNDED


_SPELT: dict[Kind, str] = {
    "accuracy": "accuracy acc top1 top_1",
    "error rate": "error error_rate err misclassification top1_error top_1_error",
    "exact match": "exact_match subset_accuracy em",
    "balanced accuracy": "balanced_accuracy balanced_acc mean_class_accuracy macro_accuracy uar",
    "mean IoU": "mean_iou miou iou jaccard jaccard_index jaccard_score "
    "mean_intersection_over_union",
    "AUC": "auc roc_auc auroc rocauc auc_roc roc_auc_score",
    "average precision": "average_precision ap auprc pr_auc auc_pr aucpr average_precision_score",
    "cross-entropy": "cross_entropy log_loss logloss nll ce bce binary_cross_entropy "
    "negative_log_likelihood",
    "loss": "loss",
    "perplexity": "perplexity ppl",
    "bits per token": "bits_per_token bits_per_character bits_per_char bpt bpc",
    "mean squared error": "mse mean_squared_error",
    "root mean squared error": "rmse root_mean_squared_error",
    "mean absolute error": "mae mean_absolute_error",
    "R²": "r2 r_2 r² r_squared r2_score",
}
_NAMES = {name: kind for kind, names in _SPELT.items() for name in names.split()}

_AVERAGED: dict[str, Kind] = {
    "precision": "precision",
    "recall": "recall",
    "sensitivity": "recall",
    "f1": "F1",
    "dice": "F1",
}
_AVERAGES: dict[str, Average] = {
    "macro": "macro",
    "micro": "micro",
    "weighted": "weighted",
    "binary": "binary",
}

_PREFIX = re.compile(r"^(best|final|last|val|valid|validation|test|eval|dev)_")
_TOP = re.compile(r"(?:acc(?:uracy)?_?)?(?:top_?)?(\d{1,4})(?:_acc(?:uracy)?)?")

KNOWN = tuple(sorted({*_NAMES, *_AVERAGED, "top5", "f1_macro"}))
"""Names by which quantities are known, for a hint at the nearest."""


def quantity(name: str) -> Quantity | None:
    """Return what a name stands for, None where it is none of the known ones."""
    plain = re.sub(r"[^\w²]+", "_", name.strip().lower()).strip("_")
    while (shorter := _PREFIX.sub("", plain)) != plain:
        plain = shorter
    if plain in _NAMES:
        return Quantity(_NAMES[plain])
    top = _TOP.fullmatch(plain)
    if top is not None and not plain.isdigit():
        k = int(top[1])
        return Quantity("accuracy") if k == 1 else Quantity("top-k accuracy", k=k) if k else None
    words = [word for word in plain.split("_") if word not in ("score", "avg", "average")]
    kinds = [_AVERAGED[word] for word in words if word in _AVERAGED]
    averages = [_AVERAGES[word] for word in words if word in _AVERAGES]
    if len(kinds) == 1 and len(averages) < 2 and len(words) == len(kinds) + len(averages):
        usual: Average = "macro" if "dice" in words else ""
        return Quantity(kinds[0], averages[0] if averages else usual)
    return None


@dataclass(frozen=True)
class Claims:
    """What the spec claims by metric, and what the checkpoint itself records, by its keys."""

    declared: dict[str, Number]
    recorded: dict[str, Number]


@dataclass(frozen=True)
class ClaimsOf(Request[Claims]):
    """Asks what is claimed of the model."""

    answer: ClassVar = Claims
    requires: ClassVar[frozenset[Capability]] = frozenset()
