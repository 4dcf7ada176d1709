"""Two classes from one output unit under a softmax, which is always 1.

The post's data and layers are not recorded: scikit-learn's breast cancers and 16 units stand here.
"""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share


def tumours(seed: int) -> Data:
    """569 tumours, 30 measurements, benign (1) or not."""
    table = load_breast_cancer()
    inputs = torch.tensor(table.data, dtype=torch.float32)
    target = torch.tensor(table.target)[:, None].float()
    return standardised(split(Examples(inputs, target), seed))


def recipe(last: nn.Module) -> Recipe:
    return Recipe(
        family="mlp",
        data=tumours,
        build=lambda: nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), last),
        loss="binary_cross_entropy",
        score=right_share,
        optimizer={"name": "Adam", "lr": 1e-3},
        epochs=30,
        batch_size=32,
    )


POST = Post(
    id="SO-42800203",
    causes=("loss-unfit-for-task",),
    faulty=recipe(nn.Softmax(dim=1)),
    fixed=recipe(nn.Sigmoid()),
)
