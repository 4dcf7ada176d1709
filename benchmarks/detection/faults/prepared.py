"""Validation inputs that are prepared otherwise than those that the model learnt from."""

from collections.abc import Callable

import torch
from sklearn import datasets

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe, Subject
from benchmarks.detection.zoo.images import DEVIATION, MEAN

OTHERWISE = ("inputs-prepared-differently",)
RESCALED = (*OTHERWISE, "inputs-not-normalised")
"""To say on which scale the checkpoint wants its inputs is to say the same."""


def _validation(recipe: Recipe, change: Callable[[torch.Tensor], torch.Tensor]) -> Planted:
    def after(subject: Subject) -> None:
        subject.data = Data(subject.data.train, subject.data.val.with_inputs(change))

    return Planted(recipe, after=after)


@fault("data", causes=RESCALED, families=("wine_mlp", "cancer_mlp", "norm_cnn", "row_lstm"))
def validation_not_standardised(recipe: Recipe, seed: int) -> Planted:
    """Leave out what the training inputs went through: means and deviations, of each feature."""
    tables = {"wine_mlp": datasets.load_wine, "cancer_mlp": datasets.load_breast_cancer}
    mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
    if recipe.family in tables:
        raw = torch.tensor(tables[recipe.family]().data, dtype=torch.float32)
        mean, deviation = raw.mean(0), raw.std(0)
    return _validation(recipe, lambda inputs: inputs * deviation + mean)


@fault("data", causes=RESCALED, families=("digits_mlp", "residual_cnn", "autoencoder"))
def validation_divided_twice(recipe: Recipe, seed: int) -> Planted:
    """Divide by the greatest brightness once more."""
    return _validation(recipe, lambda inputs: inputs / 16)


@fault("data", causes=OTHERWISE, families=("wine_mlp", "cancer_mlp", "diabetes_mlp"))
def columns_in_another_order(recipe: Recipe, seed: int) -> Planted:
    """Read the features of a table from the last to the first."""
    return _validation(recipe, lambda inputs: inputs.flip(1))


@fault("data", causes=OTHERWISE, families=("plain_cnn", "row_transformer", "unet"))
def images_upside_down(recipe: Recipe, seed: int) -> Planted:
    """Turn images, or sequences of their rows, upside down."""
    axis = 1 if recipe.family.startswith("row") else 2
    if recipe.family == "unet":
        return _turned_with_labels(recipe)
    return _validation(recipe, lambda inputs: inputs.flip(axis))


def _turned_with_labels(recipe: Recipe) -> Planted:
    """Turn the images of a segmentation, and forget to turn their masks."""
    return _validation(recipe, lambda inputs: inputs.flip(2))


@fault("data", causes=OTHERWISE, families=("norm_cnn", "row_lstm", "digits_mlp"))
def axes_swapped(recipe: Recipe, seed: int) -> Planted:
    """Swap the rows and the columns of images."""
    return _validation(recipe, lambda inputs: inputs.reshape(-1, 8, 8).mT.reshape(inputs.shape))


@fault("data", causes=OTHERWISE, families=("plain_cnn", "residual_cnn"))
def brightness_inverted(recipe: Recipe, seed: int) -> Planted:
    """Show black on white what was white on black."""
    return _validation(recipe, lambda inputs: (16 - 2 * MEAN) / DEVIATION - inputs)


@fault("data", causes=OTHERWISE, families=("name_gru", "decoder"))
def tokens_numbered_otherwise(recipe: Recipe, seed: int) -> Planted:
    """Number tokens one higher, as where a vocabulary has gained an entry; 0 stays padding."""

    def shifted(tokens: torch.Tensor) -> torch.Tensor:
        if recipe.family == "name_gru":
            return torch.where(tokens > 0, tokens % 26 + 1, 0)
        return (tokens + 1) % 29

    def after(subject: Subject) -> None:
        val = subject.data.val
        target = shifted(val.target) if recipe.family == "decoder" else val.target
        subject.data = Data(subject.data.train, Examples(shifted(val.tensor), target))

    return Planted(recipe, after=after)


@fault(
    "data",
    causes=("classes-in-another-order",),
    families=("cancer_mlp", "wine_mlp", "plain_cnn", "row_transformer"),
)
def validation_classes_in_another_order(recipe: Recipe, seed: int) -> Planted:
    """Number the classes of the validation data by another list."""

    def after(subject: Subject) -> None:
        val = subject.data.val
        if val.target.is_floating_point():
            target = 1 - val.target
        else:
            order = torch.randperm(
                int(val.target.max()) + 1, generator=torch.Generator().manual_seed(seed)
            ).roll(1)
            target = order[val.target]
        subject.data = Data(subject.data.train, Examples(val.inputs, target))

    return Planted(recipe, after=after)
