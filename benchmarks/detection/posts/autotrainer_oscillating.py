"""Twenty dense layers with ReLU, trained at so high a rate that the loss jumps up and down.

Digits of 8 x 8 pixels stand in for MNIST. The rate is what Adam is given.
"""

from functools import partial
from itertools import pairwise

from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class

LAYERS, WIDTH = 20, 64


def network() -> nn.Module:
    widths = [64, *[WIDTH] * (LAYERS - 1), 10]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers[:-1])


def recipe(rate: float) -> Recipe:
    return Recipe(
        family="mlp",
        data=partial(digits, flat=True),
        build=network,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": rate},
        batch_size=32,
        epochs=14,
    )


POST = Post(
    id="AUTOTRAINER-oscillating",
    causes=("learning-rate-too-high",),
    faulty=recipe(1e-2),
    fixed=recipe(1e-3),
    places=("lr",),
)
