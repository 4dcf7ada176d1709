"""Losses, and the last activations before them, that do not fit what is to be learnt."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import Score, near, right_share

UNFIT = ("loss-unfit-for-task",)


class Ended(nn.Module):
    """A model with one more layer behind it."""

    def __init__(self, body: nn.Module, end: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.end = end

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.end(self.body(*inputs))
        return outputs


class ByFunction(nn.Module):
    """A model that calls a function on what it puts out, so that no layer shows it."""

    def __init__(self, body: nn.Module, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = body
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(self.body(*inputs))


def _ended(recipe: Recipe, end: Callable[[], nn.Module], score: Score | None = None) -> Planted:
    """Return the recipe with another layer at the end of the model."""
    changed = replace(
        recipe, build=lambda: Ended(recipe.build(), end()), score=score or recipe.score
    )
    return Planted(changed, places=("end", "loss"))


def _with_loss(recipe: Recipe, loss: Any, score: Score | None = None) -> Planted:
    return Planted(replace(recipe, loss=loss, score=score or recipe.score), places=("loss",))


@fault("loss", UNFIT, ("digits_mlp", "plain_cnn"))
def softmax_twice(recipe: Recipe, seed: int) -> Planted:
    """A softmax ends the model, and the cross-entropy takes another one."""
    return _ended(recipe, lambda: nn.Softmax(dim=1))


@fault("loss", UNFIT, ("digits_mlp",))
def softmax_function_twice(recipe: Recipe, seed: int) -> Planted:
    """The forward calls softmax as a function on what the cross-entropy takes for logits."""

    def build() -> nn.Module:
        return ByFunction(recipe.build(), lambda logits: logits.softmax(dim=1))

    return Planted(replace(recipe, build=build), places=("loss",))


@fault("loss", UNFIT, ("digits_mlp", "plain_cnn", "row_lstm"))
def relu_on_logits(recipe: Recipe, seed: int) -> Planted:
    """Logits of a classifier go through one more ReLU."""
    return _ended(recipe, nn.ReLU)


@fault(
    "loss",
    UNFIT,
    ("digits_mlp", "name_gru"),
    hides="logits between 0 and 1 make a model unsure of right answers, not wrong",
)
def sigmoid_on_logits(recipe: Recipe, seed: int) -> Planted:
    """Logits of a classifier go through a sigmoid."""
    return _ended(recipe, nn.Sigmoid)


@fault("loss", UNFIT, ("cancer_mlp", "multilabel_mlp"))
def sigmoid_twice(recipe: Recipe, seed: int) -> Planted:
    """A sigmoid ends the model, and the loss takes another one."""
    return _ended(recipe, nn.Sigmoid, right_share)


@fault("loss", UNFIT, ("diabetes_mlp", "autoencoder"))
def sigmoid_on_numbers(recipe: Recipe, seed: int) -> Planted:
    """A sigmoid ends a regression, whose targets go beyond 0 and 1."""
    return _ended(recipe, nn.Sigmoid)


@fault("loss", UNFIT, ("diabetes_mlp", "autoencoder"))
def relu_on_numbers(recipe: Recipe, seed: int) -> Planted:
    """A ReLU ends a regression, half of whose targets are negative."""
    return _ended(recipe, nn.ReLU)


@fault("loss", UNFIT, ("digits_mlp", "name_gru", "plain_cnn"))
def nll_of_logits(recipe: Recipe, seed: int) -> Planted:
    """The negative log-likelihood is given logits for log-probabilities."""
    return _with_loss(recipe, "nll_loss")


def _one_hot(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(target, outputs.shape[1]).to(outputs.dtype)


def squared_error_of_classes(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error of probabilities and one-hot classes."""
    return functional.mse_loss(outputs.softmax(dim=1), _one_hot(outputs, target))


