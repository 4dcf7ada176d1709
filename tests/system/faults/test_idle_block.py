"""Blocks that do nothing, or harm, planted in networks of several families."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from tests.subjects import Live, broken, trained
from tests.zoo import Block, digits, healthy


def named(found: Finding) -> list[str]:
    assert found.verdict is Verdict.WARN, found.summary
    assert found.advice
    return [place.name for place in found.where]


class ConvBlock(nn.Module):
    """A residual block of images, its sum rectified."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(x + branch)


class ResNet(nn.Module):
    def __init__(self, depth: int = 4, width: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


@cache
def resnet() -> Live:
    train, val = digits(lambda x, y: (x, y))
    return trained(ResNet, train, val, "cross_entropy", epochs=10, lr=3e-3)


def test_a_sound_residual_network_passes() -> None:
    found = resnet().finding("idle-block")
    assert found.verdict is Verdict.PASS, found.summary


def zero_branch(model: nn.Module) -> None:
    model.blocks[2].bn2.weight.zero_()
    model.blocks[2].bn2.bias.zero_()


def zero_mlp_branch(model: nn.Module) -> None:
    model[2].body[3].weight.zero_()
    model[2].body[3].bias.zero_()


def zero_layer(model: nn.Module) -> None:
    layer = model.encoder.layers[1]
    for part in (layer.linear2, layer.self_attn.out_proj):
        part.weight.zero_()
        part.bias.zero_()


def test_a_zeroed_residual_branch_is_named() -> None:
    assert named(broken(resnet(), zero_branch).finding("idle-block")) == ["blocks.2"]
    found = broken(healthy("residual"), zero_mlp_branch).finding("idle-block")
    assert named(found)[0] == "2"
    places = named(broken(healthy("transformer"), zero_layer).finding("idle-block"))
    assert places
    assert all(name.startswith("encoder.layers.1") for name in places)


class Bypassed(nn.Module):
    """Computes a second layer and forgets it, or never calls it."""

    def __init__(self, called: bool, inner: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.enter, self.second, self.head = nn.Linear(64, 32), inner(), nn.Linear(32, 10)
        self.called = called

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x.flatten(1)))
        if self.called:
            self.second(x)
        return self.head(x)


@pytest.mark.parametrize("called", [True, False])
@pytest.mark.parametrize("inner", [lambda: nn.Linear(32, 32), lambda: Block(32)])
def test_a_bypassed_block_is_named(called: bool, inner: Callable[[], nn.Module]) -> None:
    train, val = digits(lambda x, y: (x, y))
    live = trained(lambda: Bypassed(called, inner), train, val, "cross_entropy", epochs=4)
    assert named(live.finding("idle-block")) == ["second"]


class Deep(nn.Module):
    """A network into whose middle layers no gradient flows, close to the identity as they are."""

    def __init__(self, depth: int = 6) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(64, 32), nn.Linear(32, 10)
        self.middle = nn.ModuleList(Block(32) for _ in range(depth))
        for block in self.middle:
            nn.init.normal_(block.body[3].weight, std=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.enter(x.flatten(1)))
        for block in self.middle:
            with torch.no_grad():
                added = block(x) - x
            x = x + added
        return self.head(x)


def test_an_over_deep_stack_that_was_never_trained_is_named() -> None:
    train, val = digits(lambda x, y: (x, y))
    live = trained(Deep, train, val, "cross_entropy", epochs=6)
    found = live.finding("idle-block")
    assert set(named(found)) == {f"middle.{n}" for n in range(6)}
    assert "2 provably earn their place" in found.summary


def reset(block: nn.Module, scale: float) -> None:
    torch.manual_seed(3)
    for parameter in block.parameters():
        if parameter.ndim > 1:
            parameter.copy_(scale * torch.randn_like(parameter))


def test_a_block_that_harms_is_named() -> None:
    hurt = broken(resnet(), lambda model: reset(model.blocks[2], 0.5))
    assert named(hurt.finding("idle-block")) == ["blocks.2"]
    hurt = broken(healthy("transformer"), lambda model: reset(model.encoder.layers[1].linear2, 1.0))
    assert named(hurt.finding("idle-block")) == ["encoder.layers.1"]
    hurt = broken(healthy("residual"), lambda model: reset(model[3].body, 0.7))
    assert named(hurt.finding("idle-block")) == ["3"]


def test_sound_models_without_a_factory_pass() -> None:
    for name in ("lstm", "unet"):
        found = replace(healthy(name), factory=None).finding("idle-block")
        assert found.verdict is Verdict.PASS, found.summary
