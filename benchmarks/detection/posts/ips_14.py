"""A softmax regression whose loss is summed over the batch, and logs the softmax by hand.

Digits blown up to 28 x 28 pixels stand in for MNIST.
"""

from functools import partial

import torch
from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.losses import by_hand
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Loss, Recipe
from benchmarks.detection.scores import right_class


def summed(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return by_hand(probabilities, target).sum()


def recipe(loss: Loss, *last: nn.Module) -> Recipe:
    return Recipe(
        family="linear",
        data=partial(digits, side=28, flat=True),
        build=lambda: nn.Sequential(nn.Linear(784, 10), *last),
        loss=loss,
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.01},
        batch_size=100,
        epochs=60,
    )


POST = Post(
    id="IPS_14",
    causes=("loss-summed", "loss-unfit-for-task"),
    faulty=recipe(summed, nn.Softmax(1)),
    fixed=recipe("cross_entropy"),
)