def absolute_error_of_classes(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Absolute error of probabilities and one-hot classes."""
    return functional.l1_loss(outputs.softmax(dim=1), _one_hot(outputs, target))


@fault("loss", UNFIT, ("digits_mlp",))
def mse_on_classes(recipe: Recipe, seed: int) -> Planted:
    """The squared error of probabilities trains a classifier."""
    return _with_loss(recipe, squared_error_of_classes)


@fault("loss", UNFIT, ("digits_mlp", "row_lstm", "plain_cnn"))
def l1_on_classes(recipe: Recipe, seed: int) -> Planted:
    """The absolute error of probabilities trains a classifier."""
    return _with_loss(recipe, absolute_error_of_classes)


def class_number_error(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error of one output and the number of the class."""
    return functional.mse_loss(outputs[:, 0], target.to(outputs.dtype))


@fault("loss", UNFIT, ("wine_mlp", "digits_mlp"))
def mse_on_class_numbers(recipe: Recipe, seed: int) -> Planted:
    """The first logit is made to be the number of the class."""
    return _with_loss(recipe, class_number_error)


@fault("loss", UNFIT, ("multilabel_mlp",))
def cross_entropy_of_labels(recipe: Recipe, seed: int) -> Planted:
    """Labels that do not exclude one another are learnt by a cross-entropy over all of them."""
    return _with_loss(recipe, "cross_entropy")


@fault("loss", UNFIT, ("cancer_mlp",))
def cross_entropy_of_one_logit(recipe: Recipe, seed: int) -> Planted:
    """A cross-entropy over one output is always zero."""
    return _with_loss(recipe, "cross_entropy")


@fault("loss", UNFIT, ("cancer_mlp", "multilabel_mlp"))
def mse_on_labels(recipe: Recipe, seed: int) -> Planted:
    """Outputs are drawn to the labels 0 and 1 by a squared error."""
    return _with_loss(recipe, "mse_loss", right_share)


def squared_error_of_all(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Squared error of outputs (N, 1) and targets (N,): each target for each output."""
    return ((outputs - target) ** 2).mean()


@fault("loss", UNFIT, ("diabetes_mlp",))
def targets_broadcast(recipe: Recipe, seed: int) -> Planted:
    """Targets lack a dimension, so that each output is set against every target."""

    def flat(examples: Examples) -> Examples:
        return Examples(examples.inputs, examples.target[:, 0])

    def data(seed: int) -> Data:
        found = recipe.data(seed)
        return Data(flat(found.train), flat(found.val))

    changed = replace(
        recipe,
        data=data,
        loss=squared_error_of_all,
        score=lambda outputs, target: near(outputs, target[:, None]),
    )
    return Planted(changed, places=("loss",))


def by_rows(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits (N, C, ...) reshaped, not permuted, to rows of C."""
    return functional.cross_entropy(outputs.reshape(-1, outputs.shape[1]), target.reshape(-1))


def by_view(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of logits (N, T, C) viewed, not transposed, as (N, C, T)."""
    count, steps, classes = outputs.shape
    return functional.cross_entropy(outputs.reshape(count, classes, steps), target)


@fault("loss", UNFIT, ("unet", "decoder"))
def logits_viewed(recipe: Recipe, seed: int) -> Planted:
    """Logits are brought to the layout of the loss by a view, which mixes places and classes."""
    return _with_loss(recipe, by_rows if recipe.family == "unet" else by_view)


def summed_cross_entropy(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, summed over the batch."""
    return functional.cross_entropy(outputs, target, reduction="sum")


@fault("loss", ("loss-summed",), ("digits_mlp", "norm_cnn"))
def loss_summed(recipe: Recipe, seed: int) -> Planted:
    """The loss is summed over the batch, at the rate that suited the mean."""
    return _with_loss(recipe, summed_cross_entropy)


def heavy_penalty(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The squared size of the outputs, weighted by 100."""
    return 100 * (outputs**2).mean()


@fault("loss", ("loss-terms-off-scale",), ("wine_mlp", "plain_cnn", "autoencoder", "name_gru"))
def term_off_scale(recipe: Recipe, seed: int) -> Planted:
    """A penalty on the size of the outputs weighs a hundred times what it should."""
    loss = {"fit": recipe.loss, "penalty": heavy_penalty}
    return Planted(replace(recipe, loss=loss), places=("loss.penalty", "loss.fit"))
