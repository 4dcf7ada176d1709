import math

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.observations.gradients import GradientNorms, GradientNormsOver
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors
from tests.observers.naive import gradients, module_of, swept

ASKED = GradientNormsOver(batches=4, split="train")
TRAINED = [case for case in TABLE if case.trains]


@pytest.mark.parametrize("case", TRAINED, ids=str)
def test_norms_agree_with_autograd(case: Awkward) -> None:
    subject = case.subject(profile="quick")
    seen = swept(subject, ASKED)
    assert isinstance(seen, GradientNorms), seen
    activations, parameters, losses = gradients(subject, ASKED)
    rough = 2e-2 if case.name == "bfloat16" else 1e-4
    np.testing.assert_allclose(seen.losses, losses, rtol=rough)
    model = subject.model
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert sorted(seen.parameters) == sorted(named)
    assert seen.dimensions == tuple(named[name].ndim for name in seen.parameters)
    for column, name in enumerate(seen.parameters):
        np.testing.assert_allclose(
            seen.parameter_norms[:, column],
            [row[name] for row in parameters],
            rtol=rough,
            atol=1e-7,
            err_msg=name,
        )
        values = named[name].detach()
        weight = values.to(torch.complex128 if values.is_complex() else torch.float64)
        assert seen.weight_norms[column] == pytest.approx(
            float(weight.abs().square().sum().sqrt()), rel=1e-5
        )
    mine: list[dict[str, float]] = []
    for row in seen.activation_norms:
        by_module: dict[str, float] = {}
        for layer, kind, value in zip(seen.layers, seen.kinds, row, strict=True):
            if not kind.endswith("()") and not math.isnan(value):
                by_module[module_of(layer)] = np.hypot(by_module.get(module_of(layer), 0.0), value)
        mine.append(by_module)
    called = set().union(*activations)
    leaves = {
        name
        for name, module in model.named_modules()
        if name in called and not any(True for _ in module.children())
    }
    for row, expected in zip(mine, activations, strict=True):
        assert leaves <= row.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected[name], rel=rough, abs=1e-7), name


@pytest.mark.parametrize("case", [case for case in TABLE if not case.trains], ids=str)
def test_a_model_without_trainable_parameters_says_so(case: Awkward) -> None:
    answer = swept(case.subject(profile="quick"), ASKED)
    assert answer == Unavailable("the model has no trainable parameters")


def test_parameters_stand_in_the_order_of_execution() -> None:
    order = {
        name: [
            p
            for p in swept(BY_NAME[name].subject(profile="quick"), ASKED).parameters
            if p.endswith("weight") or "original" in p
        ]
        for name in ("attention", "spectral-norm", "never-called", "tied")
    }
    # The projection of attention is never called as a module, yet it runs before the head.
    assert order["attention"] == [
        "embed.weight",
        "attend.in_proj_weight",
        "attend.out_proj.weight",
        "head.weight",
    ]
    assert order["spectral-norm"] == ["0.parametrizations.weight.original", "2.weight"]
    assert order["never-called"][:2] == ["used.weight", "head.weight"]
    assert order["tied"] == ["embed.weight", "mix.weight"]


def test_layers_stand_in_the_order_of_execution_and_weights_are_no_layers() -> None:
    seen = swept(BY_NAME["positive-weights"].subject(profile="quick"), ASKED)
    assert seen.layers == ("0", "1", "2")
    assert seen.kinds == ("ParametrizedLinear", "ReLU", "Linear")
    seen = swept(BY_NAME["functional-only"].subject(profile="quick"), ASKED)
    assert seen.layers == ("relu()", "relu(), call 2", "(model)")


def test_a_parameter_that_got_no_gradient_is_nan() -> None:
    seen = swept(BY_NAME["never-called"].subject(profile="quick"), ASKED)
    row = dict(zip(seen.parameters, seen.parameter_norms.T, strict=True))
    assert np.isnan(row["unused.weight"]).all()
    assert np.isfinite(row["lent.weight"]).all()


class Exploding(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.fc, self.factor = nn.Linear(8, 3), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * self.factor


def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return outputs.double().square().mean()


@pytest.mark.parametrize(("factor", "finite"), [(1e14, True), (1e-14, True), (math.nan, False)])
def test_large_and_small_gradients_are_neither_lost_nor_infinite(
    factor: float, finite: bool
) -> None:
    subject = subject_of(Exploding(factor), vectors(), squared)
    seen = swept(subject, ASKED)
    if not finite:
        assert np.isinf(seen.parameter_norms).all()
        assert np.isinf(seen.activation_norms).all()
        return
    activations, parameters, _ = gradients(subject, ASKED)
    np.testing.assert_allclose(
        seen.parameter_norms, [[row[n] for n in seen.parameters] for row in parameters], rtol=1e-4
    )
    column = seen.layers.index("fc")
    expected = np.array([row["fc"] for row in activations])
    np.testing.assert_allclose(seen.activation_norms[:, column], expected, rtol=1e-4)


class Position(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(8))

    def forward(self) -> torch.Tensor:
        return self.table


class Positioned(nn.Module):
    """Has a module that puts out its own parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.position, self.head = Position(), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + self.position())


def test_no_hook_stays_on_a_parameter_that_a_module_puts_out() -> None:
    model = Positioned()
    seen = swept(subject_of(model, vectors(), "cross_entropy"), ASKED)
    assert not model.position.table._backward_hooks
    assert "position.table" in seen.parameters


def test_a_loss_without_gradient_leaves_every_norm_unknown() -> None:
    class Detached(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).detach()

    seen = swept(subject_of(Detached(nn.Linear(8, 3)), vectors(), "cross_entropy"), ASKED)
    assert np.isnan(seen.parameter_norms).all()
    assert seen.losses.shape == (4,)


def test_gradients_are_seen_although_the_caller_turned_them_off() -> None:
    with torch.no_grad():
        seen = swept(BY_NAME["mlp"].subject(profile="quick"), ASKED)
    assert np.isfinite(seen.parameter_norms).all()


def test_batches_of_one_are_left_out_of_training_passes() -> None:
    case = BY_NAME["shared-relu"]
    batches = [*case.batches(), (torch.zeros(1, 3, 8, 8), torch.zeros(1).long())]
    seen = swept(case.subject(batches=batches), GradientNormsOver(batches=9, split="train"))
    assert len(seen.losses) == 4
