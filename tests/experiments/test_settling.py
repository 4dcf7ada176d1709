"""Spectral norms that have run or not, or ran on other weights, and what only looks like them."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from auditor.experiments.initial_loss import fresh_losses
from auditor.experiments.settling import unsettled
from auditor.intake.batches import Batch
from auditor.observations.initial_loss import FreshLossesOver
from tests.awkward import subject_of, vectors


def network(norm: Callable[[nn.Linear], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        norm(nn.Linear(8, 64)), nn.ReLU(), norm(nn.Linear(64, 64)), nn.ReLU(), nn.Linear(64, 3)
    )


def times(model: nn.Module) -> dict[str, float]:
    ((inputs, target), *_) = vectors()
    subject = subject_of(model, vectors(), "cross_entropy")
    found = unsettled(subject, Batch((inputs,), {}, target), 0)
    return {one.layer: one.times for one in found}


def trained_on(model: nn.Module) -> nn.Module:
    model.train()
    for inputs, _ in vectors() * 2:
        model(inputs)
    return model.eval()


def test_a_spectral_norm_that_has_not_run_is_seen() -> None:
    model = network(spectral_norm).eval()
    before = copy.deepcopy(model.state_dict())
    found = times(model)
    assert set(found) == {"0", "2"}
    assert found["2"] > 3
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(0.75 < ratio < 1.3 for ratio in times(trained_on(model)).values())


def test_a_spectral_norm_that_ran_on_other_weights_is_seen() -> None:
    model = trained_on(network(parametrizations.spectral_norm))
    assert all(0.75 < ratio < 1.3 for ratio in times(model).values())
    with torch.no_grad():
        model[2].parametrizations.weight.original.copy_(torch.eye(64)[:, torch.randperm(64)])
        model[2].parametrizations.weight.original[0] *= 50.0
    assert times(model)["2"] > 1.5


@pytest.mark.parametrize(
    "norm",
    [
        nn.Identity,
        weight_norm,
        parametrizations.weight_norm,
        parametrizations.orthogonal,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    ],
    ids=["none", "weight norm", "parametrised weight norm", "orthogonal", "pruned"],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weights_computed_from_parameters_alone_stay(norm: Callable[..., nn.Module]) -> None:
    model = network(lambda layer: layer if norm is nn.Identity else norm(layer)).eval()
    found = times(model)
    assert list(found.values()) == pytest.approx([1.0] * (0 if norm is nn.Identity else 2))


def test_a_model_that_does_not_train_is_left_alone() -> None:
    class Sealed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = spectral_norm(nn.Linear(8, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise RuntimeError("for evaluation only")
            return self.layer(x)

    assert times(Sealed().eval()) == {}


def test_a_fresh_spectral_norm_is_asked_as_after_its_first_pass() -> None:
    def build() -> nn.Module:
        layers = [spectral_norm(nn.Linear(n, m)) for n, m in ((8, 64), (64, 64), (64, 3))]
        return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    subject = subject_of(trained_on(build()), vectors(), "cross_entropy", factory=build)
    asked = subject.fresh(3)
    ((inputs, _), *_) = vectors()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        raw = build()
    raw.train()(inputs)
    torch.testing.assert_close(asked.eval()(inputs), raw.eval()(inputs))
    losses = fresh_losses(FreshLossesOver(), subject).losses
    assert 0.9 < losses.mean() < 1.4
