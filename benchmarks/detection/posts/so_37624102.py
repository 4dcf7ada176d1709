"""A convolutional network that tells two kinds of small image apart, at ten times its rate.

Threes and eights of scikit-learn's digits, at twice their size, stand for the post's black and
white squares, each of which is the same image a hundred times over.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def threes_and_eights(seed: int) -> Data:
    """357 images of one channel, 16 by 16, in 0 to 1."""
    digits = load_digits()
    chosen = (digits.target == 3) | (digits.target == 8)
    images = torch.tensor(digits.images[chosen] / 16, dtype=torch.float32)[:, None]
    images = functional.interpolate(images, size=(16, 16), mode="bilinear")
    return split(Examples(images, torch.tensor(digits.target[chosen] == 8).long()), seed)


def recipe(rate: float) -> Recipe:
    return Recipe(
        family="cnn",
        data=threes_and_eights,
        build=lambda: nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(1152, 128), nn.ReLU(), nn.Linear(128, 2)),
        ),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": rate, "momentum": 0.9, "nesterov": True},
        epochs=12,
        batch_size=32,
    )


POST = Post(
    id="SO-37624102",
    causes=("learning-rate-too-high",),
    faulty=recipe(rate=0.1),
    fixed=recipe(rate=0.01),
    places=("lr",),
)
