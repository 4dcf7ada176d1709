"""Data that no model could learn well from."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near

TABLES: dict[str, Callable[[], Any]] = {
    "wine_mlp": lambda: load_wine().data,
    "cancer_mlp": lambda: load_breast_cancer().data,
    "diabetes_mlp": lambda: load_diabetes(scaled=False).data,
}

Change = Callable[[Data, torch.Generator], Data]


def _over(recipe: Recipe, change: Change) -> Recipe:
    """Return a recipe with its data changed, at random by the seed of the data."""

    def changed(seed: int) -> Data:
        return change(recipe.data(seed), torch.Generator().manual_seed(1000 + seed))

    return replace(recipe, data=changed)


def _both(change: Callable[[Examples], Examples]) -> Change:
    return lambda data, _: Data(change(data.train), change(data.val))


def _train(change: Callable[[Examples, torch.Generator], Examples]) -> Change:
    return lambda data, generator: Data(change(data.train, generator), data.val)


def _mislabelled(share: float) -> Callable[[Examples, torch.Generator], Examples]:
    """Give a share of the examples another label, drawn from the others (DeepCrime's TCL)."""

    def changed(examples: Examples, generator: torch.Generator) -> Examples:
        labels = examples.target
        wrong = torch.rand(labels.shape, generator=generator) < share
        if labels.is_floating_point():
            return Examples(examples.inputs, torch.where(wrong, 1 - labels, labels))
        classes = int(labels.max()) + 1
        step = torch.randint(1, classes, labels.shape, generator=generator)
        return Examples(examples.inputs, torch.where(wrong, (labels + step) % classes, labels))

    return changed


@fault("data", ("suspicious-labels",), ("cancer_mlp", "digits_mlp", "name_gru"))
def labels_a_third_wrong(recipe: Recipe, seed: int) -> Planted:
    """Three in ten of all labels are wrong, in validation too."""
    wrong = _mislabelled(0.3)
    return Planted(
        _over(recipe, lambda data, g: Data(wrong(data.train, g), wrong(data.val, g))),
    )


@fault("data", ("suspicious-labels",), ("plain_cnn", "row_lstm", "name_gru"))
def labels_mostly_wrong(recipe: Recipe, seed: int) -> Planted:
    """Six in ten labels of the training data are wrong."""
    return Planted(_over(recipe, _train(_mislabelled(0.6))))


@fault("data", ("suspicious-labels", "targets-unrelated"), ("digits_mlp", "diabetes_mlp"))
def pairs_torn(recipe: Recipe, seed: int) -> Planted:
    """Inputs and targets of the training data were shuffled apart."""

    def torn(examples: Examples, generator: torch.Generator) -> Examples:
        order = torch.randperm(len(examples), generator=generator)
        return Examples(examples.inputs, examples.target[order])

    return Planted(_over(recipe, _train(torn)))


def _thinned(classes: tuple[int, ...], share: float) -> Change:
    """Keep a share of the training examples of some classes."""

    def kept(examples: Examples, generator: torch.Generator) -> Examples:
        labels = examples.target.flatten(1)[:, 0] if examples.target.ndim > 1 else examples.target
        thin = torch.isin(labels, torch.tensor(classes, dtype=labels.dtype))
        chosen = ~thin | (torch.rand(len(labels), generator=generator) < share)
        return examples.rows(chosen.nonzero()[:, 0])

    return _train(kept)


@fault("data", ("class-imbalance", "classes-missing"), ("wine_mlp", "plain_cnn", "name_gru"))
def class_deleted(recipe: Recipe, seed: int) -> Planted:
    """One class is missing from the training data."""
    return Planted(_over(recipe, _thinned((1,), 0.0)), places=("class 1",))


@fault("data", ("class-imbalance",), ("norm_cnn", "row_lstm", "digits_mlp"))
def classes_thinned(recipe: Recipe, seed: int) -> Planted:
    """Training data keeps one in thirty examples of some classes."""
    few = (1, 4, 7)
    return Planted(
        _over(recipe, _thinned(few, 1 / 30)), places=tuple(f"class {label}" for label in few)
    )


@fault("data", ("suspicious-labels",), ("digits_mlp", "plain_cnn", "name_gru"))
def classes_overlap(recipe: Recipe, seed: int) -> Planted:
    """The training examples of a class stand there again as another one (DeepCrime's TCO)."""

    def doubled(examples: Examples, generator: torch.Generator) -> Examples:
        again = examples.rows((examples.target == 0).nonzero()[:, 0])
        return Examples(
            torch.cat([examples.tensor, again.tensor]),
            torch.cat([examples.target, torch.full_like(again.target, 1)]),
        )

    return Planted(_over(recipe, _train(doubled)))


@fault("data", ("inputs-not-normalised",), ("digits_mlp", "row_transformer", "row_lstm"))
def inputs_times_255(recipe: Recipe, seed: int) -> Planted:
    """Pixels are given as bytes, from 0 to 255."""

    def raw(examples: Examples) -> Examples:
        pixels = examples.tensor * 6.017 + 4.884
        return Examples((pixels * 255 / 16).round(), examples.target)

    return Planted(_over(recipe, _both(raw)))


@fault("data", ("inputs-not-normalised",), ("wine_mlp", "cancer_mlp", "diabetes_mlp"))
def features_raw(recipe: Recipe, seed: int) -> Planted:
    """The features of a table stand in the units in which they were measured."""
    table = torch.tensor(TABLES[recipe.family](), dtype=torch.float32)

    def measured(seed: int) -> Data:
        standard, raw = recipe.data(seed), split(Examples(table, table), seed)
        return Data(
            Examples(raw.train.inputs, standard.train.target),
            Examples(raw.val.inputs, standard.val.target),
        )

    return Planted(replace(recipe, data=measured))


@fault("data", ("inputs-not-normalised",), ("wine_mlp", "diabetes_mlp", "multilabel_mlp"))
def one_feature_huge(recipe: Recipe, seed: int) -> Planted:
    """One feature is a thousand times as large as the others."""
    place = 3 if recipe.family != "multilabel_mlp" else 20

    def huge(examples: Examples) -> Examples:
        inputs = examples.tensor.clone()
        inputs[:, place] *= 1000
        return Examples(inputs, examples.target)

    return Planted(_over(recipe, _both(huge)), places=(f"feature {place}",))


@fault("data", ("targets-not-standardised",), ("diabetes_mlp", "autoencoder"))
def targets_raw(recipe: Recipe, seed: int) -> Planted:
    """Targets of a regression stand in units that make them large."""

    def measured(examples: Examples) -> Examples:
        return Examples(examples.inputs, 770 * examples.target + 1500)

    changed = replace(
        _over(recipe, _both(measured)),
        score=lambda outputs, target: near((outputs - 1500) / 770, (target - 1500) / 770),
    )
    return Planted(changed)


@fault(
    "data",
    ("not-shuffled",),
    ("digits_mlp", "plain_cnn", "norm_cnn", "row_lstm", "row_transformer"),
)
def shuffle_missing(recipe: Recipe, seed: int) -> Planted:
    """Training data comes class by class, the same in each epoch."""

    def ordered(examples: Examples, generator: torch.Generator) -> Examples:
        return examples.rows(examples.target.argsort(stable=True))

    return Planted(replace(_over(recipe, _train(ordered)), shuffle=False))


@fault("data", ("not-shuffled",), ("diabetes_mlp",))
def sorted_by_target(recipe: Recipe, seed: int) -> Planted:
    """Training data of a regression comes in the order of its targets."""

    def ordered(examples: Examples, generator: torch.Generator) -> Examples:
        return examples.rows(examples.target[:, 0].argsort(stable=True))

    return Planted(replace(_over(recipe, _train(ordered)), shuffle=False))


@fault(
    "data",
    ("validation-in-training",),
    ("cancer_mlp", "digits_mlp", "diabetes_mlp", "name_gru"),
    hides="a leak makes the score better, not worse",
)
def trained_on_validation(recipe: Recipe, seed: int) -> Planted:
    """Validation examples stand in the training data too."""

    def leaked(data: Data, generator: torch.Generator) -> Data:
        train = Examples(
            torch.cat([data.train.tensor, data.val.tensor]),
            torch.cat([data.train.target, data.val.target]),
        )
        return Data(train, data.val)

    return Planted(_over(recipe, leaked))


@fault("data", ("overfitted",), ("digits_mlp", "residual_cnn", "name_gru"))
def few_examples(recipe: Recipe, seed: int) -> Planted:
    """Sixty training examples, seen as many times as it takes for the steps of the twin."""
    count = 60

    def few(examples: Examples, generator: torch.Generator) -> Examples:
        return examples.rows(torch.randperm(len(examples), generator=generator)[:count])

    whole = len(recipe.data(seed).train)
    epochs = round(recipe.epochs * whole / count)
    return Planted(replace(_over(recipe, _train(few)), epochs=epochs))
