"""Two classes, too few hidden units, and RMSprop on one example at a time.

The post's data and layers are not recorded, nor what is wrong with its loss, which stays binary
cross-entropy: two rings stand here, and 2 hidden units of 32. Ten epochs stand for its one.
"""

import torch
from sklearn.datasets import make_circles
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share


def rings(seed: int) -> Data:
    """1,000 points of two rings, one within the other."""
    points, inner = make_circles(1000, noise=0.1, factor=0.5, random_state=seed)
    target = torch.tensor(inner)[:, None].float()
    return standardised(split(Examples(torch.tensor(points).float(), target), seed))


def recipe(units: int, name: str, rate: float, batch_size: int) -> Recipe:
    return Recipe(
        family="mlp",
        data=rings,
        build=lambda: nn.Sequential(
            nn.Linear(2, units), nn.ReLU(), nn.Linear(units, 1), nn.Sigmoid()
        ),
        loss="binary_cross_entropy",
        score=right_share,
        optimizer={"name": name, "lr": rate},
        epochs=5,
        batch_size=batch_size,
    )


POST = Post(
    id="SO-41600519",
    causes=("capacity-off", "batch-size-off", "optimizer-off"),
    faulty=recipe(units=2, name="RMSprop", rate=3e-2, batch_size=1),
    fixed=recipe(units=32, name="Adam", rate=3e-2, batch_size=64),
)
