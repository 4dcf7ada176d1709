"""How good a model's answer to each example is: the metric by which a mutant is killed."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

KILLED_AT = 0.05


def right_class(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the share of right answers of each example, (N,); logits (N, C) or (N, C, ...)."""
    return (
        (outputs.argmax(1) == target).float().flatten(1).mean(1)
        if target.ndim > 1
        else (outputs.argmax(1) == target).float()
    )


def right_token(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return minus the cross-entropy of each sequence in nats a token, (N,); logits (N, T, C)."""
    losses = torch.nn.functional.cross_entropy(outputs.mT, target, reduction="none")
    counted = (target != -100).sum(1).clamp_min(1)
    return -losses.sum(1) / counted


def right_labels(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the share of right labels of each example, (N,); logits (N, L)."""
    return ((outputs > 0).float() == target).float().flatten(1).mean(1)


def right_share(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the share of right labels of each example, (N,); probabilities (N, L)."""
    return ((outputs > 0.5).float() == target).float().flatten(1).mean(1)


def near(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return minus the squared error of each example, (N,), means over its dimensions."""
    return -((outputs.flatten(1) - target.flatten(1)) ** 2).mean(1)


def killed(mutant: np.ndarray, twin: np.ndarray) -> bool:
    """Tell whether the mutant does significantly worse than its twin, one-sided at 5 %.

    Example by example where both answered the same ones (Wilcoxon's signed-rank test), else over
    all (Mann and Whitney's). An answer that is no number is worse than any.
    """
    worst = np.finfo(np.float64).min
    mutant = np.nan_to_num(mutant.astype(np.float64), nan=worst, neginf=worst)
    twin = np.nan_to_num(twin.astype(np.float64), nan=worst, neginf=worst)
    if len(mutant) != len(twin):
        return bool(stats.mannwhitneyu(mutant, twin, alternative="less").pvalue < KILLED_AT)
    if np.array_equal(mutant, twin):
        return False
    found = stats.wilcoxon(mutant, twin, alternative="less", method="approx")
    return bool(found.pvalue < KILLED_AT)
