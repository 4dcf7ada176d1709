"""A regression on one feature that ends in a softmax over its one unit, which is always 1.

The rate of both optimizers is ten times their own: 2,000 rows in batches of 200 are few steps.
"""

from dataclasses import replace

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near


def measured(seed: int) -> Data:
    """1,000 values of a feature, and a share that rises with it, a little noisy."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1000, 1, generator=generator)
    y = torch.sigmoid(2 * x) + 0.05 * torch.randn(x.shape, generator=generator)
    return split(Examples(x, y), seed)


FIXED = Recipe(
    family="mlp",
    data=measured,
    build=lambda: nn.Sequential(nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 1)),
    loss="mse_loss",
    score=near,
    optimizer={"name": "Adam", "lr": 5e-2},
    epochs=100,
    batch_size=200,
)

POST = Post(
    id="SO-45442843",
    causes=("loss-unfit-for-task",),
    faulty=replace(
        FIXED,
        build=lambda: nn.Sequential(
            nn.Linear(1, 1), nn.Sigmoid(), nn.Linear(1, 1), nn.Softmax(dim=1)
        ),
        loss="l1_loss",
        optimizer={"name": "RMSprop", "lr": 5e-2},
    ),
    fixed=FIXED,
)
