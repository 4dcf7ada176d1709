"""Training images drawn at random by four workers that share one seed: each comes four times.

Digits shifted at random are what is drawn. The split holds what the workers hand over, so that one
process shows it.
"""

from functools import partial

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class

WORKERS, DRAWN = 4, 1024


def drawn(seed: int, one_seed: bool) -> Data:
    """1,024 digits to learn from, shifted by up to a pixel each way."""
    data = digits(seed)
    inputs, target = [], []
    for worker in range(WORKERS):
        draw = torch.Generator().manual_seed(seed if one_seed else WORKERS * seed + worker)
        rows = torch.randint(len(data.train), (DRAWN // WORKERS,), generator=draw)
        shifts = torch.randint(-1, 2, (len(rows), 2), generator=draw)
        for row, (down, right) in zip(rows.tolist(), shifts.tolist(), strict=True):
            inputs.append(data.train.tensor[row].roll((down, right), (1, 2)))
        target.append(data.train.target[rows])
    return Data(Examples(torch.stack(inputs), torch.cat(target)), data.val)


def network() -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))


def recipe(one_seed: bool) -> Recipe:
    return Recipe(
        family="cnn",
        data=partial(drawn, one_seed=one_seed),
        build=network,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=15,
    )


POST = Post(
    id="TC-SO-67180955",
    causes=("repeated-examples",),
    faulty=recipe(one_seed=True),
    fixed=recipe(one_seed=False),
)
