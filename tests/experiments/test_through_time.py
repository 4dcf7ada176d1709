"""Gradients through time, against autograd written out, and over sequences of known shape."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.through_time import FLOOR, _by_step, _not_padding, through_time
from auditor.observations.through_time import ThroughTime, ThroughTimeOver, pace_of
from tests.awkward import BY_NAME, subject_of

ASKED = ThroughTimeOver(batches=2, split="train")


class Reader(nn.Module):
    """Reads a sequence and answers from its last state."""

    def __init__(self, kind: str = "GRU", **options: bool) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(3, 12, batch_first=True, **options)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Celled(nn.Module):
    def __init__(self, gain: float) -> None:
        super().__init__()
        self.enter, self.step = nn.Linear(3, 12), nn.Linear(12, 12, bias=False)
        self.head = nn.Linear(12, 3)
        nn.init.orthogonal_(self.step.weight, gain)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = x.new_zeros(len(x), 12)
        for place in range(x.shape[1]):
            state = self.step(state) + self.enter(x[:, place])
        return self.head(state)


def sequences(steps: int, padded: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 6, steps, 3, generator=generator)
    if padded:
        rows[:, :, -padded:] = 0.0
    return [(x, torch.randint(0, 3, (6,), generator=generator)) for x in rows]


def measured(model: nn.Module, batches: list, start: str = "checkpoint") -> ThroughTime:
    subject = subject_of(model, batches, "cross_entropy")
    answer = through_time(ThroughTimeOver(start, 2, "train"), subject)  # type: ignore[arg-type]
    assert isinstance(answer, ThroughTime), answer
    return answer


def test_it_is_the_gradient_by_each_step_of_the_input() -> None:
    torch.manual_seed(0)
    model, batches = Reader(), sequences(40)
    (reach,) = measured(model, batches).reaches
    assert (reach.layer, reach.kind, reach.steps) == ("rnn", "GRU", 40)
    for row, (x, y) in enumerate(batches):
        given = x.clone().requires_grad_()
        loss = functional.cross_entropy(model(given), y)
        (gradient,) = torch.autograd.grad(loss, given)
        norms = gradient.norm(dim=2).numpy()
        quarters = np.stack([norms[:, :10].max(1), norms[:, -10:].max(1)])
        expected = np.log10(quarters / norms.max(1))
        assert reach.early[row] == pytest.approx(np.median(expected[0]), abs=1e-3)
        assert reach.late[row] == pytest.approx(0.0, abs=1e-6)
    assert reach.profile.shape == (2, 40)
    assert (reach.profile.max(axis=1) == 0).all()


def test_a_loop_over_a_layer_is_read_call_by_call() -> None:
    torch.manual_seed(0)
    reaches = {r.layer: r for r in measured(Celled(0.5), sequences(40)).reaches}
    pace = pace_of(reaches["step"])
    assert pace.rate[0] == pytest.approx(0.5, rel=0.01)
    assert pace.fade[0] == pytest.approx(2.0**30, rel=0.2)
    grown = {r.layer: r for r in measured(Celled(2.0), sequences(40)).reaches}
    assert pace_of(grown["step"]).growth[0] == pytest.approx(2.0**30, rel=0.2)


def test_padding_is_left_out() -> None:
    torch.manual_seed(0)
    (reach,) = measured(Reader(), sequences(40, padded=25)).reaches
    assert reach.steps == 16  # The first of a run may be a step like any other.
    values = torch.tensor(
        [[0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0], [5.0, 1.0, 2.0, 2.0, 4.0, 7.0, 8.0]]
    )
    inside = _not_padding(values.unsqueeze(2))
    assert inside.tolist()[1] == [True] * 7
    assert inside.tolist()[0] == [False, True, True, True, True, False, False]


def test_packed_sequences_are_read_to_their_own_ends() -> None:
    lengths = torch.tensor([4, 2])
    x = torch.arange(8.0).reshape(2, 4, 1)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
    found = _by_step(nn.GRU(1, 2), packed.data, packed)
    np.testing.assert_allclose(found, [[0, 1, 2, 3], [4, 5, math.nan, math.nan]])


def test_a_gradient_of_zero_stands_at_the_floor() -> None:
    class Late(Reader):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x * (torch.arange(x.shape[1]) > 19)[:, None])[0][:, -1])

    torch.manual_seed(0)
    model = Late("RNN")
    with torch.no_grad():
        model.rnn.weight_hh_l0.zero_()
    (reach,) = measured(model, sequences(40)).reaches
    assert (reach.least == FLOOR).all()
    assert pace_of(reach).fade[0] > 1e44


def test_steps_that_the_loss_does_not_read_are_left_out() -> None:
    class Middle(Reader):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x)[0][:, 20])

    torch.manual_seed(0)
    (reach,) = measured(Middle("RNN"), sequences(40)).reaches
    assert reach.steps == 21
    assert pace_of(reach).growth[0] < 1
    assert not reach.both_ways


@pytest.mark.parametrize("name", ["mlp", "residual", "encoder", "shared-block"])
def test_a_model_that_is_not_recurrent_says_so(name: str) -> None:
    answer = through_time(ASKED, BY_NAME[name].subject(profile="quick"))
    assert isinstance(answer, Unavailable)
    assert "recurrent" in answer.reason


def test_short_sequences_say_so() -> None:
    answer = through_time(ASKED, BY_NAME["gru"].subject(profile="quick"))
    assert isinstance(answer, Unavailable)
    assert "8 steps" in answer.reason


def test_it_is_the_same_again_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    model = Reader("LSTM", bidirectional=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (measured(model, sequences(20)) for _ in range(2))
    np.testing.assert_array_equal(first.reaches[0].profile, second.reaches[0].profile)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert not model.rnn._forward_hooks
    assert not model.rnn._forward_pre_hooks
