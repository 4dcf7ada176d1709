"""Two classes called 1 and 2, under a binary cross-entropy that wants 0 and 1.

The post holds neither its labels nor what came of them beyond an accuracy of zero; the answer
numbers the labels from 0, and that is what is undone here. The sigmoid is in the loss.
20 words stand for its 4, which tell too little, and 20 epochs for its 50.
"""

import torch
from sklearn.datasets import make_multilabel_classification
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe


def labelled(seed: int, lowest: int) -> Data:
    """500 texts as counts of 20 words, with or without a label: `lowest` where it has none."""
    counts, labels = make_multilabel_classification(
        500, n_features=20, n_classes=1, random_state=seed
    )
    target = torch.tensor(labels + lowest).float()
    return split(Examples(torch.tensor(counts).float(), target), seed)


def recipe(lowest: int) -> Recipe:
    def right(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((outputs > 0) == (target > lowest)).float().mean(1)

    return Recipe(
        family="mlp",
        data=lambda seed: labelled(seed, lowest),
        build=lambda: nn.Sequential(
            *(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 20), nn.ReLU()),
            *(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 40), nn.ReLU()),
            *(nn.Linear(40, 50), nn.ReLU(), nn.Linear(50, 1)),
        ),
        loss="binary_cross_entropy_with_logits",
        score=right,
        optimizer={"name": "Adam", "lr": 1e-3},
        epochs=20,
        batch_size=10,
    )


POST = Post(
    id="SO-50481178",
    causes=("loss-unfit-for-task",),
    faulty=recipe(lowest=1),
    fixed=recipe(lowest=0),
)
