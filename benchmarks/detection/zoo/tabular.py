"""Multilayer perceptrons over tables: three classes, two classes by one logit, and a regression."""

from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import nn

from benchmarks.detection.data import Data, Examples, split, standardised
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near, right_class, right_labels


def _table(table: Any, target: torch.Tensor, seed: int) -> Data:
    inputs = torch.tensor(table.data, dtype=torch.float32)
    return standardised(split(Examples(inputs, target), seed))


def wine(seed: int) -> Data:
    """178 wines, 13 measurements, 3 growers."""
    table = load_wine()
    return _table(table, torch.tensor(table.target), seed)


def cancer(seed: int) -> Data:
    """569 tumours, 30 measurements; whether they are benign."""
    table = load_breast_cancer()
    return _table(table, torch.tensor(table.target, dtype=torch.float32)[:, None], seed)


def diabetes(seed: int) -> Data:
    """442 patients, 10 measurements; the progress of a disease, standardised."""
    table = load_diabetes()
    target = torch.tensor(table.target, dtype=torch.float32)[:, None]
    return _table(table, (target - target.mean()) / target.std(), seed)


class Perceptron(nn.Module):
    """Hidden layers with ReLU, and a linear head: features (N, F) to outputs (N, C)."""

    def __init__(self, *widths: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise(widths[:-1]):
            layers += [nn.Linear(before, after), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if dropout else []
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-2], widths[-1])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.body(inputs))
        return outputs


RECIPES = (
    Recipe(
        family="wine_mlp",
        data=wine,
        build=lambda: Perceptron(13, 32, 32, 3),
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=15,
    ),
    Recipe(
        family="cancer_mlp",
        data=cancer,
        build=lambda: Perceptron(30, 32, 1),
        loss="binary_cross_entropy_with_logits",
        score=right_labels,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=12,
    ),
    Recipe(
        family="diabetes_mlp",
        data=diabetes,
        build=lambda: Perceptron(10, 16, 1),
        loss="mse_loss",
        score=near,
        optimizer={"name": "Adam", "lr": 2e-3, "weight_decay": 1e-4},
        epochs=30,
    ),
)
