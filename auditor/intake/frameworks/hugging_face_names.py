"""Weights of transformers' models under the names of today: releases rename and join tensors."""

import copy
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.intake.reference import blame


def of_today(
    kind: Any, config: Any, built: nn.Module, weights: Mapping[str, torch.Tensor], shown: str
) -> dict[str, torch.Tensor] | None:
    """Return a checkpoint's weights under the names that its model has, None where they have them.

    `built` is a model without memory. What transformers finds missing is left out, and what it
    finds unexpected or of another shape is kept, so that it is told like that of any checkpoint.

    Raises:
        InputError: transformers can't take the weights.
    """
    wanted = built.state_dict()
    if weights.keys() <= wanted.keys():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded, told = kind.from_pretrained(
                None,
                config=copy.deepcopy(config),
                state_dict=dict(weights),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{shown}: transformers can't take the weights: {blame(error)}") from error
    strangers = wanted.keys() - weights.keys()
    if strangers and told["missing_keys"] >= strangers:
        return None  # Nothing was renamed: the names tell what does not fit.
    named = {k: v for k, v in loaded.state_dict().items() if k not in told["missing_keys"]}
    named |= {name: weights[name] for name in told["unexpected_keys"] if name in weights}
    for name, shape, _ in told["mismatched_keys"]:
        named[name] = torch.empty(shape, device="meta")
    return named
