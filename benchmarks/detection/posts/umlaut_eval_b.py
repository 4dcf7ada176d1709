"""A small VGG without a non-linearity, trained at a rate of -1,000, validated on training rows.

Data, width and epochs are those of UMLAUT-eval_a. Torch takes no negative rate: `maximize=True`
climbs the loss in its place.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from benchmarks.detection.data import Data
from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.posts.umlaut_eval_a import network
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class

coloured = partial(digits, coloured=True)


def first_hundred(seed: int) -> Data:
    train = coloured(seed).train
    return Data(train, train.rows(torch.arange(100)))


def recipe(
    data: Callable[[int], Data], activation: Callable[[], nn.Module], **settings: float
) -> Recipe:
    return Recipe(
        family="vgg",
        data=data,
        build=partial(network, 0.2, activation),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", **settings},
        batch_size=128,
        epochs=20,
    )


POST = Post(
    id="UMLAUT-eval_b",
    causes=(
        "optimizer-off",
        "learning-rate-too-high",
        "validation-in-training",
        "linear-only",
    ),
    faulty=recipe(first_hundred, nn.Identity, lr=1e3, maximize=True),
    fixed=recipe(coloured, nn.ReLU, lr=1e-3),
)
