"""Shortcuts around the layers of a model that has none."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd


def around(model: nn.Module) -> list[nn.Module]:
    """Return the layers that a shortcut can lead around: they keep the shape of what they get."""
    return [module for module in model.modules() if _keeps_its_shape(module)]


def put_shortcuts(model: nn.Module) -> None:
    """Let each of n layers put out x + layer(x) / √n, where it keeps the shape of x, in place.

    Scaled so, n layers together change what goes through them about as much as it is large,
    however many they are (De & Smith 2020, "Batch Normalization Biases Residual Blocks Towards the
    Identity Function in Deep Networks").
    """
    layers = around(model)

    def added(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        if not inputs or not isinstance(inputs[0], torch.Tensor):
            return output
        if inputs[0].shape != output.shape:
            return output
        return inputs[0] + output / len(layers) ** 0.5

    for layer in layers:
        layer.register_forward_hook(added)


def _keeps_its_shape(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return module.in_features == module.out_features
    if isinstance(module, _ConvNd):
        return module.in_channels == module.out_channels and not module.transposed
    return False
