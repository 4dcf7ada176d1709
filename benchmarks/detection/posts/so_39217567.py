"""A stack of sigmoids that is to learn by heart which of 256 bytes belongs to which.

Hidden layers are wider and the rate is higher than torch's and the post's own: with 8 units and
0.01 no variant learns anything. The bits are read with a little noise, drawn anew for validation,
since there is nothing else to be judged by and no validation row may stand in training.
"""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share

NOISE = 0.05


def bytes_by_heart(seed: int) -> Data:
    """256 rows of 8 bits, and for each another of these rows."""
    generator = torch.Generator().manual_seed(seed)
    bits = (torch.arange(256)[:, None] >> torch.arange(8) & 1).float()
    target = bits[torch.randperm(256, generator=generator)]
    train, val = (
        Examples(bits + NOISE * torch.randn(bits.shape, generator=generator), target)
        for _ in range(2)
    )
    return Data(train, val)


def recipe(hidden: type[nn.Module]) -> Recipe:
    return Recipe(
        family="mlp",
        data=bytes_by_heart,
        build=lambda: nn.Sequential(
            nn.Linear(8, 256),
            hidden(),
            nn.Linear(256, 256),
            hidden(),
            nn.Linear(256, 8),
            nn.Sigmoid(),
        ),
        loss="mse_loss",
        score=right_share,
        optimizer={"name": "SGD", "lr": 1.0, "momentum": 0.9},
        epochs=200,
        batch_size=50,
    )


POST = Post(
    id="SO-39217567",
    causes=("vanishing-gradients", "saturated-units"),
    faulty=recipe(nn.Sigmoid),
    fixed=recipe(nn.ReLU),
)
