"""A classifier trained for too few epochs, by RMSprop at too low a rate.

The post's table and rate are not recorded: made data of four classes and RMSprop's own 0.001 stand
here.
"""

import torch
from sklearn.datasets import make_classification
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def clusters(seed: int) -> Data:
    """600 rows of 10 columns in 4 classes of 3 clusters each."""
    values, classes = make_classification(
        n_samples=600,
        n_features=10,
        n_informative=6,
        n_redundant=2,
        n_classes=4,
        n_clusters_per_class=3,
        class_sep=2.0,
        random_state=seed,
    )
    examples = Examples(torch.tensor(values, dtype=torch.float32), torch.tensor(classes))
    return standardised(split(examples, seed))


def recipe(name: str, rate: float, epochs: int) -> Recipe:
    return Recipe(
        family="mlp",
        data=clusters,
        build=lambda: nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4)),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": name, "lr": rate},
        epochs=epochs,
        batch_size=32,
    )


POST = Post(
    id="SO-41977498",
    causes=("learning-rate-too-low", "stopped-too-early", "optimizer-off"),
    faulty=recipe("RMSprop", rate=1e-3, epochs=10),
    fixed=recipe("Adam", rate=1e-2, epochs=100),
    places=("lr", "training.epochs", "optimizer"),
)
