"""Learning rates, batch sizes and lengths of training that no one would have chosen."""

from dataclasses import replace

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe

RATE = ("lr", "learning rate")
"""How checks name the rate: as a setting, and in the note on another one."""


def _times(recipe: Recipe, factor: float) -> Planted:
    rate = recipe.optimizer["lr"] * factor
    return Planted(replace(recipe, optimizer={**recipe.optimizer, "lr": rate}), places=RATE)


@fault("training", causes=("learning-rate-too-low",), families=("wine_mlp", "cancer_mlp"))
def rate_a_thousandth(recipe: Recipe, seed: int) -> Planted:
    return _times(recipe, 1e-3)


@fault(
    "training",
    causes=("learning-rate-too-low",),
    families=("row_lstm", "plain_cnn", "multilabel_mlp"),
)
def rate_a_hundredth(recipe: Recipe, seed: int) -> Planted:
    return _times(recipe, 1e-2)


@fault(
    "training",
    causes=("learning-rate-too-low", "stopped-too-early"),
    families=("wine_mlp", "name_gru"),
)
def rate_a_tenth(recipe: Recipe, seed: int) -> Planted:
    """Still a usual rate, at which training takes ten times the epochs that it was given."""
    planted = _times(recipe, 0.1)
    return replace(planted, places=(*RATE, "training.epochs"))


@fault(
    "training",
    causes=("learning-rate-too-high",),
    families=("row_lstm", "row_transformer", "autoencoder"),
)
def rate_times_ten(recipe: Recipe, seed: int) -> Planted:
    return _times(recipe, 10)


@fault(
    "training",
    causes=("learning-rate-too-high",),
    families=("digits_mlp", "name_gru", "plain_cnn"),
)
def rate_times_a_hundred(recipe: Recipe, seed: int) -> Planted:
    return _times(recipe, 100)


@fault("training", causes=("learning-rate-too-high",), families=("cancer_mlp", "multilabel_mlp"))
def rate_times_a_thousand(recipe: Recipe, seed: int) -> Planted:
    return _times(recipe, 1e3)


def _batches_of(recipe: Recipe, size: int) -> Recipe:
    return replace(recipe, batch_size=size)


TINY = {"digits_mlp": 2}


@fault("training", causes=("batch-size-off",), families=("diabetes_mlp", "digits_mlp"))
def tiny_batches(recipe: Recipe, seed: int) -> Planted:
    """Batches of one or two examples at the rate that suits 32."""
    return Planted(_batches_of(recipe, TINY.get(recipe.family, 1)), places=("batch_size",))


@fault(
    "training",
    causes=("batch-size-off", "stopped-too-early"),
    families=("diabetes_mlp", "digits_mlp"),
)
def batch_of_everything(recipe: Recipe, seed: int) -> Planted:
    """One step an epoch, and no more epochs than before."""
    size = len(recipe.data(seed).train)
    return Planted(_batches_of(recipe, size), places=("batch_size", "epochs"))


@fault(
    "training",
    causes=("stopped-too-early",),
    families=("wine_mlp", "diabetes_mlp", "row_lstm", "decoder"),
)
def one_epoch(recipe: Recipe, seed: int) -> Planted:
    return Planted(replace(recipe, epochs=1), places=("training.epochs",))


@fault(
    "training",
    causes=("batch-norm-misused", "batch-size-off"),
    families=("norm_cnn", "residual_cnn"),
)
def batch_norm_over_two(recipe: Recipe, seed: int) -> Planted:
    """Batch norm sees two examples at a time."""
    return Planted(_batches_of(recipe, 2), places=("batch_size", "norm", "features", "stem"))
