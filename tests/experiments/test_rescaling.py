import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.rescaling import parted, rescaled
from auditor.experiments.rescaling_ways import (
    _as_batch_norm_saw,
    layouts_of,
    standardised,
)
from auditor.intake.batches import tensors_in
from auditor.observations.rescaling import Rescaled, RescaledOver
from tests.awkward import BY_NAME, SIZES, TABLE, Awkward, subject_of, vectors

ASKED = RescaledOver()


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_every_awkward_model_is_answered(case: Awkward) -> None:
    subject = case.subject()
    before = copy.deepcopy(subject.model.state_dict())
    seen = rescaled(ASKED, subject)
    numbers = any(t.is_floating_point() for t in tensors_in(case.batches()[0][0]))
    if not numbers or subject.facts.task == "custom":
        assert isinstance(seen, Unavailable)
        return
    assert isinstance(seen, Rescaled)
    assert len(seen.tried) == len(seen.losses) == len(set(seen.tried))
    assert seen.best == seen.tried[int(np.argmin(seen.losses))]
    assert len(seen.before) == len(seen.after) == len(seen.right_before) <= sum(SIZES) // 2
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_parts_share_no_example_and_leave_none_out() -> None:
    batches = list(BY_NAME["mlp"].subject().batches("val", 9))
    whole = torch.cat([b.args[0] for b in batches])
    one, other = (torch.cat([b.args[0] for b in part]) for part in parted(batches, 99))
    assert torch.equal(one, whole[::2])
    assert torch.equal(other, whole[1::2])
    one, other = (torch.cat([b.args[0] for b in part]) for part in parted(batches, 4))
    assert torch.equal(one, whole[:8:2])
    assert torch.equal(other, torch.cat([whole[1:8:2], whole[8:]]))


def test_the_losses_are_those_of_the_model_with_its_inputs_changed() -> None:
    subject = BY_NAME["mlp"].subject()
    seen = rescaled(ASKED, subject)
    x, y = (torch.cat(part) for part in zip(*vectors(), strict=True))
    model = BY_NAME["mlp"].model().eval()
    with torch.no_grad():
        plain = functional.cross_entropy(model(x), y, reduction="none")
        chosen = functional.cross_entropy(model(x[::2] * 4), y[::2])
    np.testing.assert_allclose(seen.before, plain[1::2], rtol=1e-4)
    np.testing.assert_allclose(seen.train_before, plain, rtol=1e-4)
    place = seen.tried.index("multiplied by 4")
    assert seen.losses[place] == pytest.approx(float(chosen), rel=1e-4)


@pytest.mark.parametrize("name", ["mlp", "shared-relu", "time-first", "channels-last"])
def test_standardised_inputs_have_zero_mean_and_unit_deviation(name: str) -> None:
    subject = BY_NAME[name].subject()
    batches = list(subject.batches("val", 9))
    layouts, _ = layouts_of(subject, batches)
    way = standardised(layouts)
    layout = layouts["input"]
    parts = [
        way.applied(b, layouts).args[0].movedim(layout.examples, 0).movedim(layout.axis, 1)
        for b in batches
    ]
    whole = torch.cat(parts).movedim(1, 0).flatten(1).double()
    torch.testing.assert_close(whole.mean(1), torch.zeros(len(whole)).double(), atol=1e-5, rtol=0)
    deviation = whole.std(1, correction=0)
    torch.testing.assert_close(deviation, torch.ones(len(whole)).double(), atol=1e-4, rtol=0)


def test_colours_are_swapped_and_every_other_input_is_let_be() -> None:
    class Green(nn.Module):
        """Tells the class by the mean of the first channel."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            with torch.no_grad():
                self.conv.weight.zero_()
                self.conv.weight[1, 0] = 20.0
                self.conv.bias.zero_()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3))

    generator = torch.Generator().manual_seed(0)
    batches = []
    for _ in range(3):
        y = torch.randint(2, (40,), generator=generator)
        x = torch.randn(40, 3, 4, 4, generator=generator)
        x[:, 2] += 4 * (y * 2 - 1).view(-1, 1, 1)
        batches.append((x, y))
    seen = rescaled(ASKED, subject_of(Green(), batches, "cross_entropy"))
    assert seen.best == "red and blue swapped"
    assert seen.rule == "channels 0 and 2 change places"
    assert seen.after.mean() < 0.01 < seen.before.mean()


@pytest.mark.parametrize("first", [True, False], ids=["norm-first", "norm-second"])
def test_batch_norm_tells_what_it_saw(first: bool) -> None:
    torch.manual_seed(0)
    layers = [nn.BatchNorm1d(8), nn.Linear(8, 8)] if first else [nn.Linear(8, 8), nn.BatchNorm1d(8)]
    model = nn.Sequential(*layers, nn.Linear(8, 3))
    right = torch.randn(4000, 8)
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d))
    norm.momentum = 1.0
    with torch.no_grad():
        model.train()(right)
    wrong = [((x - 1.5) / 30, y) for x, y in [(right[n : n + 99], 0) for n in range(0, 990, 99)]]
    batches = [(x, torch.zeros(len(x), dtype=torch.long)) for x, _ in wrong]
    for x, y in batches:
        y[:] = model.eval()(x * 30 + 1.5).argmax(1)
    subject = subject_of(model, batches, "cross_entropy")
    layouts, modules = layouts_of(subject, list(subject.batches("val", 8)))
    with torch.no_grad():
        (way,) = _as_batch_norm_saw(model, next(subject.batches("val", 1)), layouts, modules)
    np.testing.assert_allclose(way.scale[0], 30, rtol=0.25)
    np.testing.assert_allclose(way.shift[0], 1.5, atol=0.6)


def test_a_temperature_accounts_for_confidence() -> None:
    torch.manual_seed(0)
    model = nn.Linear(8, 3)
    batches = [(x, model(x).argmax(1)) for x, _ in vectors() * 5]
    with torch.no_grad():
        model.weight.mul_(0.02)
        model.bias.mul_(0.02)
    seen = rescaled(ASKED, subject_of(model, batches, "cross_entropy"))
    assert seen.temperature < 1
    assert seen.tempered.mean() < seen.before.mean()


def test_a_model_of_nan_is_not_compared() -> None:
    case = BY_NAME["mlp"]
    model = case.model()
    with torch.no_grad():
        model[0].weight.fill_(torch.nan)
    assert isinstance(rescaled(ASKED, case.subject(model)), Unavailable)
