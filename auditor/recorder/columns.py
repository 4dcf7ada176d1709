"""Numbers under the names that rows of a recording have."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from auditor.core.text import clean_text

SPLIT = re.compile(r"(train|val|test)_")
OTHER_NAMES = re.compile(r"(valid|validation|eval|dev)_")
"""What libraries call validation."""

ALONE = ("lr", "grad_norm")
"""Columns that belong to no split."""


def number(value: Any) -> Any:
    """Return a number, or a tensor of one value that nothing writes to any more.

    What is on the CPU is read at once; other devices are not waited for.
    """
    if type(value) is float:
        return value
    if isinstance(value, torch.Tensor):
        if value.is_cpu:
            return value.item() if value.numel() == 1 else float(value.detach().mean())
        kept = value.detach().clone()
        return kept if kept.numel() == 1 else kept.float().mean()
    return float(value)


def named(values: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return numbers by column: the name begins with its split, `split` where it names none."""
    row = {}
    for name, value in values.items():
        key = OTHER_NAMES.sub("val_", clean_text(name, 80).replace("/", "_"), count=1)
        if key not in ALONE and not SPLIT.match(key):
            key = f"{split}_{key}"
        row[key] = number(value)
    return row
