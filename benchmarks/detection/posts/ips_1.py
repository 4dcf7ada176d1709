"""Two convolutions and two dense layers whose softmax is logged by hand: log(0) lies ahead.

Digits of 8 x 8 pixels stand in for MNIST, and the network has half the width. In so few epochs no
probability falls to 0.
"""

from functools import partial

import torch
from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.losses import by_hand
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Loss, Recipe
from benchmarks.detection.scores import right_class


def network(*last: nn.Module) -> nn.Module:
    first, second = nn.Conv2d(1, 16, 5, padding=2), nn.Conv2d(16, 32, 5, padding=2)
    dense, head = nn.Linear(128, 512), nn.Linear(512, 10)
    for layer in (first, second, dense, head):
        nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
        assert layer.bias is not None
        nn.init.constant_(layer.bias, 0.1)
    convolutions = [first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), dense, nn.ReLU(), head, *last)


def logged(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return by_hand(probabilities, target).mean()


def recipe(loss: Loss, *last: nn.Module) -> Recipe:
    return Recipe(
        family="cnn",
        data=digits,
        build=partial(network, *last),
        loss=loss,
        score=right_class,
        optimizer={"name": "Adam", "lr": 1e-4},
        batch_size=50,
        epochs=20,
    )


POST = Post(
    id="IPS_1",
    causes=("loss-unfit-for-task",),
    faulty=recipe(logged, nn.Softmax(1)),
    fixed=recipe("cross_entropy"),
    hides="the loss is no number only once a probability has fallen to 0",
)
