"""Classifiers of handwritten digits: a perceptron, and convolutions plain, normed and residual."""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.digits import digits as bright_digits
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class, right_labels
from benchmarks.detection.zoo.tabular import Perceptron

MEAN, DEVIATION = 4.884, 6.017
"""Of the brightness of all pixels, which goes from 0 to 16."""


def digits(seed: int) -> Data:
    """1,797 digits of 8 x 8 pixels, (N, 1, 8, 8), standardised over all pixels."""
    return bright_digits(seed, brightest=16).with_inputs(lambda x: (x - MEAN) / DEVIATION)


def flat(data: Data) -> Data:
    """Return images as rows of pixels."""
    return data.with_inputs(lambda images: images.flatten(1))


def properties(data: Data) -> Data:
    """Return three properties of each digit as the target: even, at least five, with a loop."""

    def labelled(examples: Examples) -> Examples:
        y = examples.target
        loop = (y == 0) | (y == 6) | (y == 8) | (y == 9)
        return Examples(examples.inputs, torch.stack([y % 2 == 0, y >= 5, loop], dim=1).float())

    return Data(labelled(data.train), labelled(data.val))


class CNN(nn.Module):
    """Three convolutions, with or without batch norm, pooled twice: (N, 1, 8, 8) to (N, 10)."""

    def __init__(self, normed: bool, width: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after, pooled in ((width, False), (width, True), (2 * width, True)):
            layers.append(nn.Conv2d(before, after, 3, padding=1, bias=not normed))
            layers += [nn.BatchNorm2d(after)] if normed else []
            layers.append(nn.ReLU())
            layers += [nn.MaxPool2d(2)] if pooled else []
            before = after
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * width * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.features(images).flatten(1))
        return logits


class Block(nn.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.out = nn.ReLU()

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(maps + self.body(maps))
        return out


class Residual(nn.Module):
    """A stem and two residual blocks: (N, 1, 8, 8) to (N, 10)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(Block(width), Block(width))
        self.head = nn.Linear(width * 4, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.avg_pool2d(self.blocks(self.stem(images)), 2)
        logits: torch.Tensor = self.head(maps.flatten(1))
        return logits


RECIPES = (
    Recipe(
        family="digits_mlp",
        data=lambda seed: flat(digits(seed)),
        build=lambda: Perceptron(64, 48, 32, 10),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.05, "momentum": 0.9},
        epochs=10,
    ),
    Recipe(
        family="multilabel_mlp",
        data=lambda seed: properties(flat(digits(seed))),
        build=lambda: Perceptron(64, 64, 32, 3),
        loss="binary_cross_entropy_with_logits",
        score=right_labels,
        optimizer={"name": "Adam", "lr": 2e-3},
        epochs=12,
    ),
    Recipe(
        family="plain_cnn",
        data=digits,
        build=lambda: CNN(normed=False),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 2e-3},
        epochs=8,
    ),
    Recipe(
        family="norm_cnn",
        data=digits,
        build=lambda: CNN(normed=True),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4},
        epochs=8,
    ),
    Recipe(
        family="residual_cnn",
        data=digits,
        build=Residual,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "AdamW", "lr": 3e-3, "weight_decay": 0.01},
        epochs=8,
    ),
)
