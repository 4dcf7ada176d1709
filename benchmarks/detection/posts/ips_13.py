"""A logistic regression on nine raw medical measurements, its weights drawn from N(0, 1).

Nine measurements of tumours, malignant or not, stand in for the heart data.
"""

from collections.abc import Callable
from functools import partial

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def tumours(seed: int) -> Data:
    """569 tumours, 9 measurements of their cells, 2 classes."""
    table = load_breast_cancer()
    inputs = torch.tensor(table.data[:, :9], dtype=torch.float32)
    return split(Examples(inputs, torch.tensor(table.target)), seed)


def scaled_tumours(seed: int) -> Data:
    return standardised(tumours(seed))


def network(deviation: float) -> nn.Module:
    layer = nn.Linear(9, 2)
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)
    return layer


def recipe(data: Callable[[int], Data], deviation: float) -> Recipe:
    return Recipe(
        family="linear",
        data=data,
        build=partial(network, deviation),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.01},
        batch_size=32,
        epochs=60,
    )


POST = Post(
    id="IPS_13",
    causes=("initialisation-off", "inputs-not-normalised"),
    faulty=recipe(tumours, 1.0),
    fixed=recipe(scaled_tumours, (1 / 9) ** 0.5),
)
