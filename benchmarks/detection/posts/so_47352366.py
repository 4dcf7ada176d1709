"""A small convolutional network on digits whose logits go through a ReLU.

Scikit-learn's 8 by 8 digits stand for MNIST; 12 epochs of these are 300 steps, where the post takes
600.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def digits(seed: int) -> Data:
    """1,797 images of one channel, 8 by 8, in 0 to 1."""
    images = load_digits()
    inputs = torch.tensor(images.images / 16, dtype=torch.float32)[:, None]
    return split(Examples(inputs, torch.tensor(images.target)), seed)


def recipe(*last: nn.Module) -> Recipe:
    return Recipe(
        family="cnn",
        data=digits,
        build=lambda: nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(64, 10), *last),
        ),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-3},
        epochs=12,
        batch_size=50,
    )


POST = Post(
    id="SO-47352366",
    causes=("loss-unfit-for-task",),
    faulty=recipe(nn.ReLU()),
    fixed=recipe(),
)
