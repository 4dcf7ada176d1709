"""The module inside what torch wraps around it for several devices, or for its compiler."""

from typing import Any

from torch import nn


def bare(model: nn.Module) -> nn.Module:
    """Return the module that stands inside wrappers of torch's; layers have their names there."""
    inner: Any = model
    while True:
        if isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = inner.module
        elif type(inner).__name__ == "OptimizedModule" and hasattr(inner, "_orig_mod"):
            inner = inner._orig_mod
        else:
            break
    found: nn.Module = inner
    return found
