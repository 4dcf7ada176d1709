"""Small trainings on a CPU, as users write them: an optimizer, a loader that shuffles, a loop."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

Loader = DataLoader[tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class Case:
    """A training: its model, its data, and how many turns of it are timed."""

    name: str
    build: Callable[[], nn.Module]
    loader: Callable[[], Loader]
    turns: int
    adam: bool = False


class Training:
    """A training that can be gone on with, some steps at a time."""

    def __init__(self, case: Case) -> None:
        torch.manual_seed(0)
        self.model, self.loader = case.build(), case.loader()
        parameters = self.model.parameters()
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(parameters, lr=1e-3)
            if case.adam
            else torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        )
        self._batches = self._endless()

    def run(self, steps: int, recorder: Any = None) -> None:
        """Make some steps, each noted by the recorder where there is one."""
        for _ in range(steps):
            inputs, target = next(self._batches)
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(inputs), target)
            loss.backward()
            self.optimizer.step()
            if recorder is not None:
                recorder.step(loss)

    def _endless(self) -> Iterator[tuple[torch.Tensor, ...]]:
        while True:
            yield from self.loader


def digits(*shape: int) -> Loader:
    """Return scikit-learn's digits, 64 to a batch."""
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, *shape)
    return DataLoader(TensorDataset(inputs, torch.tensor(labels)), 64, shuffle=True)


def pictures() -> Loader:
    """Return noise in the shape of small colour pictures."""
    inputs = torch.randn(256, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, torch.arange(256) % 10), 16, shuffle=True)


def mlp() -> nn.Module:
    """Return a perceptron with two hidden layers."""
    return nn.Sequential(
        *(nn.Linear(64, 128), nn.ReLU()), *(nn.Linear(128, 128), nn.ReLU()), nn.Linear(128, 10)
    )


def cnn() -> nn.Module:
    """Return a small convolutional network."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )


class Recurrent(nn.Module):
    """Reads the rows of a picture one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 64, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return a score for each class."""
        scores: torch.Tensor = self.head(self.rnn(inputs)[0][:, -1])
        return scores


class Block(nn.Module):
    """Two convolutions and what goes around them."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        same = stride == 1 and inner == outer
        self.around = nn.Identity() if same else nn.Conv2d(inner, outer, 1, stride)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways."""
        hidden = self.relu(self.first_norm(self.first(inputs)))
        out: torch.Tensor = self.relu(self.second_norm(self.second(hidden)) + self.around(inputs))
        return out


def resnet(width: int = 8) -> nn.Module:
    """Return a network of ResNet-18's shape, of an eighth of its width."""
    sizes = [width, width, 2 * width, 4 * width, 8 * width]
    blocks = [
        Block(inner if first else outer, outer, 2 if first and inner != outer else 1)
        for inner, outer in itertools.pairwise(sizes)
        for first in (True, False)
    ]
    stem = (nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10))
    return nn.Sequential(*stem, *blocks, *head)


CASES = (
    Case("MLP on digits", mlp, lambda: digits(64), 25),
    Case("CNN on digits", cnn, lambda: digits(1, 8, 8), 9),
    Case("GRU on digits", Recurrent, lambda: digits(8, 8), 9, adam=True),
    Case("ResNet-18's shape", resnet, pictures, 3, adam=True),
)
