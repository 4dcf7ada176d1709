"""A regression that plain gradient descent leaves half done: too low a rate, too few epochs.

The post's table is not recorded; Friedman's first function of ten variables stands here, and 3 and
60 epochs for numbers that are not recorded either.
"""

import torch
from sklearn.datasets import make_friedman1
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near


def friedman(seed: int) -> Data:
    """800 rows of ten variables, five of which matter; targets of about deviation 1."""
    x, y = make_friedman1(800, noise=0.5, random_state=seed)
    target = torch.tensor((y - 14.4) / 4.9, dtype=torch.float32)[:, None]
    return standardised(split(Examples(torch.tensor(x, dtype=torch.float32), target), seed))


def recipe(rate: float, epochs: int) -> Recipe:
    return Recipe(
        family="mlp",
        data=friedman,
        build=lambda: nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1)),
        loss="mse_loss",
        score=near,
        optimizer={"name": "SGD", "lr": rate},
        epochs=epochs,
        batch_size=32,
    )


POST = Post(
    id="SO-44998910",
    causes=("learning-rate-too-low", "stopped-too-early"),
    faulty=recipe(rate=0.01, epochs=3),
    fixed=recipe(rate=0.03, epochs=60),
    places=("lr", "training.epochs"),
)
