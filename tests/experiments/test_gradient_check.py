"""Against plain differences, over awkward models; kinks, rounding, and what can't be done."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments.differences import Probe, Scalar, constant_factor, probed
from auditor.experiments.directions import Direction
from auditor.experiments.gradient_check import gradient_check
from auditor.observations.gradient_check import GradientCheck, GradientCheckOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors

ASKED = GradientCheckOver(coordinates=2, split="val")


def checked(model: nn.Module, loss: object = "cross_entropy", **options: object) -> GradientCheck:
    answer = gradient_check(ASKED, subject_of(model, vectors(), loss, **options))
    assert isinstance(answer, GradientCheck), answer
    return answer


def refused(model: nn.Module, loss: object = "cross_entropy") -> str:
    answer = gradient_check(ASKED, subject_of(model, vectors(), loss))
    assert isinstance(answer, Unavailable), answer
    return answer.reason


class Applied(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def with_layer(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.Tanh(), Applied(function), nn.Linear(6, 3))


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_have_right_gradients_and_are_left_alone(case: Awkward) -> None:
    subject = case.subject(factory=False)
    before = {name: t.clone() for name, t in subject.model.state_dict().items()}
    default = torch.get_default_dtype()
    answer = gradient_check(ASKED, subject)
    assert isinstance(answer, GradientCheck), answer
    assert sum(bool(t.decided) for t in answer.tensors) >= 0.5 * len(answer.tensors)
    assert max(t.error for t in answer.tensors if t.decided) < 1e-6
    assert all(c.library for c in answer.culprits), answer.culprits
    trained = [n for n, p in subject.model.named_parameters() if p.requires_grad]
    assert [t.name for t in answer.tensors if t.kind == "parameter"] == trained
    assert torch.get_default_dtype() is default
    assert all(torch.equal(t, before[n]) for n, t in subject.model.state_dict().items())


def test_equal_subjects_get_equal_answers() -> None:
    case = BY_NAME["gru"]
    assert gradient_check(ASKED, case.subject()) == gradient_check(ASKED, case.subject())


def test_the_derivative_is_that_of_plain_differences() -> None:
    weight = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)
    scalar = Scalar(lambda: (weight.exp() * torch.tensor([1.0, 2.0])).sum(), {"w": weight}, [], 0)
    direction = Direction({"w": torch.tensor([1.0, 0.5], dtype=torch.float64)})
    gradients = scalar.gradients()
    scalar.measure_noise(direction)
    probe = probed(scalar, direction, direction.slope(gradients))
    expected = math.exp(0.3) + math.exp(-1.2)
    assert probe.analytic == pytest.approx(expected, rel=1e-14)
    assert probe.numeric == pytest.approx(expected, rel=1e-9)
    assert probe.state == "decided"
    assert probe.error < 1e-9
    assert 1e-17 < scalar.noise < 1e-14
    assert weight.tolist() == [0.3, -1.2]


@pytest.mark.parametrize(
    ("analytic", "state"), [(1e-13, "small"), (0.5, "decided"), (-1.0, "decided")]
)
def test_what_rounding_hides_is_undecided(analytic: float, state: str) -> None:
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    slope = analytic if state == "small" else 1.0
    scalar = Scalar(lambda: 1.0 + slope * weight.sum(), {"w": weight}, [], 0, noise=1e-16)
    probe = probed(scalar, Direction({"w": torch.ones(1, dtype=torch.float64)}), analytic)
    assert probe.state == state
    if state == "decided":
        assert probe.error == pytest.approx(abs(analytic - 1.0) / 1.0, rel=1e-6)


def at(value: float, function: Callable[[torch.Tensor], torch.Tensor], analytic: float) -> str:
    x = torch.full((1,), value, dtype=torch.float64, requires_grad=True)
    scalar = Scalar(lambda: function(x).sum(), {"x": x}, [], 0, noise=1e-17)
    return probed(scalar, Direction({"x": torch.ones(1, dtype=torch.float64)}), analytic).state


@pytest.mark.parametrize(
    ("function", "analytic"),
    [
        (torch.relu, 0.0),
        (torch.abs, 1.0),
        (lambda x: torch.relu(x) - torch.relu(-x), 0.0),
        (lambda x: torch.maximum(x, -x), 1.0),
        (lambda x: torch.cat([x, 2 * x]).max(), 2.0),
        (lambda x: functional.max_pool1d(torch.stack([x, 2 * x], 1), 2), 1.0),
        (lambda x: x.clamp(min=0.0), 1.0),
        (lambda x: torch.where(x > 0, x, 3 * x), 1.0),
    ],
    ids=["relu", "abs", "smooth sum of kinks", "maximum", "max", "max-pool", "clamp", "where"],
)
def test_a_kink_is_not_blamed(function: Callable, analytic: float) -> None:
    assert at(0.0, function, analytic) == "kink"


def test_a_kink_nearby_is_stepped_around() -> None:
    assert at(5e-7, torch.relu, 1.0) == "decided"
    x = torch.full((1,), 5e-7, dtype=torch.float64, requires_grad=True)
    scalar = Scalar(lambda: torch.relu(x).sum(), {"x": x}, [], 0, noise=1e-20)
    probe = probed(scalar, Direction({"x": torch.ones(1, dtype=torch.float64)}), 0.5)
    assert probe.state == "decided"
    assert probe.error == pytest.approx(0.5, rel=1e-3)


class Steep(torch.autograd.Function):
    """A doubling whose backward forgets it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


