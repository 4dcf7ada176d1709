"""Small trainings, recorded or not, for tests of the Recorder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from auditor import Recorder

Optimizers = Callable[[Any], torch.optim.Optimizer]


def data(examples: int = 96, shuffle: bool = True) -> DataLoader[Any]:
    inputs = torch.randn(examples, 8, generator=torch.Generator().manual_seed(1))
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 16, shuffle=shuffle)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


def trained(
    recorder: Callable[[nn.Module, torch.optim.Optimizer, Any], Recorder] | None = None,
    *,
    build: Callable[[], nn.Module] = mlp,
    optimizers: Optimizers = sgd,
    loader: Any = None,
    epochs: int = 3,
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Train a model from seed 0, with the recorder that `recorder` makes if any."""
    torch.manual_seed(0)
    train = data() if loader is None else loader
    model = build()
    optimizer = optimizers(model.parameters())
    made = recorder(model, optimizer, train) if recorder is not None else None
    for _ in range(epochs):
        model.train()
        for inputs, target in train:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), target)
            loss.backward()
            optimizer.step()
            if made is not None:
                made.step(loss)
        if made is not None:
            made.epoch(val_loss=0.5)
    if made is not None:
        made.close()
    return model, optimizer


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(path: Path) -> list[dict[str, Any]]:
    return lines(path)[1:]


def state(model: nn.Module) -> list[bytes]:
    return [value.detach().numpy().tobytes() for value in model.state_dict().values()]
