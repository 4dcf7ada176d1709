"""A sine of raw degrees, fitted by twelve layers in which the gradient is lost.

The answer scales the inputs and takes fewer layers, four here. Widths, optimizer and epochs are not
recorded.
"""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near


def sine(seed: int, scale: float) -> Data:
    """1,000 angles in 0 to 360 degrees, less 180 and divided by it where `scale` is 180."""
    generator = torch.Generator().manual_seed(seed)
    degrees = 360 * torch.rand(1000, 1, generator=generator)
    inputs = (degrees - 180) / scale if scale != 1 else degrees
    return split(Examples(inputs, torch.sin(torch.deg2rad(degrees))), seed)


def layers(number: int) -> nn.Sequential:
    inner = [module for _ in range(number - 2) for module in (nn.Linear(16, 16), nn.Tanh())]
    return nn.Sequential(nn.Linear(1, 16), nn.Tanh(), *inner, nn.Linear(16, 1))


def recipe(number: int, scale: float) -> Recipe:
    return Recipe(
        family="mlp",
        data=lambda seed: sine(seed, scale),
        build=lambda: layers(number),
        loss="mse_loss",
        score=near,
        optimizer={"name": "SGD", "lr": 0.05, "momentum": 0.9},
        epochs=30,
        batch_size=32,
    )


POST = Post(
    id="SO-46995209",
    causes=("inputs-not-normalised", "vanishing-gradients"),
    faulty=recipe(number=12, scale=1.0),
    fixed=recipe(number=4, scale=180.0),
)
