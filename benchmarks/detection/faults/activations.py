"""Activations that are missing, one too many, or of the wrong kind."""

from torch import nn

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.surgery import altered, exchange


@fault("model", causes=("linear-only",), families=("digits_mlp", "multilabel_mlp", "unet"))
def no_activation(recipe: Recipe, seed: int) -> Planted:
    def remove(model: nn.Module) -> None:
        exchange(model, nn.ReLU, lambda _: nn.Identity())

    return Planted(altered(recipe, remove), places=("body.", "down", "deep", "up", "head"))


@fault("model", causes=("activation-off",), families=("digits_mlp", "plain_cnn", "unet"))
def sigmoid_behind_each_activation(recipe: Recipe, seed: int) -> Planted:
    def add(model: nn.Module) -> None:
        exchange(model, nn.ReLU, lambda relu: nn.Sequential(relu, nn.Sigmoid()))

    return Planted(altered(recipe, add), places=("body.", "features.", "down", "deep", "up"))


@fault("model", causes=("activation-off",), families=("multilabel_mlp", "autoencoder"))
def softmax_in_hidden_layers(recipe: Recipe, seed: int) -> Planted:
    def squash(model: nn.Module) -> None:
        exchange(model, nn.ReLU, lambda _: nn.Softmax(dim=1))

    return Planted(altered(recipe, squash), places=("body.", "coder."))
