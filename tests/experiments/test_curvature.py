"""The top of the Hessian and its trace against those of the whole matrix, and what is awkward."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.experiments import landscape
from auditor.experiments.curvature import curvature, lanczos
from auditor.intake.subject import Subject
from auditor.observations.curvature import Curvature, CurvatureOver
from tests.awkward import TABLE, Awkward, subject_of

LONG = CurvatureOver(batches=2, iterations=40, probes=30, split="train")


def clouds(count: int = 2, size: int = 16, same: bool = False) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(3, 6, generator=generator)
    labels = torch.randint(3, (count * size,), generator=generator)
    points = centres[labels] + torch.randn(count * size, 6, generator=generator)
    batches = list(zip(points.split(size), labels.split(size), strict=True))
    return [batches[0]] * count if same else batches


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def measured(model: nn.Module, batches: Any = None, request: CurvatureOver = LONG) -> Curvature:
    subject = subject_of(model, batches or clouds(), "cross_entropy", task="multiclass")
    found = curvature(request, subject)
    assert isinstance(found, Curvature)
    return found


def whole(model: nn.Module, batches: Any) -> np.ndarray:
    """Return the eigenvalues of the whole Hessian, ascending."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    losses = [functional.cross_entropy(model(x), y) for x, y in batches]
    gradient = torch.autograd.grad(torch.stack(losses).mean(), parameters, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in gradient])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in flat]
    matrix = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
    return np.linalg.eigvalsh(matrix.double().numpy())


def test_lanczos_finds_the_top_and_says_how_near_it_is() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(50, 50)
    matrix = matrix + matrix.T
    values = np.linalg.eigvalsh(matrix.double().numpy())
    found = lanczos(lambda v: matrix @ v, torch.randn(50), 50)
    assert found.ritz[-1] == pytest.approx(values[-1], rel=0.01)
    assert found.ritz == sorted(found.ritz)
    for ritz, residual in zip(found.ritz, found.residuals, strict=True):
        assert np.abs(values - ritz).min() <= residual + 1e-3
    assert found.residuals[-1] <= 0.01 * found.ritz[-1]
    true = matrix @ found.vector - found.ritz[-1] * found.vector
    assert float(true.norm()) == pytest.approx(found.residuals[-1], abs=1e-3)


def test_lanczos_ends_where_the_space_is_spent() -> None:
    found = lanczos(lambda v: 3 * v, torch.ones(7), 5)
    assert found.ritz == [pytest.approx(3.0)]
    assert found.residuals == [0.0]
    nothing = lanczos(torch.zeros_like, torch.ones(7), 5)
    assert nothing.ritz == [0.0]


def test_the_top_eigenvalue_is_that_of_the_whole_hessian() -> None:
    model, batches = net(), clouds()
    values = whole(model, batches)
    found = measured(model, batches)
    assert found.largest == pytest.approx(values[-1], rel=0.01)
    assert abs(values - found.largest).min() <= found.residual + 1e-4
    assert values[0] - 1e-4 <= found.smallest
    assert found.parameters == len(values)


def test_the_trace_lies_in_its_interval_and_the_top_holds_on_batches_that_are_the_same() -> None:
    model, batches = net(), clouds(8, same=True)
    values = whole(model, batches[:1])
    found = measured(model, batches)
    assert found.trace_low <= values.sum() <= found.trace_high
    spread = np.sqrt(2 * np.square(values).sum() / found.probes)
    assert found.trace_high - found.trace_low < 6 * spread
    assert found.along == pytest.approx(found.largest, rel=0.01)
    assert found.low == pytest.approx(found.high, rel=1e-3)


def test_frozen_parameters_are_left_out_and_dropout_is_off() -> None:
    plain, frozen = net(), net()
    frozen[0].requires_grad_(False)
    values = whole(frozen, clouds())
    dropping = nn.Sequential(frozen[0], frozen[1], nn.Dropout(0.5), frozen[2])
    found = measured(dropping)
    assert found.parameters == len(values) < sum(p.numel() for p in plain.parameters())
    assert found.largest == pytest.approx(values[-1], rel=0.01)


