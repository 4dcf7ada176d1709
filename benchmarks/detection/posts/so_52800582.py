"""A curve of very large numbers, x to the power of 4 from -100 to 100, fitted as it is."""

from dataclasses import replace

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near

SPREAD = 2.7e7
"""Deviation of the targets: both variants are scored in these."""


def curve(seed: int) -> Data:
    """100 points of the curve."""
    x = torch.arange(-100, 100, 2.0)[:, None]
    return split(Examples(x, x**4), seed)


def scaled(seed: int) -> Data:
    """The same with x and y at mean 0 and deviation 1 over the training points."""
    data = curve(seed)
    x, y = data.train.tensor, data.train.target

    def part(points: Examples) -> Examples:
        return Examples((points.tensor - x.mean()) / x.std(), (points.target - y.mean()) / y.std())

    return Data(part(data.train), part(data.val))


def near_in_deviations(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return near(outputs / SPREAD, target / SPREAD)


def build() -> nn.Module:
    return nn.Sequential(
        nn.Linear(1, 50), nn.Sigmoid(), nn.Linear(50, 50), nn.ELU(), nn.Linear(50, 1)
    )


FIXED = Recipe(
    family="mlp",
    data=scaled,
    build=build,
    loss="mse_loss",
    score=near,
    optimizer={"name": "Adam", "lr": 1e-3},
    epochs=1000,
    batch_size=100,
)

POST = Post(
    id="SO-52800582",
    causes=("inputs-not-normalised", "targets-not-standardised"),
    faulty=replace(FIXED, data=curve, score=near_in_deviations),
    fixed=FIXED,
)
