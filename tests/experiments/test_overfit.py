"""Attempts to learn a few examples by heart, against plain training."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.examples import by_turns, distinct, gathered, joined, mixed, moved
from auditor.experiments.floor import floor_of
from auditor.experiments.overfit import overfit_trials
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.overfit import OverfitTrials, OverfitTrialsOver
from tests.awkward import BY_NAME, SGD, mlp, subject_of, vectors

ASKED = OverfitTrialsOver(seeds=1, split="val")


def batch(size: int, start: int = 0) -> Batch:
    rows = torch.arange(start, start + size)
    return Batch((rows[:, None].float(),), {"mask": rows > 2}, rows % 3)


def test_batches_are_joined_and_mixed_with_their_targets() -> None:
    whole = joined([batch(4), batch(3, 4)])
    assert whole is not None
    assert whole.size == 7
    assert whole.args[0].flatten().tolist() == list(range(7))
    pieces = mixed([whole], 3)
    assert [piece.size for piece in pieces] == [3, 3]  # the last one, alone, is left out
    for piece in pieces:
        assert (piece.args[0].flatten() % 3 == piece.target).all()
        assert ((piece.args[0].flatten() > 2) == piece.kwargs["mask"]).all()
    wide = Batch((torch.zeros(2, 5),), {}, torch.zeros(2))
    assert joined([Batch((torch.zeros(2, 4),), {}, torch.zeros(2)), wide]) is None


def test_no_example_keeps_its_place() -> None:
    for size in (2, 3, 17):
        order = moved(size)
        assert sorted(order.tolist()) == list(range(size))
        assert (order != torch.arange(size)).all()


def test_examples_are_chosen_by_turns_and_unlike() -> None:
    rows = torch.tensor([[1.0], [1.0], [2.0], [-0.0], [0.0]])
    assert distinct(Batch((rows,), {}, torch.zeros(5))) == [0, 2, 3]
    assert by_turns("aaabbc", range(6), 4) == [0, 3, 5, 1]


def test_all_batches_are_gathered_into_one() -> None:
    subject = BY_NAME["mlp"].subject()
    (whole,) = gathered(subject, "val", 9)
    assert whole.size == 21


def test_an_attempt_is_plain_training_on_the_same_examples() -> None:
    data = vectors()
    subject = subject_of(mlp(), data, "cross_entropy", factory=mlp)
    found = overfit_trials(ASKED, subject)
    assert isinstance(found, OverfitTrials)
    first = found.fits[0]
    seed = derived_seed(subject.seed, "overfit 0")
    with seeded(seed):
        model = mlp().eval()
    x, y = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    order = by_turns(y.tolist(), range(len(y)), 16)
    x, y = x[order], y[order]
    optimizer = torch.optim.SGD(model.parameters(), lr=SGD.lr, momentum=0.9)
    losses = []
    for _ in first.losses:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    np.testing.assert_allclose(first.losses, losses, rtol=1e-4)
    assert first.reached
    assert losses[-1] <= 0.05 * math.log(3) < losses[-2]
    assert {fit.examples for fit in found.fits} == {2, 16}


@pytest.mark.parametrize("name", ["no-parameters", "frozen-whole"])
def test_nothing_to_train_is_told(name: str) -> None:
    assert isinstance(overfit_trials(ASKED, BY_NAME[name].subject()), Unavailable)


def test_parameters_without_gradient_are_found() -> None:
    def dead() -> nn.Module:
        model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3), nn.ReLU())
        nn.init.constant_(model[1].bias, -50.0)
        return model

    subject = subject_of(dead(), vectors(), "cross_entropy", factory=dead)
    found = overfit_trials(ASKED, subject)
    assert found.silent == ("0.weight", "0.bias", "1.weight", "1.bias")
    assert found.silent_share == 1.0
    assert not any(fit.reached for fit in found.fits)


def test_equal_inputs_are_not_attempted() -> None:
    blank = [(x * 0, y) for x, y in vectors()]
    found = overfit_trials(ASKED, subject_of(mlp(), blank, "cross_entropy", factory=mlp))
    assert (found.fits, found.different, found.labels) == ((), 1, 3)


def floor(loss: object, target: torch.Tensor, inputs: torch.Tensor | None = None, width: int = 3):
    x = torch.randn(len(target), 8) if inputs is None else inputs
    model = nn.Linear(8, width) if inputs is None else nn.Embedding(5, width)
    subject = subject_of(model, [(x, target)], loss)
    return floor_of(subject, Batch((x,), {}, target))


def test_floors() -> None:
    labels = torch.tensor([0, 1, 2, 0])
    hard = floor("cross_entropy", labels)
    assert (hard.value, hard.near) == (0.0, pytest.approx(0.05 * math.log(3)))
    assert hard.constant == pytest.approx(1.0397, abs=1e-4)  # entropy of 1/2, 1/4, 1/4
    smooth = floor(nn.CrossEntropyLoss(label_smoothing=0.1), labels)
    sure = torch.tensor([[200.0, 0, 0]]) @ torch.eye(3)
    kept = torch.log(torch.tensor([0.1 / 3 + 0.9, 0.1 / 3, 0.1 / 3]))
    best = functional.cross_entropy(kept[None], torch.tensor([0]), label_smoothing=0.1)
    assert smooth.value == pytest.approx(float(best), rel=1e-5)
    assert sure.argmax() == 0
    soft = floor("cross_entropy", torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    assert soft.value == pytest.approx(math.log(2) / 2)
    numbers = floor("mse_loss", torch.tensor([[1.0], [3.0]]), width=1)
    assert (numbers.constant, numbers.near) == (1.0, 0.01)
    own = floor(lambda outputs, target: outputs.sum(), labels)
    assert math.isnan(own.near)


def test_equal_beginnings_leave_something_open() -> None:
    tokens = torch.tensor([[1, 2], [1, 3]])
    target = torch.tensor([[2, 4], [3, 4]])
    found = floor("cross_entropy", target, tokens, width=5)
    assert found.value == pytest.approx(math.log(2) / 2)
    assert found.best_accuracy == 0.75
