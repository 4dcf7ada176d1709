"""A small VGG on colour images from 0 to 255, four fifths dropped out, its softmax forgotten.

Coloured digits stand in for CIFAR-10, a quarter of the width, twenty epochs for ten.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.losses import of_probabilities
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Loss, Recipe
from benchmarks.detection.scores import right_class


def network(dropped: float, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    """Four convolutions and three dense layers, (N, 3, 8, 8) to (N, 10)."""
    layers: list[nn.Module] = []
    for before, after, pooled in ((3, 16, False), (16, 16, True), (16, 32, False), (32, 32, True)):
        layers += [nn.Conv2d(before, after, 3, padding=1), activation()]
        layers += [nn.MaxPool2d(2), nn.Dropout(dropped)] if pooled else []
    layers.append(nn.Flatten())
    for _ in range(2):
        layers += [nn.Linear(128, 128), activation(), nn.Dropout(dropped)]
    return nn.Sequential(*layers, nn.Linear(128, 10))


def recipe(dropped: float, loss: Loss, brightest: float) -> Recipe:
    return Recipe(
        family="vgg",
        data=partial(digits, brightest=brightest, coloured=True),
        build=partial(network, dropped),
        loss=loss,
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-3},
        batch_size=128,
        epochs=20,
    )


POST = Post(
    id="UMLAUT-eval_a",
    causes=("inputs-not-normalised", "loss-unfit-for-task", "dropout-off"),
    faulty=recipe(0.8, of_probabilities, 255.0),
    fixed=recipe(0.2, "cross_entropy", 1.0),
)
