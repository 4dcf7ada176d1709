"""Two classes in columns of whole numbers: squared error of a softmax, and no batch norm.

The answer puts a batch norm in front, where the columns come in as they are, and ends in a sigmoid
under binary cross-entropy. 400 made rows stand for those of the post, of which ten are shown.
"""

import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.nn import functional

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share

SCALES = (1.0, 10.0, 50.0, 100.0)


def columns(seed: int, one_hot: bool) -> Data:
    """400 rows of 16 whole numbers, from ones to hundreds, and two classes."""
    values, classes = make_classification(
        n_samples=400,
        n_features=16,
        n_informative=8,
        n_redundant=4,
        class_sep=1.5,
        shift=4.0,
        scale=SCALES * 4,
        random_state=seed,
    )
    target = torch.tensor(classes)
    target = functional.one_hot(target) if one_hot else target[:, None]
    return split(Examples(torch.tensor(values).round().float(), target.float()), seed)


def hidden() -> tuple[nn.Module, ...]:
    return (
        *(nn.Linear(16, 64), nn.Tanh(), nn.Dropout(0.5)),
        *(nn.Linear(64, 64), nn.Tanh(), nn.Dropout(0.5)),
    )


SGD = {"name": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}

POST = Post(
    id="SO-34673164",
    causes=("loss-unfit-for-task", "inputs-not-normalised"),
    faulty=Recipe(
        family="mlp",
        data=lambda seed: columns(seed, one_hot=True),
        build=lambda: nn.Sequential(*hidden(), nn.Linear(64, 2), nn.Softmax(dim=1)),
        loss="mse_loss",
        score=right_share,
        optimizer=SGD,
        epochs=20,
        batch_size=16,
    ),
    fixed=Recipe(
        family="mlp",
        data=lambda seed: columns(seed, one_hot=False),
        build=lambda: nn.Sequential(nn.BatchNorm1d(16), *hidden(), nn.Linear(64, 1), nn.Sigmoid()),
        loss="binary_cross_entropy",
        score=right_share,
        optimizer=SGD,
        epochs=20,
        batch_size=16,
    ),
)
