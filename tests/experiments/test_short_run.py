"""Short training runs, against the loop that anybody would write."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.subject import TargetFacts
from auditor.experiments.short_run import blank, short_runs
from auditor.intake.batches import Batch
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.short_run import ShortRuns, ShortRunsOver, constant_loss
from tests.awkward import BY_NAME, SGD, subject_of, vectors

ASKED = ShortRunsOver(seeds=2, steps=10, split="train")


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def by_hand(subject, number: int, rate: float, zero: bool) -> tuple[list[float], list[float]]:
    with seeded(derived_seed(subject.seed, f"short run {number}")):
        model = plain()
    data = [(x * 0 if zero else x, y) for x, y in vectors()]
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    losses = []
    for step in range(10):
        x, y = data[step % 4]
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, [float(functional.cross_entropy(model(x), y)) for x, y in data]


@pytest.mark.parametrize("inputs", ["real", "blank"])
def test_runs_are_those_of_a_plain_loop(inputs: str) -> None:
    subject = subject_of(plain(), vectors(), "cross_entropy", factory=plain)
    found = short_runs(replace(ASKED, inputs=inputs), subject)
    assert isinstance(found, ShortRuns)
    for number, run in enumerate(found.runs):
        losses, after = by_hand(subject, number, SGD.lr, inputs == "blank")
        np.testing.assert_allclose(run.losses, losses, rtol=1e-5)
        np.testing.assert_allclose(run.probes[-1], after, rtol=1e-5)
        assert run.probes.shape == (3, 4)
    factors = [run.factor for run in found.others]
    assert factors[:2] == ([10.0, 0.1] if inputs == "real" else [])
    for run in found.others[:2]:
        losses, _ = by_hand(subject, 0, SGD.lr * run.factor, False)
        np.testing.assert_allclose(run.losses, losses, rtol=1e-4)


def test_far_rates_are_tried_where_near_ones_get_nowhere() -> None:
    lame = OptimizerSpec(name="SGD", lr=1e-7)
    subject = subject_of(plain(), vectors(), "cross_entropy", factory=plain, optimizer=lame)
    found = short_runs(replace(ASKED, steps=30), subject)
    assert [run.factor for run in found.others][:3] == [10.0, 0.1, 100.0]
    assert found.others[-1].factor >= 1e4


def test_without_an_optimizer_adam_is_used_and_told() -> None:
    subject = subject_of(plain(), vectors(), "cross_entropy", factory=plain, optimizer=None)
    found = short_runs(ASKED, subject)
    assert found.optimizer == "Adam(lr=0.001)"
    assert found.instead == "no optimizer is declared"
    lbfgs = OptimizerSpec(name="LBFGS", lr=1.0)
    subject = subject_of(plain(), vectors(), "cross_entropy", factory=plain, optimizer=lbfgs)
    assert "LBFGS" in short_runs(ASKED, subject).instead


def test_validation_data_is_mixed_first() -> None:
    x = torch.randn(60, 8)
    y = torch.arange(60) // 20
    sorted_ones = [(x[i : i + 10], y[i : i + 10]) for i in range(0, 60, 10)]
    subject = subject_of(plain(), sorted_ones, "cross_entropy", factory=plain)
    found = short_runs(replace(ASKED, split="val"), subject)
    start = found.runs[0].probes[0]
    train = short_runs(ASKED, subject).runs[0].probes[0]
    assert start.std() < train.std()


def test_a_costly_model_gets_smaller_batches_or_none() -> None:
    subject = subject_of(plain(), [(torch.randn(64, 8), torch.arange(64) % 3)], "cross_entropy",
                         factory=plain)  # fmt: skip
    dear = replace(subject, facts=replace(subject.facts, flops=4e8))
    found = short_runs(ASKED, dear)
    assert found.examples == 8 if found.note else found.examples == 64
    huge = replace(subject, facts=replace(subject.facts, flops=1e13))
    answer = short_runs(replace(ASKED, steps=100), huge)
    assert isinstance(answer, Unavailable)
    assert "large" in answer.reason


def test_a_lost_loss_ends_a_run() -> None:
    wild = OptimizerSpec(name="SGD", lr=1e30)
    subject = subject_of(plain(), vectors(), "cross_entropy", factory=plain, optimizer=wild)
    found = short_runs(replace(ASKED, steps=40), subject)
    assert found.runs[0].lost is not None
    assert not found.runs[0].finite


def test_nothing_to_train_is_told() -> None:
    assert isinstance(short_runs(ASKED, BY_NAME["no-parameters"].subject()), Unavailable)


def test_masks_and_lengths_are_not_blanked() -> None:
    kwargs = {"ids": torch.ones(2, 3).long(), "attention_mask": torch.ones(2, 3).long()}
    done = blank(Batch((torch.ones(2), torch.ones(2).bool()), kwargs, torch.ones(2)))
    assert done.kwargs["ids"].sum() == 0
    assert done.kwargs["attention_mask"].sum() == 6
    assert done.args[0].sum() == 0
    assert done.args[1].all()
    assert done.target.sum() == 2


def test_the_loss_of_a_constant() -> None:
    facts = TargetFacts("classes", 4, (0, 1), (3, 1))
    assert constant_loss("cross_entropy", facts) == pytest.approx(0.5623, abs=1e-4)
    labels = TargetFacts("labels", 8, (0, 1, 2, 3), (2, 2, 4, 0))
    loss = constant_loss("binary_cross_entropy", labels)
    assert loss == pytest.approx(np.log(2) / 2)
    assert constant_loss("mse_loss", TargetFacts("numbers", 2, variance=(4.0,))) == 4.0
    assert np.isnan(constant_loss("", facts))
