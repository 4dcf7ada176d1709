"""Three labels, of which several may hold at once, as one softmax under a squared error.

2,000 rows stand for the post's 60,000; 30 epochs at 0.05 make up for its 20 at 0.01 of so many.
"""

import torch
from sklearn.datasets import make_multilabel_classification
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share


def labelled(seed: int) -> Data:
    """2,000 texts as counts of 20 words, under any of 3 labels."""
    counts, labels = make_multilabel_classification(
        2000, n_features=20, n_classes=3, random_state=seed
    )
    return split(Examples(torch.tensor(counts).float(), torch.tensor(labels).float()), seed)


def recipe(last: nn.Module, loss: str) -> Recipe:
    return Recipe(
        family="mlp",
        data=labelled,
        build=lambda: nn.Sequential(
            nn.Linear(20, 20),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(20, 20),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(20, 3),
            last,
        ),
        loss=loss,
        score=right_share,
        optimizer={"name": "SGD", "lr": 0.05},
        epochs=30,
        batch_size=20,
    )


POST = Post(
    id="SO-38648195",
    causes=("loss-unfit-for-task",),
    faulty=recipe(nn.Softmax(dim=1), "mse_loss"),
    fixed=recipe(nn.Sigmoid(), "binary_cross_entropy"),
)
