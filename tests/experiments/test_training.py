"""Training a private model, against the loop that anybody would write."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.spec import OptimizerSpec
from auditor.experiments.lab import CALL, affordable, scored
from auditor.experiments.training import at_rate, settled, train
from auditor.observations.performance import Performance
from tests.awkward import BY_NAME, SGD, mlp, subject_of, vectors


def plain_mlp() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def test_steps_are_those_of_a_plain_loop() -> None:
    data = vectors()
    subject = subject_of(mlp(), data, "cross_entropy")
    mine, naive = plain_mlp(), plain_mlp()
    losses = train(subject, mine, subject.batches("train", 4), SGD, clip_norm=0.5)
    optimizer = torch.optim.SGD(naive.parameters(), lr=0.05, momentum=0.9)
    expected = []
    for inputs, target in data:
        optimizer.zero_grad()
        loss = functional.cross_entropy(naive(inputs), target)
        loss.backward()
        nn.utils.clip_grad_norm_(naive.parameters(), 0.5)
        optimizer.step()
        expected.append(float(loss.detach()))
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    for one, other in zip(mine.parameters(), naive.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_loss_that_is_lost_ends_it() -> None:
    subject = subject_of(mlp(), vectors() * 20, "cross_entropy")
    wild = OptimizerSpec(name="SGD", lr=1e30)
    losses = train(subject, plain_mlp(), subject.batches("train", 80), wild)
    assert 1 < len(losses) < 80
    assert not np.isfinite(losses[-1])
    assert np.isfinite(losses[:-1]).all()


def test_nothing_to_train_takes_no_step() -> None:
    subject = BY_NAME["no-parameters"].subject()
    assert subject.model is not None
    assert train(subject, subject.model, subject.batches("train", 4), SGD).size == 0


def test_lbfgs_goes_through_the_model_several_times_a_step() -> None:
    subject = subject_of(mlp(), vectors(), "cross_entropy")
    spec = OptimizerSpec(name="LBFGS", lr=0.1)
    losses = train(subject, plain_mlp(), list(subject.batches("train", 1)) * 5, spec)
    assert losses[-1] < losses[0]


class Last(nn.Module):
    """Takes the last step of a recurrent layer's outputs."""

    def forward(self, given: tuple[torch.Tensor, Any]) -> torch.Tensor:
        return given[0][:, -1]


def test_the_budget_bounds_steps_of_costly_models() -> None:
    subject = subject_of(mlp(), vectors(), "cross_entropy")
    assert subject.facts.flops == 2 * 387  # each of its parameters once
    assert affordable(subject, 100, 6) == 100
    flops, many = subject.facts.flops, 10**6
    assert affordable(subject, 10**12, many) == int(5e11 / (flops * 3 * many))
    assert affordable(subject, 10**12, many, runs=10) == int(5e11 / (flops * 30 * many))
    assert affordable(subject, 10**12, 10**15) == 1


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_recurrent_layer_costs_each_weight_at_each_step(kind: type[nn.RNNBase]) -> None:
    layer = kind(6, 8, num_layers=2, bidirectional=True, batch_first=True)
    model = nn.Sequential(layer, Last(), nn.Linear(16, 3))
    batches = [(torch.randn(4, 30, 6), torch.tensor([0, 1, 2, 0]))]
    weights = sum(p.numel() for p in layer.parameters() if p.ndim > 1)
    subject = subject_of(model, batches, "cross_entropy")
    assert subject.facts.flops == 2 * (30 * weights + 16 * 3)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_calling_many_narrow_layers_costs_as_well() -> None:
    deep = nn.Sequential(*(nn.Linear(8, 8) for _ in range(1000)), nn.Linear(8, 3))
    subject = subject_of(deep, vectors(), "cross_entropy")
    assert subject.facts.flops * 6 < 2e6
    assert affordable(subject, 10**12, 6) == int(5e11 / (3 * 1001 * CALL))


def test_so_do_the_steps_of_a_recurrent_layer() -> None:
    model = nn.Sequential(nn.GRU(2, 4, batch_first=True), Last(), nn.Linear(4, 3))
    batches = [(torch.randn(2, 2000, 2), torch.tensor([0, 1]))]
    subject = subject_of(model, batches, "cross_entropy")
    assert subject.facts.recurrent_steps == 2000
    assert affordable(subject, 10**12, 2) == int(5e11 / (3 * 2003 * CALL))


def test_scores_are_those_of_evaluation_mode() -> None:
    data = vectors()
    subject = subject_of(mlp(), data, "cross_entropy")
    model = mlp().train()
    found = scored(subject, model, subject.batches("val", 4), "val")
    assert isinstance(found, Performance)
    assert all(module.training for module in model.modules())
    model.eval()
    right = torch.cat([model(x).argmax(1) == y for x, y in data])
    assert found.scores.tolist() == right.double().tolist()


def test_whoever_watches_ends_it_before_the_next_step() -> None:
    subject = subject_of(mlp(), vectors(), "cross_entropy")
    model, twin = plain_mlp(), plain_mlp()
    seen: list[tuple[int, float, int]] = []

    def watch(taken: int, loss: torch.Tensor, outputs: torch.Tensor) -> bool:
        seen.append((taken, float(loss), len(outputs)))
        return taken == 2

    losses = train(
        subject, model, subject.batches("train", 4), SGD, mode=nn.Module.eval, watch=watch
    )
    train(subject, twin, subject.batches("train", 2), SGD)
    assert [taken for taken, _, _ in seen] == [0, 1, 2]
    assert [loss for _, loss, _ in seen] == losses.astype(np.float32).tolist()
    assert not model.training
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_output_that_is_cut_off_changes_nothing() -> None:
    class CutOff(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain_mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x).detach()

    subject = subject_of(mlp(), vectors(), "cross_entropy")
    model = CutOff()
    losses = train(subject, model, list(subject.batches("train", 1)) * 3, SGD, clip_norm=1.0)
    assert len(set(losses.tolist())) == 1


def test_the_optimizer_is_the_declared_one_where_it_can_be() -> None:
    def given(optimizer: OptimizerSpec | None) -> tuple[str, str]:
        subject = subject_of(mlp(), vectors(), "cross_entropy", optimizer=optimizer)
        spec, why = settled(subject)
        return spec.name, why

    assert given(SGD) == ("SGD", "")
    assert given(None)[0] == "Adam"
    assert given(OptimizerSpec(name="LBFGS", lr=1.0))[0] == "Adam"
    assert at_rate(SGD, 3.0).arguments() == {"lr": 3.0, "momentum": 0.9}
