"""Sigmoid units saturated by weights from N(0, 1), 784-512-10 without biases, trained by SGD.

Digits blown up to 28 x 28 pixels stand in for MNIST.
"""

from functools import partial

from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def network(unscaled: bool) -> nn.Module:
    hidden, head = nn.Linear(784, 512, bias=False), nn.Linear(512, 10, bias=False)
    if unscaled:
        nn.init.normal_(hidden.weight)
        nn.init.normal_(head.weight)
    return nn.Sequential(hidden, nn.Sigmoid(), head)


def recipe(unscaled: bool) -> Recipe:
    return Recipe(
        family="mlp",
        data=partial(digits, side=28, flat=True),
        build=partial(network, unscaled),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.05},
        batch_size=32,
        epochs=40,
    )


POST = Post(
    id="IPS_7",
    causes=("initialisation-off",),
    faulty=recipe(unscaled=True),
    fixed=recipe(unscaled=False),
)
