"""Dropout as torch's functions show it, whoever calls them: a module, or a model's own forward."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

DROPOUTS = frozenset(
    {
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
        torch.dropout,
        torch.dropout_,
    }
)

MASKS = frozenset(
    {torch.bernoulli, torch.rand, torch.rand_like, torch.Tensor.bernoulli, torch.Tensor.bernoulli_}
)
"""Functions that masks of the user's own are drawn with."""

HOMES = (nn.modules.dropout._DropoutNd, nn.RNNBase, nn.MultiheadAttention)
"""Modules that drop by themselves, and are named instead of the function that they call."""


def dropped(function: Any, inputs: tuple[Any, ...]) -> float | None:
    """Return the share that a call drops, NaN of a mask drawn; None where it drops nothing.

    `inputs` are those by place and then those by name, as an observer is shown them.
    """
    if function in MASKS:
        return math.nan
    if function not in DROPOUTS:
        return None
    flags = [value for value in inputs[1:] if isinstance(value, bool)]
    shares = [v for v in inputs[1:] if isinstance(v, int | float) and not isinstance(v, bool)]
    share = float(shares[0]) if shares else 0.5
    return share if share > 0 and (not flags or flags[0]) else None


def dropped_inside(module: nn.Module) -> float | None:
    """Return the share that a recurrent or attention layer drops in training; None where none."""
    share = 0.0
    if isinstance(module, nn.MultiheadAttention) or (
        isinstance(module, nn.RNNBase) and module.num_layers > 1
    ):
        share = float(module.dropout)
    return share if share > 0 and module.training else None
