"""A tiny perceptron that tells two bands of points apart, trained too slowly and too briefly."""

import numpy as np
import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def bands(seed: int) -> Data:
    """200 points of each band: both coordinates in 0.2 to 0.4, or in 0.5 to 0.7."""
    rng = np.random.default_rng(seed)
    points = np.concatenate([rng.uniform(0.2, 0.4, (200, 2)), rng.uniform(0.5, 0.7, (200, 2))])
    inputs = torch.tensor(points, dtype=torch.float32)
    return split(Examples(inputs, torch.arange(400) // 200), seed)


def recipe(rate: float, epochs: int) -> Recipe:
    return Recipe(
        family="mlp",
        data=bands,
        build=lambda: nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 2)),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": rate},
        epochs=epochs,
        batch_size=32,
    )


POST = Post(
    id="SO-50306988",
    causes=("learning-rate-too-low", "stopped-too-early"),
    faulty=recipe(rate=1e-3, epochs=5),
    fixed=recipe(rate=1e-2, epochs=10),
    places=("lr", "training.epochs"),
)
