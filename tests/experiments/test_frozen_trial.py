"""Copies in which everything learns that is frozen at random values."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.experiments.frozen_trial import frozen_trial
from auditor.intake.subject import Subject
from auditor.observations.frozen_trial import FrozenTrialOver
from auditor.observations.mended_copies import GAIN, SCORED, MendedCopies
from tests.awkward import subject_of

ASKED = FrozenTrialOver(steps=60, seeds=2)


class Narrow(nn.Module):
    """Classes of points by their angle; all that tells them goes through three frozen units."""

    def __init__(self, frozen: bool = True, alike: bool = False) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(12, 3), nn.Linear(3, 4)
        if alike:
            nn.init.ones_(self.first.weight)
        self.first.requires_grad_(not frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.first(x)))


def subject(build: Callable[[], nn.Module]) -> Subject:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 12, generator=generator)
    batches = []
    for _ in range(12):
        labels = torch.randint(4, (32,), generator=generator)
        batches.append((centres[labels] + torch.randn(32, 12, generator=generator), labels))
    torch.manual_seed(3)
    return subject_of(build(), batches, "cross_entropy", factory=build)


def test_copies_gain_where_what_is_frozen_at_random_learns() -> None:
    given = subject(Narrow)
    kept = [parameter.requires_grad for parameter in given.model.parameters()]
    copies = frozen_trial(ASKED, given)
    assert isinstance(copies, MendedCopies)
    verdict, _, words = copies.gain("where all learns", GAIN)
    assert verdict in (Verdict.WARN, Verdict.FAIL), words
    assert copies.mended.mean() < copies.as_it_is.mean()
    labels = torch.cat([batch.target for batch in given.batches("val", SCORED)])
    shares = torch.bincount(labels) / len(labels)
    assert copies.constant == pytest.approx(float(-(shares * shares.log()).sum()))
    assert [parameter.requires_grad for parameter in given.model.parameters()] == kept
    for parameter in given.fresh(0).parameters():
        assert parameter.requires_grad == (parameter.shape not in {(3, 12), (3,)})


def test_copies_gain_nothing_where_the_frozen_layer_is_wide() -> None:
    """A wide random layer keeps what is needed: random features do well (Rahimi & Recht 2007)."""

    class Wide(Narrow):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(12, 400), nn.Linear(400, 4)
            self.first.requires_grad_(False)

    copies = frozen_trial(ASKED, subject(Wide))
    assert isinstance(copies, MendedCopies)
    verdict, _, words = copies.gain("where all learns", GAIN)
    assert verdict is Verdict.INFO, words


@pytest.mark.parametrize(
    "build",
    [
        lambda: Narrow(frozen=False),
        lambda: Narrow(alike=True),
    ],
    ids=["nothing is frozen", "what is frozen is the same in each model"],
)
def test_nothing_is_tried_where_nothing_random_is_frozen(build: Callable[[], nn.Module]) -> None:
    assert isinstance(frozen_trial(ASKED, subject(build)), Unavailable)
