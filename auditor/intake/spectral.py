"""Spectral norms that no pass in training mode has begun yet."""

import torch
from torch import nn
from torch.nn.utils.spectral_norm import SpectralNorm


@torch.no_grad()
def begun(model: nn.Module) -> nn.Module:
    """Return the model itself, its spectral norms as the first pass in training mode leaves them.

    `torch.nn.utils.spectral_norm` starts its power iteration at random vectors and takes the first
    step in that pass. Evaluation before it divides the weights by a product of chance, close to
    zero. No random number is drawn, and no weight is changed.
    """
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                hook.compute_weight(module, do_power_iteration=True)
    return model
