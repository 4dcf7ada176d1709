"""A perceptron of three hidden layers whose weights and biases are drawn from N(0, 1).

Digits of 8 x 8 pixels stand in for MNIST, and the layers are narrower.
"""

from functools import partial

from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class


def network(unscaled: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (64, 128, 128):
        layers += [nn.Linear(before, 128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    if unscaled:
        for parameter in model.parameters():
            nn.init.normal_(parameter)
    return model


def recipe(unscaled: bool) -> Recipe:
    return Recipe(
        family="mlp",
        data=partial(digits, flat=True),
        build=partial(network, unscaled),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-3},
        batch_size=100,
        epochs=30,
    )


POST = Post(
    id="IPS_4",
    causes=("initialisation-off",),
    faulty=recipe(unscaled=True),
    fixed=recipe(unscaled=False),
)
