"""Healthy models of many families, trained properly on real data.

`python -m tests.zoo CHECK ...` prints what the checks say of each.
"""

import sys
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any

import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import nn

from tests.subjects import Live, once, sample, trained

SAMPLES = ("digits_cnn", "diabetes_mlp", "names_rnn", "tiny_lm")

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def tabular(data: Any, seed: int) -> tuple[Batches, Batches, int]:
    """Return standardised training and validation batches, and the number of features."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.tensor(data.data, dtype=torch.float32)
    y = torch.tensor(data.target)
    order = torch.randperm(len(x), generator=generator)
    cut = int(len(x) * 0.65)
    train, val = order[:cut], order[cut:]
    x = (x - x[train].mean(0)) / x[train].std(0)
    batches = [(x[rows], y[rows]) for rows in train.split(32) if len(rows) > 1]
    return batches, [(x[rows], y[rows]) for rows in val.split(32)], x.shape[1]


def digits(
    change: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
) -> tuple[Batches, Batches]:
    """Return the digits' training and validation batches, always in the same order, changed."""
    live = sample("digits_cnn")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        train = list(live.train)
    return [change(x, y) for x, y in train], [change(x, y) for x, y in live.val]


def mlp(*widths: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def wine_mlp(seed: int) -> Live:
    train, val, features = tabular(load_wine(), seed)
    build = partial(mlp, features, 32, 32, 3)
    return trained(build, train, val, "cross_entropy", epochs=15, seed=seed)


def cancer_mlp(seed: int) -> Live:
    train, val, features = tabular(load_breast_cancer(), seed)
    build = partial(mlp, features, 32, 32, 2)
    return trained(build, train, val, "cross_entropy", epochs=15, seed=seed)


def cancer_logit(seed: int) -> Live:
    def one(batches: Batches) -> Batches:
        return [(x, y.float().unsqueeze(1)) for x, y in batches]

    train, val, features = tabular(load_breast_cancer(), seed)
    build = partial(mlp, features, 32, 1)
    loss = "binary_cross_entropy_with_logits"
    return trained(build, one(train), one(val), loss, epochs=15, seed=seed)


class PlainCNN(nn.Module):
    """Convolutions without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(32 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).flatten(1))


def plain_cnn(seed: int) -> Live:
    train, val = digits(lambda x, y: (x, y))
    return trained(PlainCNN, train, val, "cross_entropy", epochs=8, lr=2e-3, seed=seed)


class Block(nn.Module):
    """Two layers beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def residual_network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), *(Block(32) for _ in range(4)), nn.Linear(32, 10))


def residual(seed: int) -> Live:
    train, val = digits(lambda x, y: (x.flatten(1), y))
    return trained(residual_network, train, val, "cross_entropy", epochs=12, lr=2e-3, seed=seed)


def coder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 48),
        nn.ReLU(),
        nn.Linear(48, 16),
        nn.Linear(16, 48),
        nn.ReLU(),
        nn.Linear(48, 64),
    )


def autoencoder(seed: int) -> Live:
    train, val = digits(lambda x, y: (x.flatten(1), x.flatten(1)))
    return trained(coder, train, val, "mse_loss", epochs=15, lr=2e-3, seed=seed)


class Attentive(nn.Module):
    """A transformer encoder over the rows of an image, told their places unless it is `blind`."""

    def __init__(self, blind: bool = False) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 32)
        self.places = nn.Parameter(torch.randn(8, 32) * 0.3) if not blind else 0.0
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.enter(x.squeeze(1)) + self.places).mean(1))


def transformer(seed: int) -> Live:
    train, val = digits(lambda x, y: (x, y))
    return trained(Attentive, train, val, "cross_entropy", epochs=12, lr=1e-3, seed=seed)


class Recurrent(nn.Module):
    """An LSTM over the rows of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 48, batch_first=True)
        self.head = nn.Linear(48, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(x.squeeze(1))
        return self.head(states[:, -1])


def lstm(seed: int) -> Live:
    train, val = digits(lambda x, y: (x, y))
    return trained(Recurrent, train, val, "cross_entropy", epochs=12, seed=seed)


class UNet(nn.Module):
    """One step down and up again, with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2)
        )
        self.up = nn.Sequential(nn.Conv2d(36, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 2, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.down(x)
        return self.up(torch.cat([fine, self.deep(fine)], dim=1))


def unet(seed: int) -> Live:
    """Find the ink of digits in noise."""
    generator = torch.Generator().manual_seed(seed)

    def noisy(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = 0.7 * torch.randn(x.shape, generator=generator)
        return (x + noise) / 1.22, (x[:, 0] > 0.3).long()

    train, val = digits(noisy)
    return trained(UNet, train, val, "cross_entropy", epochs=8, lr=3e-3, seed=seed)


def multilabel(seed: int) -> Live:
    """Tell three properties of a digit: even, at least five, with a closed loop."""

    def several(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loop = (y == 0) | (y == 6) | (y == 8) | (y == 9)
        return x.flatten(1), torch.stack([y % 2 == 0, y >= 5, loop], dim=1).float()

    train, val = digits(several)
    build = partial(mlp, 64, 64, 32, 3)
    loss = "binary_cross_entropy_with_logits"
    return trained(build, train, val, loss, epochs=12, lr=2e-3, seed=seed)


def rare(seed: int) -> Live:
    """Tell zeros, a tenth of the digits, from the rest."""
    train, val = digits(lambda x, y: (x.flatten(1), (y == 0).long()))
    build = partial(mlp, 64, 32, 2)
    return trained(build, train, val, "cross_entropy", epochs=8, lr=2e-3, seed=seed)


TRAINED: dict[str, Callable[[int], Live]] = {
    function.__name__: function
    for function in (
        wine_mlp,
        cancer_mlp,
        cancer_logit,
        plain_cnn,
        residual,
        autoencoder,
        transformer,
        lstm,
        unet,
        multilabel,
        rare,
    )
}


@cache
def healthy(name: str, seed: int = 0) -> Live:
    """Return a healthy model; the samples are shipped as they are, whatever the seed."""
    if name in SAMPLES:
        return sample(name)
    return once(f"{name} {seed}", lambda: TRAINED[name](seed))


if __name__ == "__main__":
    import time

    torch.set_num_threads(1)
    for name in (*SAMPLES, *TRAINED):
        live, began = healthy(name), time.monotonic()
        for found in live.audited(*sys.argv[1:]).findings:
            print(f"{name:12s} {found.check:24s} {found.verdict:15s} {found.summary}")
        print(f"{name:12s} {time.monotonic() - began:.1f} s", flush=True)
