"""Copies with their running statistics as they are, computed anew, and without dropout."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Cost
from auditor.experiments.norm_trial import norm_trial
from auditor.experiments.renewal import on_batches, renew
from auditor.intake.batches import Batch
from auditor.intake.subject import Subject
from auditor.observations.norm_trial import ARMS, NormTrial, NormTrialOver
from tests.awkward import TABLE, Awkward, subject_of

ASKED = NormTrialOver(split="train")


def clouds(count: int = 12, size: int = 32, spread: float = 1.0) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 12, generator=generator)
    batches = []
    for _ in range(count):
        labels = torch.randint(4, (size,), generator=generator)
        noise = spread * torch.randn(size, 12, generator=generator)
        batches.append((centres[labels] + noise, labels))
    return batches


class Net(nn.Module):
    """A linear layer, dropout, batch norm."""

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self.first, self.drop = nn.Linear(12, 24), nn.Dropout(share)
        self.norm, self.head = nn.BatchNorm1d(24), nn.Linear(24, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.norm(self.drop(self.first(x)))))


def trained(model: nn.Module, batches: list[Any], epochs: int = 6) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for x, y in epochs * batches:
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def tried(subject: Subject, request: NormTrialOver = ASKED) -> NormTrial:
    answer = norm_trial(request, subject)
    assert isinstance(answer, NormTrial), answer
    return answer


def gain(trial: NormTrial, before: Any, after: Any) -> float:
    return trial.gains(before, after, np.random.default_rng(0))[0].value


@pytest.mark.parametrize("training", [False, True])
def test_statistics_anew_are_plain_means_over_batches(training: bool) -> None:
    model, batches = Net(0.5), [Batch((x,), {}, y) for x, y in clouds()]
    torch.manual_seed(1)
    renew(model, batches, training=training)
    torch.manual_seed(1)
    with torch.no_grad():
        given = [
            functional.dropout(model.first(b.args[0]), 0.5, training=training) for b in batches
        ]
    torch.testing.assert_close(
        model.norm.running_mean, torch.stack([x.mean(0) for x in given]).mean(0)
    )
    torch.testing.assert_close(
        model.norm.running_var, torch.stack([x.var(0) for x in given]).mean(0)
    )
    assert not model.training
    assert not model.norm.training


def test_instance_norm_s_statistics_are_computed_anew_too() -> None:
    model = nn.Sequential(nn.InstanceNorm1d(4, track_running_stats=True))
    x = torch.randn(40, 4, 50) * 3 + 2
    renew(model, [Batch((part,), {}, None) for part in x.split(8)])
    torch.testing.assert_close(model[0].running_mean, x.mean((0, 2)))
    torch.testing.assert_close(model[0].running_var, x.var(2).mean(0))


def test_on_batches_uses_their_statistics_and_keeps_the_others() -> None:
    model = Net(0.5).eval()
    before = model.norm.running_mean.clone()
    on_batches(model)
    x = clouds()[0][0]
    given = model.first(x)
    normed = (given - given.mean(0)) / (given.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(model(x), model.head(torch.relu(normed)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.norm.running_mean, before)


def test_every_arm_is_the_score_that_a_loop_would_find() -> None:
    batches = clouds()
    model = trained(Net(), batches)
    model.norm.running_mean += 3.0
    trial = tried(subject_of(model, batches, "cross_entropy"))
    plain, anew, without, batch = trial.scores
    assert trial.measure == "accuracy"
    assert np.isnan(without).all()
    model.eval()
    with torch.no_grad():
        right = torch.cat([model(x).argmax(1) == y for x, y in batches]).float().mean()
    assert abs(plain.mean() - float(right)) < 0.08  # on 8 of the 12 batches
    assert anew.mean() > plain.mean() + 0.1
    assert batch.shape == anew.shape == (256,)
    assert np.isfinite(batch).all()
    assert gain(trial, "as it is", "computed anew") == pytest.approx(anew.mean() - plain.mean())
    (layer,) = trial.given
    assert layer.layer == "norm"
    assert layer.typical()[0] > 0.5
    assert trial.shift.size == 0
    assert not trial.drops


def test_the_shift_is_the_ratio_that_dropout_predicts() -> None:
    """Of inputs with mean 0 the variance under dropout is 1 / (1 - p) times that without."""
    batches = [(torch.randn(64, 12), torch.randint(4, (64,))) for _ in range(10)]
    model = Net(0.5)
    nn.init.zeros_(model.first.bias)
    trial = tried(subject_of(model, batches, "cross_entropy"))
    _, low, high = trial.shifts()[0]
    assert low < 2.0 < high
    assert high - low < 0.2
    assert trial.drops


def test_without_dropout_statistics_are_those_of_what_comes_in_use() -> None:
    batches = clouds(1, 256)
    model = trained(Net(0.5), batches, 40)
    trial = tried(subject_of(model, batches, "cross_entropy"))
    ((x, y),) = batches
    model.eval()
    with torch.no_grad():
        entering = model.first(x)
        model.norm.running_mean.copy_(entering.mean(0))
        model.norm.running_var.copy_(entering.var(0))
        expected = functional.cross_entropy(model(x), y, reduction="none")
    place = ARMS.index("without dropout")
    np.testing.assert_allclose(np.sort(trial.entropies[place]), expected.sort()[0], 1e-4, 1e-6)
    found = trial.gains("computed anew", "without dropout", np.random.default_rng(0))
    assert [gain.measure for gain in found] == ["accuracy", "cross-entropy"]
    difference = trial.entropies[1].mean() - trial.entropies[2].mean()
    assert found[1].value == pytest.approx(difference / trial.entropies[1].mean())


def test_dropout_behind_the_norm_changes_no_statistics() -> None:
    class After(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.drop(torch.relu(self.norm(self.first(x)))))

    trial = tried(subject_of(After(0.5), clouds(), "cross_entropy"))
    np.testing.assert_allclose(trial.shift, 1.0, atol=1e-3)
    np.testing.assert_array_equal(trial.scores[1], trial.scores[2])


def test_a_loader_sorted_by_class_makes_no_difference() -> None:
    batches = clouds()
    model = trained(Net(), batches)
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    order = y.argsort(stable=True)
    sorted_ = list(zip(x[order].split(32), y[order].split(32), strict=True))
    trial = tried(subject_of(model, sorted_, "cross_entropy"))
    assert abs(gain(trial, "as it is", "computed anew")) < 0.05
    assert abs(gain(trial, "computed anew", "on the batch")) < 0.05


def test_a_model_made_for_inference_is_scored_all_the_same() -> None:
    class Inference(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise RuntimeError("for inference")
            return super().forward(x)

    batches = clouds()
    model = Inference()
    model.load_state_dict(trained(Net(), batches).state_dict())
    model.norm.running_mean += 3.0
    trial = tried(subject_of(model, batches, "cross_entropy"))
    assert "for inference" in trial.note
    assert gain(trial, "as it is", "computed anew") > 0.1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_small_batches_are_joined(size: int) -> None:
    trial = tried(subject_of(Net(), clouds(40, size), "cross_entropy"))
    assert trial.size == max(2, size)
    assert trial.given[0].groups >= 4
    assert np.isfinite(trial.scores[ARMS.index("on the batch")]).any()


def test_tasks_without_a_metric_are_scored_by_batch() -> None:
    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs.mean(1) - target.float()).square().mean()

    trial = tried(subject_of(Net(), clouds(), loss, task="custom"))
    assert trial.measure == "loss"
    assert trial.scores.shape == (4, 8)
    assert np.isnan(trial.scores[3]).all()
    assert trial.entropies.shape == (4, 0)


def test_without_a_loss_there_are_layers_but_no_scores() -> None:
    trial = tried(subject_of(Net(0.5), clouds(), None))
    assert trial.scores.shape == (4, 0)
    assert trial.shift.shape == (12, 1)
    assert trial.gains("as it is", "computed anew", np.random.default_rng(0)) == ()


def test_passes_are_no_more_than_planned() -> None:
    model, passes = Net(0.5), 0

    def count(module: nn.Module, args: Any) -> None:
        nonlocal passes
        passes += 1

    model.register_forward_pre_hook(count)
    for batches in (clouds(40), clouds(5), clouds(40, 3)):
        subject = subject_of(model, batches, "cross_entropy")
        passes = 0
        tried(subject)
        known = {split: facts.batches for split, facts in subject.facts.data.items()}
        assert 0 < passes <= ASKED.cost(known).forwards
    assert ASKED.cost({"train": 43, "val": 8}) == Cost(3 * 28 + 32)
    assert ASKED.looked_at({"train": 43, "val": 8}) == {"train": 43, "val": 8}


@pytest.mark.parametrize(
    "case",
    [c for c in TABLE if any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)
                             for m in c.model().modules())],
    ids=str,
)  # fmt: skip
def test_awkward_models_are_tried_alike_twice_and_left_alone(case: Awkward) -> None:
    given = case.subject()
    assert given.model is not None
    before = copy.deepcopy(given.model.state_dict())
    one, other = tried(given), tried(given)
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.shift, other.shift)
    for name, now in given.model.state_dict().items():
        torch.testing.assert_close(now, before[name], rtol=0, atol=0, equal_nan=True)
