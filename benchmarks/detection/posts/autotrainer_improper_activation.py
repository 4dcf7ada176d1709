"""A perceptron on three blobs that ends in a ReLU before a cross-entropy of probabilities.

At seed 0 it does as well as with a softmax.
"""

import torch
from sklearn.datasets import make_blobs
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.losses import of_probabilities
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def blobs(seed: int) -> Data:
    """1,000 points in a plane, in three heaps that touch."""
    points, heap = make_blobs(1000, centers=3, n_features=2, cluster_std=2.0, random_state=2)
    examples = Examples(torch.tensor(points, dtype=torch.float32), torch.tensor(heap))
    return split(examples, seed)


def recipe(last: nn.Module) -> Recipe:
    def network() -> nn.Module:
        hidden: list[nn.Module] = []
        for before in (2, 50, 50, 50):
            hidden += [nn.Linear(before, 50), nn.ReLU()]
        return nn.Sequential(*hidden, nn.Linear(50, 3), last)

    return Recipe(
        family="mlp",
        data=blobs,
        build=network,
        loss=of_probabilities,
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-4},
        batch_size=256,
        epochs=300,
    )


POST = Post(
    id="AUTOTRAINER-improper-activation",
    causes=("loss-unfit-for-task",),
    faulty=recipe(nn.ReLU()),
    fixed=recipe(nn.Softmax(1)),
)
