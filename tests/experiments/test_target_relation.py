"""What pairs tell, against a naive computation, and of data that is known to tell or not."""

import importlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from auditor.core.request import Unavailable
from auditor.experiments.target_relation import related, target_relation
from auditor.observations.target_relation import TargetRelation, TargetRelationOver, torn
from tests.awkward import TABLE, Awkward, subject_of

module: Any = importlib.import_module("auditor.experiments.target_relation")

RNG = np.random.default_rng(1)
X = RNG.standard_normal((90, 5))
Y = X[:, :1] - X[:, 1:2] ** 2 + 0.3 * RNG.standard_normal((90, 1))


def test_errors_are_those_of_models_fitted_without_the_example() -> None:
    kernel = module._centred(X @ X.T)
    y = Y - Y.mean(axis=0)
    for penalty, errors in zip(module.PENALTIES, module._left_out(kernel, y), strict=True):
        for out in (0, 17, 89):
            kept = np.delete(np.arange(90), out)
            inner, mean = kernel[np.ix_(kept, kept)], y[kept].mean(axis=0)
            # With an intercept that is not penalised: centre on the examples that are kept.
            middle = np.eye(89) - 1 / 89
            weights = np.linalg.solve(
                middle @ inner @ middle + penalty * np.eye(89), y[kept] - mean
            )
            row = (kernel[out, kept] - inner.mean(axis=0)) @ middle
            assert errors[out] == pytest.approx(float((y[out] - mean - row @ weights)[0] ** 2))


def test_sound_pairs_are_told_and_torn_ones_are_not() -> None:
    sound = related(module.Pairs(X, Y, False), np.random.default_rng(0))
    assert sound.chance < 0.01
    assert sound.bounds[0] > 0.1
    drawn = [
        related(module.Pairs(X, np.random.default_rng(n).permutation(Y), False), RNG)
        for n in range(40)
    ]
    assert 0.3 < np.mean([one.chance for one in drawn]) < 0.7
    assert np.mean([one.told for one in drawn]) < 0.05


def loader(inputs: torch.Tensor, target: torch.Tensor) -> DataLoader[Any]:
    return DataLoader(TensorDataset(inputs, target), 32)


def found(train: DataLoader[Any], val: DataLoader[Any], loss: str, width: int) -> TargetRelation:
    torch.manual_seed(0)
    model = nn.Linear(6, width)
    answer = target_relation(TargetRelationOver(), subject_of(model, val, loss, train=train))
    assert isinstance(answer, TargetRelation)
    return answer


@pytest.mark.parametrize("loss", ["mse_loss", "cross_entropy"])
@pytest.mark.parametrize("which", ["", "train", "val"])
def test_the_torn_split_is_told(loss: str, which: str) -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(500, 6, generator=generator)
    numbers = (inputs[:, :1] * inputs[:, 1:2] + inputs[:, 2:3]).exp()
    target = numbers if loss == "mse_loss" else (numbers[:, 0] > 1).long()
    order = torch.randperm(350, generator=generator)
    train = target[:350][order] if which == "train" else target[:350]
    val = target[350:].roll(7, 0) if which == "val" else target[350:]
    seen = found(
        loader(inputs[:350], train),
        loader(inputs[350:], val),
        loss,
        1 if loss == "mse_loss" else 2,
    )
    assert torn(seen) == which


def test_classes_of_a_sorted_split_that_the_other_hardly_has_tell_nothing() -> None:
    """A validation split in order is easy to tell by its few classes; training data is not."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(200, 6, generator=generator)
    few = torch.arange(3).repeat_interleave(60)
    many = torch.randint(200, (600,), generator=generator)
    noise = torch.randn(780, 6, generator=generator)
    seen = found(
        loader(centres[many] + noise[:600], many),
        loader(centres[few] + noise[600:], few),
        "cross_entropy",
        200,
    )
    assert not torn(seen)
    assert "classes that both splits have" in seen.reason


def test_moments_of_slow_series_tell_nothing() -> None:
    """Near copies tell each other's targets though these have nothing to do with inputs."""
    generator = torch.Generator().manual_seed(3)
    sensors = torch.randn(600, 6, generator=generator).cumsum(0)
    target = torch.randn(600, 1, generator=generator).cumsum(0)
    assert module.near_copies(sensors[400:].double().numpy()) > 0.5
    assert module.near_copies(sensors[torch.randperm(600)[:200]].double().numpy()) < 0.05
    order = torch.randperm(400, generator=generator)
    seen = found(
        loader(sensors[:400][order], target[:400][order].roll(1, 0)),
        loader(sensors[400:], target[400:]),
        "mse_loss",
        1,
    )
    assert not torn(seen)
    assert "neighbours in the order of validation data are alike" in seen.reason


@pytest.mark.parametrize("labels", [torch.tensor([3, 67, 1]), torch.tensor([0, 3, -100])])
def test_every_class_is_told_apart_and_what_has_none(labels: torch.Tensor) -> None:
    subject = subject_of(nn.Linear(6, 70), loader(torch.randn(3, 6), labels), "cross_entropy")
    pairs = module._pairs(TargetRelationOver(), subject, "val")
    assert sorted(pairs.targets[:, 0]) == sorted(labels)


@pytest.mark.parametrize("size", [1, 3, 32, 700])
def test_no_more_batches_are_drawn_than_announced(size: int) -> None:
    inputs = torch.randn(700, 6, generator=torch.Generator().manual_seed(3))
    model = nn.Linear(6, 1)
    data = DataLoader(TensorDataset(inputs, inputs[:, :1]), size)
    subject = subject_of(model, data, "mse_loss", train=data)
    drawn = list(module._drawn(TargetRelationOver(), subject, "val"))
    batches = subject.facts.data["val"].batches
    assert len(drawn) <= TargetRelationOver().cost({"train": 0, "val": batches}).forwards
    assert 40 <= sum(batch.size for batch in drawn) <= 512


def test_examples_that_stand_there_several_times_tell_nothing_of_each_other() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(120, 6, generator=generator)
    target = inputs[:, :1] + inputs[:, 1:2]
    mixed = target[torch.randperm(120, generator=generator)]
    seen = found(
        loader(inputs.repeat(4, 1), mixed.repeat(4, 1)), loader(inputs, target), "mse_loss", 1
    )
    assert torn(seen) == "train"
    assert len(seen.whole["train"].errors) == 120


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_odd_models_are_measured_or_left_with_a_reason(case: Awkward) -> None:
    answer = target_relation(TargetRelationOver(), case.subject())
    assert isinstance(answer, Unavailable) or answer.known or answer.whole or answer.reason
    if isinstance(answer, TargetRelation):
        assert torn(answer) == ""
