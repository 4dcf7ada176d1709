"""Weights that start equal, at zero, or at the wrong size, and layers without a bias."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.surgery import altered

HOLDERS = (nn.Linear, nn.Conv2d, nn.Embedding, nn.GRU, nn.LSTM)


def _started(recipe: Recipe, start: Callable[[torch.Tensor], object]) -> Planted:
    """Start every matrix and filter of a model anew; biases are left as they are."""

    def change(model: nn.Module) -> None:
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, HOLDERS):
                    for weight in module.parameters(recurse=False):
                        if weight.ndim > 1:
                            start(weight)

    return Planted(altered(recipe, change))


@fault("model", causes=("initialisation-off",), families=("wine_mlp", "plain_cnn", "name_gru"))
def constant_initialisation(recipe: Recipe, seed: int) -> Planted:
    return _started(recipe, lambda weight: weight.fill_(0.05))


@fault("model", causes=("initialisation-off",), families=("multilabel_mlp", "autoencoder"))
def zero_initialisation(recipe: Recipe, seed: int) -> Planted:
    return _started(recipe, lambda weight: weight.zero_())


@fault("model", causes=("initialisation-off",), families=("digits_mlp", "plain_cnn", "row_lstm"))
def weights_too_large(recipe: Recipe, seed: int) -> Planted:
    return _started(recipe, lambda weight: weight.normal_())


@fault("model", causes=("initialisation-off",), families=("digits_mlp", "plain_cnn", "wine_mlp"))
def weights_too_small(recipe: Recipe, seed: int) -> Planted:
    return _started(recipe, lambda weight: weight.mul_(0.01))


@fault("model", causes=("bias-missing",), families=("diabetes_mlp", "wine_mlp"))
def no_bias(recipe: Recipe, seed: int) -> Planted:
    def remove(model: nn.Module) -> None:
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_parameter("bias", None)

    return Planted(altered(recipe, remove), places=("body", "head"))
