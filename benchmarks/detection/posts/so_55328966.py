"""Digits as bytes, 0 to 255, into a perceptron that ends in sigmoids under a cross-entropy.

Scikit-learn's 8 by 8 digits stand for MNIST. The rate is what the answer needs on so few of them;
the optimizer, which is named as a fault too, is left as it is by the answer.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def digits(seed: int, scale: float) -> Data:
    """1,797 images of 64 pixels, white at `scale`."""
    images = load_digits()
    inputs = torch.tensor(images.data / 16 * scale, dtype=torch.float32)
    return split(Examples(inputs, torch.tensor(images.target)), seed)


def recipe(scale: float, *last: nn.Module) -> Recipe:
    return Recipe(
        family="mlp",
        data=lambda seed: digits(seed, scale),
        build=lambda: nn.Sequential(
            nn.Linear(64, 64), nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10), *last
        ),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.1, "weight_decay": 1e-4},
        epochs=10,
        batch_size=32,
    )


POST = Post(
    id="SO-55328966",
    causes=("inputs-not-normalised", "loss-unfit-for-task"),
    faulty=recipe(255.0, nn.Sigmoid()),
    fixed=recipe(1.0),
)