@pytest.mark.parametrize(
    ("weigh", "error"), [(lambda x: 2 * x, 0.0), (Steep.apply, 0.5)], ids=["right", "wrong"]
)
def test_a_place_between_kinks_that_cancel_is_left_a_little(weigh: Callable, error: float) -> None:
    """Autograd has relu'(0) = 0 on both sides, where the sum is smooth; a fault stays one."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    many = torch.linspace(1, 2, 5000, dtype=torch.float64)

    def value() -> torch.Tensor:
        y = weigh(x)
        return (torch.relu(y) - torch.relu(-y)).sum() + torch.relu(many).sum() * 1e-3

    scalar = Scalar(value, {"x": x}, [], 0, noise=1e-15)
    direction = Direction({"x": torch.ones(1, dtype=torch.float64)})
    probe = probed(scalar, direction, direction.slope(scalar.gradients()))
    assert probe.state == "decided"
    assert probe.numeric == pytest.approx(2.0, rel=1e-6)
    assert probe.error == pytest.approx(error, abs=1e-6)
    assert x.item() == 0


def test_a_constant_factor() -> None:
    def ratio(analytic: float, numeric: float) -> object:
        return Probe(analytic, numeric, 1.0, "decided")

    assert constant_factor([ratio(1, 2), ratio(-3, -6)]) == 0.5
    assert math.isnan(constant_factor([ratio(1, 2), ratio(3, 5)]))
    assert math.isnan(constant_factor([ratio(1, 2)]))
    assert math.isnan(constant_factor([ratio(1, 2), ratio(1, 0)]))


def test_frozen_parameters_are_listed_and_embeddings_are_found_through_used_rows() -> None:
    answer = gradient_check(ASKED, BY_NAME["frozen-part"].subject())
    assert answer.frozen
    assert not set(answer.frozen) & {t.name for t in answer.tensors}
    rows = gradient_check(ASKED, BY_NAME["gru"].subject()).tensors
    assert rows[0].name == "embed.weight"
    assert not any(t.kind == "input" for t in rows)
    assert rows[0].decided


def test_forward_mode_is_compared_or_left_out_with_a_reason() -> None:
    assert checked(with_layer(torch.sin)).forward < 1e-12

    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient * 2

    answer = checked(with_layer(Double.apply))
    assert math.isnan(answer.forward)
    assert "no forward mode" in answer.no_forward
    assert not answer.culprits


def test_many_tensors_are_moved_together_and_halved_where_they_disagree(monkeypatch) -> None:
    module = sys.modules["auditor.experiments.gradient_check"]
    monkeypatch.setattr(module, "BUDGET", 1.0)
    layers = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(12)]
    torch.manual_seed(0)
    healthy = checked(nn.Sequential(*layers, nn.Linear(8, 3)))
    assert {t.group for t in healthy.tensors} == {6, 7}
    assert not healthy.culprits
    stop = Applied(lambda x: x + torch.sin(x).detach())
    broken = checked(nn.Sequential(*layers[:6], stop, *layers[6:], nn.Linear(8, 3)))
    assert [c.module for c in broken.culprits] == ["6"]
    wrong = [t.name for t in broken.tensors if t.decided and t.error > 1e-2]
    assert wrong
    assert all(name.startswith(("0.", "1.", "2.", "3.", "4.", "5.", "input")) for name in wrong)


class Batchwise(nn.Module):
    """Batch normalisation by hand that takes its variance for a constant, in training only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return (x - x.mean(0)) / (x.var(0, unbiased=False).detach() + 0.1).sqrt()


