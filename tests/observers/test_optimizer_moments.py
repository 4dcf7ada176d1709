"""The moments of optimizers against plain computations, for every kind that keeps any."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.spec import AuditSettings, AuditSpec, OptimizerSpec, TrainingSpec
from auditor.intake.assembly import assemble
from auditor.intake.live import live_parts
from auditor.intake.subject import Subject
from auditor.observations.optimizer_moments import Moments, OptimizerMoments, OptimizerMomentsOf
from auditor.observers.optimizer_moments import optimizer_moments
from tests.awkward import mlp, vectors
from tests.observers.test_optimizer_state import NAMES, subject_with


def of(model: nn.Module, optimizer: Any = None, spec: OptimizerSpec | None = None) -> Subject:
    parts = live_parts(
        model, mlp, "cross_entropy", vectors(), vectors(), None, None, "cpu", optimizer
    )
    training = TrainingSpec(optimizer=spec)
    return assemble(parts, AuditSpec(training=training, audit=AuditSettings(device="cpu")))


def seen(model: nn.Module, optimizer: Any) -> OptimizerMoments:
    return optimizer_moments(OptimizerMomentsOf(), of(model, optimizer))


def trained(kind: Any, model: nn.Module, steps: int = 20, **settings: Any) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = kind(model.parameters(), **settings)
    batches = vectors()
    for step in range(steps):
        x, y = batches[step % len(batches)]
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return optimizer


def by_name(found: OptimizerMoments) -> dict[str, Moments]:
    (held,) = found.optimizers
    return {one.name: one for one in held.moments}


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam(amsgrad: bool) -> None:
    model = mlp()
    optimizer = trained(torch.optim.Adam, model, lr=0.01, eps=1e-3, amsgrad=amsgrad)
    moments = by_name(seen(model, optimizer))
    assert list(moments) == NAMES
    for name, p in model.named_parameters():
        state, one = optimizer.state[p], moments[name]
        squares = state["max_exp_avg_sq" if amsgrad else "exp_avg_sq"].double()
        root = (squares / (1 - 0.999**20)).sqrt()
        assert (one.size, one.step, one.lost, one.impossible) == (p.numel(), 20, 0, 0)
        assert one.first == pytest.approx(float(state["exp_avg"].square().mean().sqrt()), rel=1e-5)
        assert one.root == pytest.approx(float(root.square().mean().sqrt()), rel=1e-5)
        alive = root > 0
        share = float((alive & (root < 1e-3)).sum() / alive.sum()) if alive.any() else math.nan
        assert one.frozen == pytest.approx(share, nan_ok=True)


@pytest.mark.parametrize(
    ("kind", "key", "correct"),
    [
        (torch.optim.RMSprop, "square_avg", 1.0),
        (torch.optim.Adagrad, "sum", 1.0),
        (torch.optim.Adadelta, "square_avg", 1.0),
        (torch.optim.NAdam, "exp_avg_sq", 1 - 0.999**20),
    ],
)
def test_other_second_moments(kind: Any, key: str, correct: float) -> None:
    model = mlp()
    optimizer = trained(kind, model, lr=0.01)
    moments = by_name(seen(model, optimizer))
    for name, p in model.named_parameters():
        expected = (optimizer.state[p][key] / correct).mean().sqrt()
        assert moments[name].root == pytest.approx(float(expected), rel=1e-4)
        assert moments[name].lost == moments[name].impossible == 0


def test_adamax_keeps_peaks_and_sgd_momentum_alone() -> None:
    model = mlp()
    optimizer = trained(torch.optim.Adamax, model, lr=0.01)
    one, p = by_name(seen(model, optimizer))["0.weight"], model.get_parameter("0.weight")
    peaks = optimizer.state[p]["exp_inf"]
    assert one.root == pytest.approx(float(peaks.square().mean().sqrt()), rel=1e-5)
    optimizer = trained(torch.optim.SGD, model, lr=0.01, momentum=0.9)
    one = by_name(seen(model, optimizer))["0.weight"]
    buffer = optimizer.state[p]["momentum_buffer"]
    assert one.first == pytest.approx(float(buffer.square().mean().sqrt()), rel=1e-5)
    assert math.isnan(one.root)
    assert math.isnan(one.frozen)
    assert math.isnan(one.step)


def test_what_keeps_nothing_has_no_moments() -> None:
    model = mlp()
    (held,) = seen(model, torch.optim.Adam(model.parameters())).optimizers
    assert held.moments == ()
    assert optimizer_moments(OptimizerMomentsOf(), of(model)).optimizers == ()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9), (0.8, 0.7)])
@pytest.mark.parametrize("kind", ["steady", "spike", "worst"])
def test_no_gradients_make_a_first_moment_that_counts_as_impossible(betas: Any, kind: str) -> None:
    """The worst gradients grow as (b1 / b2)^i towards the present."""
    layer = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.0, betas=betas)
    torch.manual_seed(0)
    for step in range(60):
        size = {"steady": 1.0, "spike": 1e4 if step == 59 else 1e-3}
        size["worst"] = (betas[1] / max(betas[0], 1e-3)) ** (step - 59) if betas[0] else 1.0
        for p in layer.parameters():
            p.grad = torch.full_like(p, size[kind])
        optimizer.step()
    one = seen_alone(layer, optimizer)
    assert one.impossible == 0


def test_squares_that_were_lost_show_however_small_the_share() -> None:
    model = mlp()
    optimizer = trained(torch.optim.Adam, model, lr=0.01)
    state = optimizer.state[model.get_parameter("3.weight")]
    place = int(state["exp_avg"].abs().flatten().argmax())
    was = float(state["exp_avg"].flatten()[place].abs())
    state["exp_avg_sq"].view(-1)[place] = 0
    one = by_name(seen(model, optimizer))["3.weight"]
    assert one.impossible == 1
    assert one.longest == pytest.approx(was / 1e-8, rel=1e-3)
    state["exp_avg_sq"].view(-1)[place] = -1
    state["exp_avg"].view(-1)[0] = math.nan
    assert by_name(seen(model, optimizer))["3.weight"].lost == 2


def seen_alone(model: nn.Module, optimizer: torch.optim.Optimizer) -> Moments:
    x = [(torch.randn(6, 4), torch.randint(0, 3, (6,)))]
    parts = live_parts(model, None, "cross_entropy", x, x, None, None, "cpu", optimizer)
    subject = assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    found = optimizer_moments(OptimizerMomentsOf(), subject)
    return found.optimizers[0].moments[0]


def test_roles_of_parameters() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(5, 4)
            self.norm = nn.LayerNorm(4)
            self.head = nn.Linear(4, 3)
            self.scale = nn.Parameter(torch.ones(4))
            self.frozen = nn.Linear(2, 2).requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.norm(self.table(x)).mean(1) * self.scale)

    x = [(torch.randint(0, 5, (6, 3)), torch.randint(0, 3, (6,)))]
    parts = live_parts(Odd(), None, "cross_entropy", x, x, None, None, "cpu")
    subject = assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    found = optimizer_moments(OptimizerMomentsOf(), subject)
    assert dict(found.roles) == {
        "scale": "vector",
        "table.weight": "embedding",
        "norm.weight": "norm",
        "norm.bias": "norm",
        "head.weight": "weight",
        "head.bias": "bias",
    }
    assert 0 < found.least < 1e-40
    assert (found.optimizer, found.groups) == ("", ())


def test_settings_come_from_the_spec_and_what_it_leaves_open_from_the_state(tmp_path) -> None:
    model = mlp()
    state = trained(torch.optim.Adam, model, lr=0.01, eps=0.1, betas=(0.8, 0.99)).state_dict()
    subject = subject_with({"optimizer": copy.deepcopy(state)}, tmp_path, model)
    found = optimizer_moments(OptimizerMomentsOf(), subject)
    assert (found.optimizer, found.conflicts) == ("Adam", ())
    (group,) = found.groups
    assert (group.number("eps"), group.values["betas"]) == (0.1, (0.8, 0.99))
    assert list(group.parameters) == NAMES

    def told(**settings: Any) -> OptimizerMoments:
        spec = OptimizerSpec(**settings)
        return optimizer_moments(OptimizerMomentsOf(), declared(subject, spec))

    same = told(name="Adam", lr=0.01)
    assert same.conflicts == ()
    assert same.groups[0].number("eps") == 0.1
    other = told(name="Adam", lr=0.5, eps=1e-8)
    assert other.conflicts == ("`eps` is 1e-08 in the spec and 0.1 in the saved state",)
    assert other.groups[0].number("eps") == 1e-8
    assert other.groups[0].number("initial_lr") == 0.5
    wrong = told(name="SGD", lr=0.1, momentum=0.9)
    assert wrong.conflicts == ("the saved state is not of SGD",)
    assert wrong.groups[0].values["momentum"] == 0.9
    assert wrong.groups[0].parameters == ()


def declared(subject: Subject, spec: OptimizerSpec) -> Subject:
    import dataclasses

    training = subject.training.model_copy(update={"optimizer": spec})
    return dataclasses.replace(subject, training=training, optimizer=spec)
