"""VGG19 whose `frozen_stages=0` freezes the stages from there on, not those before.

With batch norms; all five stages stay as they were drawn. Digits blown up to 16 x 16 pixels stand
in for CIFAR, and the network is narrower.
"""

from functools import partial

import torch
from torch import nn

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class

STAGES = ((2, 8), (2, 16), (4, 16), (4, 32), (4, 32))
"""Convolutions of each stage, and their width."""


class VGG(nn.Module):
    """Sixteen convolutions in five stages and one dense layer, (N, 1, 16, 16) to (N, 10)."""

    def __init__(self, frozen_stages: int, wrong_way: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 1
        for depth, width in STAGES:
            stage: list[nn.Module] = []
            for _ in range(depth):
                convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
                stage += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            self.stages.append(nn.Sequential(*stage, nn.MaxPool2d(2, ceil_mode=True)))
        self.head = nn.Linear(before, 10)
        for module in self.stages.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        frozen = self.stages[frozen_stages:] if wrong_way else self.stages[:frozen_stages]
        for parameter in frozen.parameters():
            parameter.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            images = stage(images)
        logits: torch.Tensor = self.head(images.flatten(1))
        return logits


def recipe(wrong_way: bool) -> Recipe:
    return Recipe(
        family="vgg",
        data=partial(digits, side=16),
        build=partial(VGG, 0, wrong_way),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        batch_size=64,
        epochs=6,
    )


POST = Post(
    id="TC-mmpretrain-702",
    causes=("updates-not-applied",),
    faulty=recipe(wrong_way=True),
    fixed=recipe(wrong_way=False),
    places=("stages",),
)
