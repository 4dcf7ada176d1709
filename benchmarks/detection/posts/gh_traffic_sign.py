"""Traffic signs through a convolution of three 1 by 1 filters, whose ReLUs die.

Signs drawn here stand for the photographs, which are not in the repository: eight kinds, of two
shapes and four colours, in bright and dim light.
"""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class

COLOURS = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.8], [0.8, 0.7, 0.1], [0.1, 0.6, 0.2]])


def signs(seed: int) -> Data:
    """800 images, 3 by 24 by 24, less a half: discs and triangles in four colours."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    kind = torch.randint(8, (800,), generator=generator)
    y, x = (
        axis.float() - uniform(10, 13, 800, 1, 1)
        for axis in torch.meshgrid(*[torch.arange(24)] * 2, indexing="ij")
    )
    radius = uniform(6, 9, 800, 1, 1)
    disc = x**2 + y**2 < radius**2
    triangle = (y < radius / 2) & (y > 1.7 * x.abs() - radius)
    shape = torch.where((kind % 2 == 0)[:, None, None], disc, triangle)[:, None]
    paint, ground = COLOURS[kind // 2][:, :, None, None], uniform(0.2, 0.7, 800, 3, 1, 1)
    light = uniform(0.3, 1.0, 800, 1, 1, 1)
    images = torch.where(shape, paint, ground) * light + uniform(-0.05, 0.05, 800, 3, 24, 24)
    return split(Examples(images - 0.5, kind), seed)


def recipe(unit: type[nn.Module]) -> Recipe:
    return Recipe(
        family="cnn",
        data=signs,
        build=lambda: nn.Sequential(
            *(nn.Conv2d(3, 3, 1), unit()),
            *(nn.Conv2d(3, 16, 5, stride=2), unit()),
            *(nn.Conv2d(16, 32, 3), unit(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(512, 64), unit(), nn.Dropout(0.5), nn.Linear(64, 8)),
        ),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=10,
        batch_size=64,
    )


POST = Post(
    id="GH-Traffic-Sign-e6a48ce",
    causes=("dead-units",),
    faulty=recipe(nn.ReLU),
    fixed=recipe(nn.ELU),
)
