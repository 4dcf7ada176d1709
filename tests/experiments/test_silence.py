"""Parameters without a gradient, against models of which each is known to have one or not."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from auditor.experiments.silence import cut_off, silent
from auditor.intake.batches import Batch
from tests.awkward import mlp, subject_of, vectors

X, Y = vectors()[0]
BATCH = Batch((X,), {}, Y)


class Parted(nn.Module):
    """Two layers with something between them, and one that nothing uses."""

    def __init__(self, between: Callable[[torch.Tensor], torch.Tensor], offset: float = 0) -> None:
        super().__init__()
        self.first, self.last, self.spare = nn.Linear(8, 6), nn.Linear(6, 3), nn.Linear(8, 3)
        self.between = between
        nn.init.constant_(self.first.bias, offset)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.between(self.first(x)))


def found(build: Callable[[], nn.Module]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    subject = subject_of(build(), vectors(), "cross_entropy", factory=build)
    quietest = silent(subject, subject.fresh(0), BATCH, 0)
    return quietest, cut_off(subject, subject.fresh(0), BATCH, quietest, 0)


FIRST, SPARE = ("first.weight", "first.bias"), ("spare.weight", "spare.bias")


@pytest.mark.parametrize(
    "between",
    [torch.Tensor.detach, torch.sign, lambda h: (h > 0).float(), lambda h: h.round(decimals=1)],
    ids=["detach", "sign", "threshold", "round"],
)
def test_what_the_loss_hangs_on_without_a_gradient_is_cut_off(between) -> None:
    assert found(lambda: Parted(between)) == (FIRST + SPARE, FIRST)


def test_what_nothing_uses_or_passes_is_silent_and_not_cut_off() -> None:
    assert found(lambda: Parted(torch.relu)) == (SPARE, ())
    dead = found(lambda: Parted(torch.relu, -50.0))
    assert dead == ((*FIRST, "last.weight", *SPARE), ())


def test_an_initialisation_with_zeros_cuts_nothing_off() -> None:
    def zeros() -> nn.Module:
        model = mlp()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        return model

    quietest, cut = found(zeros)
    assert len(quietest) > 1
    assert cut == ()


def test_a_bias_that_batch_norm_takes_out_is_not_cut_off() -> None:
    build = lambda: nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))  # noqa: E731
    subject = subject_of(build(), vectors(), "cross_entropy", factory=build)
    names = tuple(name for name, _ in build().named_parameters())
    assert cut_off(subject, subject.fresh(0), BATCH, names, 0) == ()
