"""What fresh copies fit, against loops that anybody would write."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.statistics import geometric_interval
from auditor.experiments.capacity import capacity
from auditor.experiments.fresh_copies import unregularised
from auditor.experiments.lab import BUDGET
from auditor.intake import assembly
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.capacity import Capacity, CapacityOver, Strait
from tests.awkward import TABLE, Awkward, subject_of

SMALL = CapacityOver(examples=64, steps=60, seeds=3)


def network(*widths: int, dropout: float = 0.0) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def data(count: int = 96, noise: float = 0.0, size: int = 16) -> list[tuple[torch.Tensor, ...]]:
    """Return six classes, each a direction; a share of labels is drawn at random."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 6
    x = 3 * functional.one_hot(y, 6) + torch.randn(count, 6, generator=generator)
    drawn = torch.randint(6, (count,), generator=generator)
    y = torch.where(torch.rand(count, generator=generator) < noise, drawn, y)
    return [(x[i : i + size], y[i : i + size]) for i in range(0, count, size)]


def subject(*widths: int, noise: float = 0.0, dropout: float = 0.0, size: int = 16) -> Subject:
    def build() -> nn.Module:
        return network(*widths, dropout=dropout)

    return subject_of(build(), data(noise=noise, size=size), "cross_entropy", factory=build)


def answered(on: Subject, request: CapacityOver = SMALL) -> Capacity:
    found = capacity(request, on)
    assert isinstance(found, Capacity), found
    return found


def test_a_wide_network_fits_true_targets_faster_than_random_ones() -> None:
    found = answered(subject(6, 64, 6))
    assert found.subset == 64
    assert found.true.shape == found.random.shape == (3, 60)
    assert found.true_scores.mean() > 0.95
    assert (found.slowness() > 2).all()
    assert not found.longer_scores.size
    assert (found.parameters, found.targets, found.all_counted) == (838, 96, True)
    assert found.strait is None


def test_noise_is_no_faster_than_random_targets() -> None:
    found = answered(subject(6, 256, 6, noise=1.0))
    assert abs(np.log(found.slowness()).mean()) < 0.2


def test_a_bottleneck_is_trained_longer_and_stays_behind() -> None:
    found = answered(subject(6, 32, 1, 6))
    assert found.linear_scores.mean() > 0.95
    assert found.longer_scores.mean() < found.linear_scores.mean() - 0.2
    assert found.out_of_reach
    assert found.strait == Strait("3", "out", 1, 5, "3")


def test_losses_are_those_of_a_plain_loop() -> None:
    on = subject(6, 16, 6)
    found = answered(on)
    batches = list(on.batches("train", 4))
    seed = derived_seed(on.seed, "capacity 0")
    model = on.fresh(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=found.rate)
    losses = []
    for step in range(60):
        inputs, target = batches[step % 4].args[0], batches[step % 4].target
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    np.testing.assert_allclose(found.true[0], losses, rtol=1e-5)
    right = torch.cat([model(b.args[0]).argmax(1) == b.target for b in batches])
    np.testing.assert_array_equal(found.true_scores[0], right.double())


def test_dropout_is_off_and_batch_norm_on_its_batch() -> None:
    model = nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.LSTM(4, 4, 2, dropout=0.5)
    )
    unregularised(model.eval())
    assert model[1].training
    assert not model[2].training
    assert model[3].training
    assert model[3].dropout == 0.0


def test_small_batches_are_joined() -> None:
    found = answered(subject(6, 16, 6, size=1))
    assert found.subset == 64
    few = [(x, y) for x, y in data(count=6)]
    on = subject_of(network(6, 8, 6), few, "cross_entropy", factory=lambda: network(6, 8, 6))
    assert isinstance(capacity(SMALL, on), Unavailable)


def test_it_is_the_same_each_time_and_leaves_the_model_alone() -> None:
    on = subject(6, 16, 6, dropout=0.5)
    assert on.model is not None
    before = [p.clone() for p in on.model.parameters()]
    one, two = answered(on), answered(on)
    np.testing.assert_array_equal(one.random, two.random)
    assert all(torch.equal(a, b) for a, b in zip(before, on.model.parameters(), strict=True))


def test_fewer_seeds_where_there_are_few_parameters() -> None:
    request = CapacityOver(examples=64, steps=20, seeds=5)
    assert answered(subject(6, 16, 6), request).true.shape == (3, 20)
    assert len(answered(subject(6, 128, 6, noise=1.0), request).true) == 5


def test_no_more_seeds_where_random_targets_are_surely_learnt_more_slowly() -> None:
    request = CapacityOver(examples=64, steps=60, seeds=5)
    found = answered(subject(6, 128, 6), request)
    assert found.true.shape == found.random.shape == (3, 60)
    assert geometric_interval(found.slowness())[1] >= 2


@pytest.mark.parametrize(("places", "examples"), [(1, 96), (45, 91), (200, 64)])
def test_fewer_examples_where_each_has_many_targets(places: int, examples: int) -> None:
    def build() -> nn.Module:
        return nn.Linear(places, places)

    x = torch.randn(96, places, generator=torch.Generator().manual_seed(0))
    batches = [(x[i : i + 16], x[i : i + 16]) for i in range(0, 96, 16)]
    on = subject_of(build(), batches, "mse_loss", factory=build)
    request = CapacityOver(examples=256, steps=2, seeds=3)
    assert answered(on, request).subset == examples


def test_steps_are_saved_before_seeds_are() -> None:
    on = subject(6, 128, 6, noise=1.0)
    request = CapacityOver(examples=64, steps=100, seeds=5)
    step = 3 * 16 * (2 * request.seeds + 3)
    for steps, shape in ((80.1, (5, 80)), (50.1, (3, 72))):
        costly = replace(on, facts=replace(on.facts, flops=BUDGET / (step * steps)))
        assert answered(costly, request).true.shape == shape


def test_random_targets_are_trained_on_until_they_are_learnt() -> None:
    found = answered(subject(6, 128, 6, noise=1.0), CapacityOver(examples=64, steps=20, seeds=3))
    assert found.random.shape[1] == 80
    assert found.learnt


@pytest.mark.parametrize("case", TABLE[::4], ids=str)
@pytest.mark.usefixtures("frugal")
def test_awkward_models_get_an_answer(case: Awkward, monkeypatch: pytest.MonkeyPatch) -> None:
    # So costly that copies get the steps asked for, and few beside the linear model.
    monkeypatch.setattr(assembly, "flops_of", lambda *_: 3e7)
    found = capacity(CapacityOver(examples=16, steps=8, seeds=3), case.subject())
    if isinstance(found, Unavailable):
        assert case.name in ("no-parameters", "frozen-whole"), found.reason
        return
    assert found.true.shape == found.random.shape
    assert found.true.shape in ((3, 8), (3, 32))
    assert np.isfinite(found.true).all()
