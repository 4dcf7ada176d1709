"""A real model audited before and after it was damaged, or trained anew."""

import functools
from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from auditor.core.verdict import Verdict
from tests.again import batched, compared, first, together
from tests.subjects import Live, broken, trained
from tests.zoo import mlp, tabular

CHECK = "worse-than-before"


def noise(size: float) -> object:
    def damage(model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.mul_(1 + size * torch.randn(parameter.shape, generator=generator))

    return damage


@pytest.mark.parametrize(
    ("name", "size"), [("digits", 0.4), ("diabetes", 2.0), ("names", 0.5), ("language", 0.4)]
)
def test_a_damaged_checkpoint(request: pytest.FixtureRequest, name: str, size: float) -> None:
    live: Live = request.getfixturevalue(name)
    before = first(live)
    found = compared(broken(live, noise(size)), before)
    assert found["data-changed"].verdict is Verdict.PASS
    assert found[CHECK].verdict is Verdict.FAIL, found[CHECK].summary
    assert found[CHECK].where[0].kind == "example"
    assert found[CHECK].figures
    back = compared(live, first(broken(live, noise(size))))
    assert back[CHECK].verdict is Verdict.INFO


def test_the_examples_that_are_named_are_those_that_got_worse(digits: Live) -> None:
    before = first(digits)
    damaged = broken(digits, noise(0.4))
    found = compared(damaged, before)[CHECK]
    inputs, targets = together(digits.val)
    with torch.no_grad():
        right = [m.eval()(inputs).argmax(1) == targets for m in (digits.model, damaged.model)]
    for place in found.where:
        number = int(place.name.removeprefix("val "))
        assert right[0][number]
        assert not right[1][number]


def test_one_class_that_was_forgotten(digits: Live) -> None:
    before = first(digits)

    def forget(model: nn.Module) -> None:
        head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
        head.bias[4] -= 20

    found = compared(broken(digits, forget), before)[CHECK]
    assert found.verdict is Verdict.FAIL
    classes = next(figure for figure in found.figures if figure.title == "Change by class")
    assert classes.labels[0].startswith("class 4")
    assert classes.marked[0]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_raises_no_alarm(seed: int) -> None:
    train, val, features = tabular(load_breast_cancer(), 0)
    build = functools.partial(mlp, features, 32, 32, 2)
    one, other = (
        trained(build, train, val, "cross_entropy", epochs=15, seed=number) for number in (0, seed)
    )
    assert compared(other, first(one))[CHECK].verdict in (Verdict.PASS, Verdict.INFO)
    assert compared(one, first(other))[CHECK].verdict in (Verdict.PASS, Verdict.INFO)


def test_fewer_examples_are_paired(digits: Live) -> None:
    before = first(digits)
    inputs, targets = together(digits.val)
    fewer = replace(digits, val=batched(inputs[100:], targets[100:]))
    found = compared(broken(fewer, noise(0.4)), before)[CHECK]
    assert found.verdict is Verdict.FAIL
    assert f"on the same {len(inputs) - 100} examples" in found.summary
