"""Networks with a layer of one unit, and huge ones on few examples with wrong labels."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import nn

from auditor.core.verdict import Verdict
from tests.subjects import Live, sample, trained
from tests.zoo import Batches, digits, mlp, tabular

CHECK = "capacity-off"
QUICK = {"profile": "quick"}
"""Fewer seeds, for what does not hang on how sure they are."""


class NarrowCNN(nn.Module):
    """A convolutional network that says all it has seen in one number."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.squeeze, self.head = nn.Linear(32, 1), nn.Linear(1, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.squeeze(self.body(x))))


def narrow(live: Live, layer: str) -> None:
    found = replace(live, options=QUICK).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == [layer]
    assert f"layer {layer!r} passes on 1 number" in found.summary
    assert f"Widen layer {layer!r}" in found.advice[0]


def test_a_bottleneck_in_a_convolutional_network_is_named() -> None:
    torch.manual_seed(0)
    train, val = digits(lambda x, y: (x, y))
    narrow(trained(NarrowCNN, train, val, "cross_entropy", epochs=3), "squeeze")


@pytest.mark.parametrize("widths", [(32, 1), (1, 32)], ids=["behind", "before"])
def test_a_bottleneck_in_a_plain_network_is_named(widths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    train, val = digits(lambda x, y: (x.flatten(1), y))
    live = trained(partial(mlp, 64, *widths, 10), train, val, "cross_entropy", epochs=3)
    narrow(live, "2" if widths[1] == 1 else "0")


class PooledFirst(nn.Module):
    """A network that is shown the mean of an image, its head registered first."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.body = nn.Linear(32, 10), nn.Linear(1, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x.mean((2, 3)))))


def test_an_input_that_is_pooled_away_is_found_where_it_enters() -> None:
    train, val = digits(lambda x, y: (x, y))
    live = trained(PooledFirst, train, val, "cross_entropy", epochs=3)
    found = replace(live, options=QUICK).finding(CHECK)
    assert found.verdict is Verdict.FAIL, found.summary
    assert [place.name for place in found.where] == ["body"]
    assert "layer 'body' takes in 1 number" in found.summary
    assert "pool or cut off less of the input" in found.advice[0]


def test_a_network_that_was_hardly_trained_is_not_too_small() -> None:
    for name in ("digits_cnn", "names_rnn"):
        live = sample(name)
        assert live.factory is not None
        hardly = trained(live.factory, live.train, live.val, "cross_entropy", epochs=1, lr=3e-4)
        found = replace(hardly, options=QUICK).finding(CHECK)
        assert found.verdict is Verdict.PASS, found.summary


def mislabelled(data: Any, count: int, share: float, seed: int) -> tuple[Batches, Batches, int]:
    """Return so many examples, of whose labels a share is drawn at random, validation's too."""
    train, val, features = tabular(data, seed)
    generator = torch.Generator().manual_seed(seed)
    classes = int(max(y.max() for _, y in train)) + 1

    def drawn(y: torch.Tensor) -> torch.Tensor:
        wrong = torch.rand(len(y), generator=generator) < share
        return torch.where(wrong, torch.randint(classes, y.shape, generator=generator), y)

    x, y = torch.cat([x for x, _ in train])[:count], torch.cat([y for _, y in train])[:count]
    y = drawn(y)
    few = [(x[i : i + 16], y[i : i + 16]) for i in range(0, count, 16)]
    return few, [(x, drawn(y)) for x, y in val], features


def huge(data: Any, classes: int, share: float, width: int, seed: int = 0) -> Live:
    train, val, features = mislabelled(data, 40, share, seed)
    build = partial(mlp, features, width, width, classes)
    return trained(build, train, val, "cross_entropy", epochs=60, lr=1e-3, seed=seed)


@pytest.mark.parametrize(
    ("data", "classes"), [(load_wine(), 3), (load_breast_cancer(), 2)], ids=["wine", "cancer"]
)
def test_a_huge_network_on_few_examples_with_wrong_labels_is_too_large(
    data: Any, classes: int
) -> None:
    found = huge(data, classes, 0.8, 512).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["parameters"]
    assert "learns this data by heart" in found.summary


def one_batch(val: int) -> Live:
    """Return a large network on as many random labels as one batch holds, learnt by heart."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(65 + val, 20, generator=generator)
    y = torch.randint(2, (len(x),), generator=generator)
    splits = [(x[:65], y[:65])], [(x[65:], y[65:])]
    return trained(partial(mlp, 20, 128, 128, 2), *splits, "cross_entropy", epochs=120, lr=1e-3)


def test_noise_in_a_single_batch_is_found_by_heart() -> None:
    found = one_batch(100).finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["parameters"]


def test_too_few_validation_examples_leave_it_open() -> None:
    found = one_batch(18).finding(CHECK)
    assert found.verdict is Verdict.INFO, found.summary
    assert "from 20 examples of each on, and there are 18 validation examples" in found.summary


def test_a_huge_regression_of_noise_is_too_large() -> None:
    train, val, features = tabular(load_diabetes(), 0)
    torch.manual_seed(0)

    def noise(batches: Batches) -> Batches:
        return [(x, torch.randn(len(x), 1)) for x, _ in batches]

    build = partial(mlp, features, 128, 128, 1)
    live = trained(build, noise(train[:2]), noise(val), "mse_loss", epochs=120, lr=1e-3)
    found = live.finding(CHECK)
    assert found.verdict is Verdict.WARN, found.summary
    assert [place.name for place in found.where] == ["parameters"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_huge_network_that_carries_over_is_healthy(seed: int) -> None:
    found = huge(load_wine(), 3, 0.0, 128, seed).finding(CHECK)
    assert found.verdict is Verdict.PASS, found.summary
    assert "by heart, too" in found.summary
