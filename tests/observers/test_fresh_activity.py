"""What fires in fresh models, against whole outputs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.fresh_activity import FreshActivityOver, as_usual
from auditor.observers.fresh_activity import fresh_activity
from tests.awkward import subject_of

ASKED = FreshActivityOver(seeds=2, batches=3)


def norms() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3))


def behind_a_rectifier() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 3))
    )


def made(build: Callable[[], nn.Module], dead: int) -> Subject:
    """Return a subject so many units of whose first layer are held at zero."""
    torch.manual_seed(1)
    model = build()
    with torch.no_grad():
        (model[1] if isinstance(model[1], nn.BatchNorm1d) else model[0]).bias[:dead] = -1e3
    batches = [(torch.randn(8, 6), torch.randint(3, (8,))) for _ in range(4)]
    return subject_of(model, batches, "cross_entropy", factory=build)


def test_fresh_models_agree_with_their_whole_outputs() -> None:
    subject = made(behind_a_rectifier, 10)
    seen = fresh_activity(ASKED, subject)
    inputs = torch.cat([batch.args[0] for batch in subject.batches("val", 3)])
    for number, model in enumerate(seen.models):
        assert model.examples == 24
        fresh = subject.fresh(derived_seed(subject.seed, f"fresh {number}"))
        first = fresh[:2](inputs)
        for layer, outputs in zip(model.layers, (first, fresh[2:4](first)), strict=True):
            np.testing.assert_array_equal(layer.fired, (outputs > 0).any(dim=0).numpy())
    assert seen.dead("1", 20) == tuple(model.layers[0].dead for model in seen.models)
    assert seen.dead("1", 21) == ()


def test_they_are_left_alone_where_few_units_are_silent() -> None:
    assert len(fresh_activity(ASKED, made(norms, 3)).models) == 2
    assert fresh_activity(ASKED, made(norms, 2)).models == ()


@pytest.mark.parametrize(("dead", "passes"), [(2, 1), (10, 3)])
def test_no_more_is_looked_at_once_enough_units_fire(dead: int, passes: int) -> None:
    subject = made(behind_a_rectifier, dead)
    assert subject.model is not None
    with torch.no_grad():  # What the others need to fire in the first batch.
        subject.model[0].bias[dead:] = 10
        subject.model[2].weight.abs_()
    seen: list[int] = []
    subject.model.register_forward_pre_hook(lambda *given: seen.append(1))
    fresh_activity(ASKED, subject)
    assert len(seen) == passes


def test_batch_norm_of_fresh_models_takes_the_batch() -> None:
    """By its first running statistics, inputs far from zero would silence half the units."""
    subject = made(norms, 10)
    for batch in subject.data["val"].first(3):
        batch.args[0].add_(100)
    assert all(count == 0 for count in fresh_activity(ASKED, subject).dead("2", 20))


def test_as_usual() -> None:
    assert as_usual(23, 50, (15, 16, 16), among=5)
    assert not as_usual(23, 50, (2, 3, 5), among=5)
    assert not as_usual(23, 50, (), among=5)
    assert as_usual(0, 50, (0,), among=5)
