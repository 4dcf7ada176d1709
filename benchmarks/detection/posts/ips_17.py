"""A parabola fitted to four points, whose steps run away because squares are summed."""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Loss, Recipe
from benchmarks.detection.scores import near


class Parabola(nn.Module):
    """A x^2 + B x + C, (N, 1) to (N, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.randn(1)) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a * x**2 + self.b * x + self.c


def points(seed: int) -> Data:
    """Four points of 0.5 x^2 - x + 1 to learn from, and twelve between them to be judged by."""

    def on(x: torch.Tensor) -> Examples:
        return Examples(x.unsqueeze(1), (0.5 * x**2 - x + 1).unsqueeze(1))

    return Data(on(torch.arange(4.0)), on(torch.linspace(0.1, 2.9, 12)))


def summed(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((outputs - target) ** 2).sum()


def recipe(loss: Loss) -> Recipe:
    return Recipe(
        family="polynomial",
        data=points,
        build=Parabola,
        loss=loss,
        score=near,
        optimizer={"name": "SGD", "lr": 0.01},
        batch_size=4,
        epochs=2000,
    )


POST = Post(
    id="IPS_17",
    causes=("loss-summed", "learning-rate-too-high"),
    faulty=recipe(summed),
    fixed=recipe(mse_loss),
)