def test_batch_norm_uses_the_statistics_of_its_batch() -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    model[1].running_var.fill_(100.0)
    values = whole(copy.deepcopy(model).train(), clouds())
    assert measured(model).largest == pytest.approx(values[-1], rel=0.01)


def test_half_precision_is_measured_in_float32() -> None:
    half = net().bfloat16()
    values = whole(copy.deepcopy(half).float(), clouds())
    found = measured(half, [(x.bfloat16(), y) for x, y in clouds()])
    assert found.largest == pytest.approx(values[-1], rel=0.03)


class Once(torch.autograd.Function):
    """A tanh whose backward pass can't be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        return gradient * (1 - y * y)


class OnceTanh(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Once.apply(x)


def test_differences_are_taken_where_nothing_can_be_differentiated_twice() -> None:
    plain = net()
    model = nn.Sequential(plain[0], OnceTanh(), plain[2])
    found = measured(model)
    assert found.method == "differences of gradients"
    assert "differentiated twice" in found.note
    assert found.largest == pytest.approx(whole(plain, clouds())[-1], rel=0.02)


class Attends(nn.Module):
    """One fused attention over the six numbers as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = nn.Linear(1, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.enter(x.unsqueeze(-1)).unsqueeze(1)
        return self.leave(functional.scaled_dot_product_attention(h, h, h).mean((1, 2)))


@pytest.mark.parametrize("model", [Attends(), nn.Sequential(nn.LSTM(6, 4))], ids=["fused", "lstm"])
def test_fused_attention_and_recurrence_are_differentiated_twice(model: nn.Module) -> None:
    if isinstance(model, nn.Sequential):
        lstm = model[0]

        class Last(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.lstm = lstm

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.lstm(x.unsqueeze(0))[0][0, :, :3]

        model = Last()
    assert measured(model).method.startswith("Hessian-vector products")


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_measured_and_stay_what_they_are(case: Awkward) -> None:
    subject = case.subject()
    assert subject.model is not None
    before = copy.deepcopy(subject.model.state_dict())
    request = CurvatureOver(batches=1, iterations=3, probes=2, split="train")
    found, again = (curvature(request, subject) for _ in range(2))
    assert str(found) == str(again)
    if isinstance(found, Curvature):
        assert np.isfinite([found.largest, found.residual, found.trace]).all()
        assert len(found.ritz) == len(found.residuals) <= 3
    else:
        assert "no trainable parameters" in found.reason
    for name, value in subject.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def why_not(subject: Subject, request: CurvatureOver = LONG) -> str:
    found = curvature(request, subject)
    assert isinstance(found, Unavailable)
    return found.reason


def test_what_can_not_be_measured_is_told() -> None:
    spoilt = net()
    with torch.no_grad():
        spoilt[0].weight[0, 0] = torch.nan
    assert "not a finite number" in why_not(subject_of(spoilt, clouds(), "cross_entropy"))

    class Cut(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    assert "no gradient" in why_not(subject_of(Cut(*net()), clouds(), "cross_entropy"))

    class Restless(nn.Sequential):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Restless.calls += 1
            return super().forward(x) * (1 + Restless.calls % 7)

    assert "pass to pass" in why_not(subject_of(Restless(*net()), clouds(), "cross_entropy"))


def test_costly_models_are_given_fewer_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landscape, "BUDGET", 1.0)
    found = measured(net(), clouds(6, 64), CurvatureOver(split="train"))
    assert (found.batches, found.examples) == (1, 4 * landscape.FEWEST)
    assert "first 8 examples" in found.note


def test_a_single_batch_is_used_for_all() -> None:
    found = measured(net(), clouds(1, 64), CurvatureOver(split="train"))
    assert (found.batches, found.examples, found.probes) == (1, 64, 4)
    assert np.isfinite([found.trace_low, found.trace_high]).all()
    assert np.isnan([found.along, found.low, found.high]).all()
