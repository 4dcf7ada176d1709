"""What a recorder asks of the run around it: which process it is, and what wraps the optimizer."""

import os
from typing import Any

import torch


def first_process() -> bool:
    """Tell whether this is the process that records: the first of those that train together."""
    if together() > 1:
        return torch.distributed.get_rank() == 0
    return os.environ.get("RANK", "0") in ("0", "")


def together() -> int:
    """Return how many processes train together, as far as they know of each other."""
    known = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if known else 1


def inner_optimizer(optimizer: Any) -> Any:
    """Return the optimizer inside what Lightning or Accelerate wraps around it."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


def resumed(optimizer: Any) -> bool:
    """Tell whether an optimizer has made steps already, as one that was loaded."""
    return bool(getattr(optimizer, "state", None))
