import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Failed
from auditor.intake.running_statistics import Moments
from auditor.observations.batch_norm import BatchNormStatistics, BatchNormStatisticsOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors
from tests.observers.naive import assert_same, hooked, sweeping, swept

ASKED = BatchNormStatisticsOver(batches=4, split="train")


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_moments_agree_with_all_inputs_at_once(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert not isinstance(seen, Failed), seen
    inputs: dict[str, list[torch.Tensor]] = {}

    def keep(name: str, module: nn.Module, args: tuple[torch.Tensor, ...], output: object) -> None:
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            values = args[0].detach().double().movedim(1, -1)
            inputs.setdefault(name, []).append(values.reshape(-1, values.shape[-1]))

    with sweeping(subject, ASKED) as model, torch.no_grad(), hooked(model, keep):
        for batch in subject.batches("train", 4):
            model(*batch.args, **batch.kwargs)
    assert [layer.layer for layer in seen.layers] == list(inputs)
    for layer in seen.layers:
        whole = torch.cat(inputs[layer.layer])
        module = subject.model.get_submodule(layer.layer)
        assert layer.count == len(whole)
        np.testing.assert_allclose(layer.mean, whole.mean(0).numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(layer.variance, whole.var(0, correction=0).numpy(), rtol=1e-5)
        np.testing.assert_array_equal(layer.running_mean, module.running_mean.double().numpy())
        np.testing.assert_array_equal(layer.running_var, module.running_var.double().numpy())
        assert layer.eps == module.eps
    assert seen.examples == sum(b.size for b in subject.batches("train", 4))


def test_a_mean_far_from_zero_costs_no_precision_over_batches() -> None:
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))
    batches = [(x + 1000.0, y) for x, y in vectors()]
    (layer,) = swept(subject_of(model, batches, "cross_entropy"), ASKED).layers
    whole = torch.cat([x for x, _ in batches]).double()
    np.testing.assert_allclose(layer.variance, whole.var(0, correction=0).numpy(), rtol=1e-4)


def test_double_precision_is_kept() -> None:
    model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
    batches = [(x.double() + 1e9, y) for x, y in vectors()]
    (layer,) = swept(subject_of(model, batches, "cross_entropy"), ASKED).layers
    whole = torch.cat([x for x, _ in batches])
    np.testing.assert_allclose(layer.variance, whole.var(0, correction=0).numpy(), rtol=1e-5)


def test_layers_without_running_statistics_are_not_looked_at() -> None:
    model = nn.Sequential(nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3))
    assert swept(subject_of(model, vectors(), "cross_entropy"), ASKED).layers == ()


class Stubborn(nn.Sequential):
    """Keeps its batch norm in training mode whatever it is told, so that it goes on learning."""

    def train(self, mode: bool = True) -> "Stubborn":
        super().train(mode)
        self[0].train()
        return self


def test_running_statistics_are_those_from_before_the_sweep() -> None:
    model = Stubborn(nn.BatchNorm1d(8), nn.Linear(8, 3))
    before = model[0].running_mean.clone()
    seen = swept(subject_of(model, vectors(), "cross_entropy"), BatchNormStatisticsOver(2, "train"))
    np.testing.assert_array_equal(seen.layers[0].running_mean, before.double().numpy())


def test_a_layer_that_one_part_alone_met_is_kept() -> None:
    seen = swept(BY_NAME["shared-relu"].subject(profile="quick"), ASKED)
    first = BatchNormStatistics(seen.layers[:1], 3, "train")
    second = BatchNormStatistics(seen.layers[1:], 4, "train")
    merged = first.merge(second)
    assert_same(merged.layers, seen.layers)
    assert merged.examples == 7


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_every_kind_of_batch_norm_is_seen(kind: type[nn.Module]) -> None:
    shape = {nn.BatchNorm1d: (), nn.BatchNorm3d: (2, 3, 2)}.get(kind, (2, 3))
    model = nn.Sequential(kind(8), nn.Flatten(), nn.LazyLinear(3))
    batches = [(torch.randn(5, 8, *shape), torch.randint(3, (5,))) for _ in range(4)]
    model.eval()(batches[0][0])
    (layer,) = swept(subject_of(model, batches, "cross_entropy"), ASKED).layers
    whole = torch.cat([x for x, _ in batches]).movedim(1, 0).flatten(1).double()
    np.testing.assert_allclose(layer.mean, whole.mean(1).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.variance, whole.var(1, correction=0).numpy(), rtol=1e-5)
    assert layer.groups == 16


def test_instance_norm_is_given_the_mean_of_each_example_s_variance() -> None:
    model = nn.Sequential(
        nn.InstanceNorm1d(4, track_running_stats=True), nn.Flatten(), nn.Linear(20, 3)
    )
    batches = [(torch.randn(6, 4, 5) + torch.randn(6, 4, 1) * 9, torch.arange(6) % 3)] * 2
    batches += [(x * 2, y) for x, y in batches]
    whole = torch.cat([x for x, _ in batches]).double()
    (layer,) = swept(subject_of(model, batches, "cross_entropy"), ASKED).layers
    np.testing.assert_allclose(layer.mean, whole.mean((0, 2)).numpy(), rtol=1e-4, atol=1e-5)
    mean = whole.var(2, correction=0).mean(0)
    np.testing.assert_allclose(layer.variance, mean.numpy(), rtol=1e-5)
    parts = [swept(subject_of(model, batches[n : n + 1], "cross_entropy"), ASKED) for n in range(4)]
    merged = parts[0].merge(parts[1]).merge(parts[2].merge(parts[3]))
    assert_same(merged.layers[0], layer, rtol=1e-6)


def test_the_error_of_the_divergence_is_that_between_samples() -> None:
    """Over many samples of data the divergence scatters by the error that each tells."""
    module = nn.BatchNorm1d(8)
    module.running_mean.fill_(0.4)
    module.running_var.fill_(0.5)
    truth = 0.5 * (np.log(0.5 / 1.69) + (1.69 + 0.16) / 0.5 - 1)
    values, errors, inside = [], [], []
    for _ in range(200):
        moments = Moments(module)
        for _ in range(8):
            moments.add(torch.randn(32, 8) * 1.3)
        layer = moments.layer("norm")
        assert layer is not None
        values.append(layer.divergence)
        errors.append(layer.error)
        _, low, high = layer.typical()
        inside.append(low <= truth <= high)
    np.testing.assert_allclose(np.mean(errors), np.std(values, axis=0).mean(), rtol=0.1)
    assert np.mean(inside) >= 0.95
