"""Spectral norms that no forward pass in training mode has readied: evaluation divides by chance.

The trained weights are put into a model built anew, whose power iteration has not begun. Digits of
8 x 8 pixels stand in for MNIST.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.utils import spectral_norm

from benchmarks.detection.digits import digits
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe, Subject
from benchmarks.detection.scores import right_class


@dataclass(frozen=True)
class Served(Recipe):
    """A recipe whose model is served from its weights alone, readied by a forward pass or not."""

    readied: bool = True

    def trained(self, seed: int) -> Subject:
        subject = super().trained(seed)
        anew, model = dict(self.build().named_buffers()), subject.model
        for name, buffer in model.named_buffers():
            buffer.copy_(anew[name])
        if self.readied:
            with torch.no_grad():
                model.train()(subject.data.train.inputs)
        return subject


def network() -> nn.Module:
    layers: list[nn.Module] = []
    for before in (64, 64):
        layers += [spectral_norm(nn.Linear(before, 64)), nn.ReLU()]
    return nn.Sequential(*layers, spectral_norm(nn.Linear(64, 10)))


def recipe(readied: bool) -> Recipe:
    return Served(
        family="mlp",
        data=partial(digits, brightest=4.0, flat=True),
        build=network,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=25,
        readied=readied,
    )


POST = Post(
    id="TC-pytorch-51800",
    causes=("stale-spectral-norm",),
    faulty=recipe(readied=False),
    fixed=recipe(readied=True),
    places=("0", "2", "4"),
)
