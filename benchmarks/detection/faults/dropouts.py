"""Dropout that drops too much, in the wrong place, or at the wrong time."""

import torch
from torch import nn
from torch.nn import functional

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.surgery import altered, exchange, named


@fault(
    "model",
    causes=("dropout-off",),
    families=("multilabel_mlp", "plain_cnn", "autoencoder", "row_transformer"),
)
def dropout_too_high(recipe: Recipe, seed: int) -> Planted:
    """Nine values in ten are dropped: the rate was meant as the share to keep."""

    def change(model: nn.Module) -> None:
        if named(model, nn.ReLU):
            exchange(model, nn.ReLU, lambda relu: nn.Sequential(relu, nn.Dropout(0.9)))
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.9

    return Planted(
        altered(recipe, change), places=("body.", "features.", "coder.", "encoder", "dropout")
    )


@fault("model", causes=("dropout-before-batch-norm",), families=("norm_cnn", "residual_cnn"))
def dropout_before_batch_norm(recipe: Recipe, seed: int) -> Planted:
    def change(model: nn.Module) -> None:
        exchange(model, nn.BatchNorm2d, lambda norm: nn.Sequential(nn.Dropout(0.5), norm))

    return Planted(altered(recipe, change), places=("features.", "stem", "blocks."))


class ForeverDropout(nn.Module):
    """Dropout as a function that was never told of evaluation mode."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return functional.dropout(values, 0.5)


@fault("model", causes=("dropout-left-on",), families=("digits_mlp", "unet", "name_gru"))
def dropout_left_on(recipe: Recipe, seed: int) -> Planted:
    def change(model: nn.Module) -> None:
        if named(model, nn.ReLU):
            exchange(model, nn.ReLU, lambda relu: nn.Sequential(relu, ForeverDropout()))
        else:
            exchange(model, nn.Embedding, lambda table: nn.Sequential(table, ForeverDropout()))

    return Planted(altered(recipe, change), places=("body.", "down", "deep", "up", "embedding"))
