"""What fresh models know of validation data, against plain evaluation."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from auditor.experiments.knowledge import examination, untrained
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.overfit import Unshown, seeds_for
from tests.awkward import mlp, subject_of

X = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
DATA = [(X[:30], Y[:30]), (X[30:], Y[30:])]


class Knowing(nn.Module):
    """Answers by the sign of the first number, with a weight that is fixed or drawn."""

    def __init__(self, drawn: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1) + drawn * torch.rand(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([-x[:, 0], x[:, 0]], dim=1) * self.weight


def asked(build: Callable[[], nn.Module], audited: nn.Module) -> Unshown | None:
    exam = examination(subject_of(audited, DATA, "cross_entropy", factory=build))
    assert exam is not None
    return untrained(exam)


def test_a_fresh_model_is_asked_as_it_is() -> None:
    def build() -> nn.Module:
        return nn.Linear(8, 2)

    subject = subject_of(build(), DATA, "cross_entropy", factory=build)
    found = asked(build, build())
    with seeded(derived_seed(subject.seed, "overfit 0")):
        plain = (build()(X).argmax(1) == Y).float().mean()
    assert found is not None
    assert found.accuracies[0] == pytest.approx(float(plain))
    assert found.examples == 60
    assert found.common == pytest.approx(float(max(Y.float().mean(), 1 - Y.float().mean())))
    assert len(found.accuracies) < seeds_for(2)


def test_models_that_know_are_asked_until_it_is_no_luck() -> None:
    for build, audited, alike, trained in (
        (Knowing, Knowing(), True, True),
        (Knowing, Knowing(0.5), True, False),
        (lambda: Knowing(0.5), Knowing(), False, False),
    ):
        found = asked(build, audited)
        assert found is not None
        assert found.accuracies == (1.0,) * seeds_for(2)
        assert (found.alike, found.trained) == (alike, trained)


def test_targets_without_a_single_class_are_not_asked_about() -> None:
    subject = subject_of(mlp(), [(X, torch.randn(60, 3))], "mse_loss", factory=mlp)
    assert examination(subject) is None