def test_training_mode_has_a_look_of_its_own() -> None:
    torch.manual_seed(0)
    answer = checked(nn.Sequential(nn.Linear(8, 6), Batchwise(), nn.Dropout(), nn.Linear(6, 3)))
    assert max(t.error for t in answer.tensors if t.decided) < 1e-6
    assert answer.training is not None
    assert answer.training.error > 1e-2
    assert [c.module for c in answer.culprits] == ["1"]


def test_reasons_not_to_judge() -> None:
    assert "layer '2' computes in float16" in refused(with_layer(lambda x: x.half().float()))
    held = torch.randn(6, 6)
    assert "float64: in layer '2' (Applied)" in refused(with_layer(lambda x: x @ held))
    lower = refused(with_layer(lambda x: x.bfloat16().tanh().to(x.dtype)))
    assert "can't run in float64: layer '2' computes in bfloat16 (test_gradient_check.py" in lower
    count = iter(range(10_000))
    assert "not the same twice" in refused(with_layer(lambda x: x * (1 + 1e-3 * next(count))))
    broken = with_layer(torch.tanh)
    broken[0].weight.data[0, 0] = math.nan
    assert "not finite" in refused(broken)
    frozen = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3)).requires_grad_(False)
    data = [(torch.zeros(4, 2).long(), torch.zeros(4).long())]
    answer = gradient_check(ASKED, subject_of(frozen, data, "cross_entropy"))
    assert isinstance(answer, Unavailable)
    assert "nothing is trainable" in answer.reason


class TimesInput(torch.autograd.Function):
    """A rectifier whose gradient is multiplied by its input."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


@pytest.mark.parametrize(("function", "wrong"), [(TimesInput.apply, True), (torch.relu, False)])
def test_weights_that_are_not_finite_give_way_to_fresh_ones(function, wrong) -> None:
    lost = with_layer(function)
    with torch.no_grad():
        for parameter in lost.parameters():
            parameter.fill_(math.nan)
    answer = checked(lost, factory=lambda: with_layer(function))
    assert answer.fresh
    assert lost[0].weight.isnan().all()
    assert any(t.decided and t.error > 1e-2 for t in answer.tensors) is wrong
    assert bool(answer.culprits) is wrong
    assert not checked(with_layer(function), factory=lambda: with_layer(function)).fresh


def test_a_loss_that_is_not_finite_on_sound_weights_is_not_judged_by_fresh_ones() -> None:
    def build() -> nn.Module:
        return with_layer(lambda x: x / 0)

    answer = gradient_check(ASKED, subject_of(build(), vectors(), "cross_entropy", factory=build))
    assert isinstance(answer, Unavailable)


def test_float32_written_into_a_model_or_loss_is_read_as_float64() -> None:
    def scores(x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(len(x), 6, dtype=torch.float32)
        return state + x.float().softmax(-1, dtype=torch.float32).to(torch.float32)

    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        hot = nn.functional.one_hot(target, 3).float()
        return nn.functional.binary_cross_entropy_with_logits(outputs, hot)

    answer = checked(with_layer(scores), loss)
    assert all(t.decided and t.error < 1e-6 for t in answer.tensors)
    stopped = checked(with_layer(lambda x: scores(x).detach()), loss)
    assert [c.module for c in stopped.culprits] == ["2"]


def test_a_backward_pass_in_low_precision_alone_is_no_fault_of_the_model() -> None:
    class Hard(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, gradient):
            return gradient @ torch.from_numpy(2 * np.eye(6, dtype=np.float32))

    assert "backward pass can't run in float64" in refused(with_layer(Hard.apply))


def test_weights_of_a_loss_and_half_precision_are_widened() -> None:
    weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    assert not checked(with_layer(torch.tanh), weighted).culprits
    assert weighted.weight.dtype is torch.float32


def test_examples_that_the_model_has_learnt_are_passed_over() -> None:
    """The only loss to speak of is that of the last example; all others are nearly nothing."""
    x = torch.randn(20, 3)
    model = nn.Linear(3, 3)
    with torch.no_grad():
        model.weight.copy_(60 * torch.eye(3))
        model.bias.zero_()
    x = nn.functional.one_hot(torch.arange(20) % 3, 3).float() + 0.01 * x
    y = torch.arange(20) % 3
    y[-1] = (y[-1] + 1) % 3
    answer = gradient_check(ASKED, subject_of(model, [(x, y)], "cross_entropy"))
    assert isinstance(answer, GradientCheck), answer
    assert answer.loss > 10
    assert all(t.decided for t in answer.tensors)
