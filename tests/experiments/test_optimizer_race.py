"""The race between optimizers against plain training, and who takes part in it."""

import dataclasses
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import AuditSettings, AuditSpec, OptimizerSpec, TrainingSpec
from auditor.experiments.declared_optimizer import Declared, declared_of
from auditor.experiments.optimizer_race import optimizer_race
from auditor.intake.assembly import assemble
from auditor.intake.live import live_parts
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.optimizer_race import OptimizerRace, OptimizerRaceOver
from tests.awkward import mlp, vectors

SHORT = OptimizerRaceOver(seeds=2, trial=3, total=24)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


def batches(count: int = 12, size: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    x = [torch.randn(size, 4, generator=generator) for _ in range(count)]
    return [(one, (one[:, 0] > 0).long() + (one[:, 1] > 0).long()) for one in x]


def subject_of(
    optimizer: Any = None,
    *,
    factory: Any = net,
    data: Any = None,
    loss: Any = "cross_entropy",
    epochs: float | None = None,
) -> Subject:
    torch.manual_seed(1)
    model = factory()
    data = batches() if data is None else data
    live = optimizer(model) if callable(optimizer) else None
    spec = None
    if isinstance(optimizer, dict):
        spec = OptimizerSpec(**optimizer)
    parts = live_parts(model, factory, loss, data, data, None, None, "cpu", live)
    training = TrainingSpec(optimizer=spec, epochs=epochs)
    return assemble(parts, AuditSpec(training=training, audit=AuditSettings(device="cpu")))


def raced(*args: Any, request: OptimizerRaceOver = SHORT, **kwargs: Any) -> OptimizerRace:
    made = optimizer_race(request, subject_of(*args, **kwargs))
    assert isinstance(made, OptimizerRace), made
    return made


@torch.no_grad()
def held_loss(model: nn.Module, held: Any) -> float:
    return float(np.mean([float(functional.cross_entropy(model(x), y)) for x, y in held]))


ADAM = {"name": "Adam", "lr": 0.01}


def test_a_race_is_plain_training_from_the_same_weights_over_the_same_batches() -> None:
    subject = subject_of({"name": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01})
    made = optimizer_race(SHORT, subject)
    assert isinstance(made, OptimizerRace)
    data = batches()
    longest = SHORT.looked_at({})["train"]
    held, pool = data[:2], data[2:longest]
    assert made.apart
    own = made.racer("declared")
    rival = made.racer("AdamW")
    assert own is not None
    assert rival is not None
    for racer, build in (
        (own, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01)),
        (rival, lambda p: torch.optim.AdamW(p, lr=rival.rate)),
    ):
        for seed in (1, 2):
            with seeded(derived_seed(subject.seed, f"optimizer race {seed}")):
                model = subject.fresh(derived_seed(subject.seed, f"optimizer race {seed}"))
            before = held_loss(model, held)
            optimizer = build(model.parameters())
            start, losses = seed * (len(pool) // 3), []
            for step in range(made.steps):
                x, y = pool[(start + step) % len(pool)]
                loss = functional.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            after = held_loss(model, held)
            np.testing.assert_allclose(racer.losses[seed - 1], losses, rtol=1e-5)
            assert racer.after[seed - 1] == pytest.approx(after, rel=1e-5)
            assert made.before[seed - 1] == pytest.approx(before, rel=1e-5)


def test_each_gets_as_many_rates_beside_the_own_one_and_as_many_steps() -> None:
    made = raced({"name": "Adagrad", "lr": 0.007})
    assert [(h.kind, len(h.rates)) for h in made.heats] == [
        ("declared", 4),
        ("SGD", 3),
        ("AdamW", 3),
    ]
    assert made.heats[0].rates[0] == 0.007
    assert len({racer.losses.shape for racer in made.racers}) == 1
    assert len(made.racers) <= 3
    for heat in made.heats:
        known = [loss for loss in heat.losses if loss == loss]
        assert heat.losses[heat.chosen] == min(known)


@pytest.mark.parametrize(
    ("optimizer", "kinds"),
    [
        ({"name": "Adam", "lr": 0.01}, {"declared", "SGD"}),
        ({"name": "AdamW", "lr": 0.01, "weight_decay": 0.1}, {"declared", "SGD"}),
        ({"name": "SGD", "lr": 0.01, "momentum": 0.9}, {"declared", "AdamW"}),
        ({"name": "SGD", "lr": 0.01}, {"declared", "SGD", "AdamW"}),
        ({"name": "RMSprop", "lr": 0.01}, {"declared", "SGD", "AdamW"}),
        ({"name": "Adam", "lr": 0.01, "eps": 1.0}, {"declared", "mended", "SGD", "AdamW"}),
        ({"name": "SGD", "lr": 1e-5, "momentum": 0.9}, {"declared", "mended", "SGD", "AdamW"}),
        (None, {"SGD", "AdamW"}),
    ],
)
def test_who_takes_part(optimizer: Any, kinds: set[str]) -> None:
    made = raced(optimizer)
    assert {heat.kind for heat in made.heats} == kinds
    ran = {racer.kind for racer in made.racers} - {"retuned"}
    assert ran <= kinds
    assert ("declared" in ran) == (optimizer is not None)
    assert ran & {"SGD", "AdamW"}
    assert ("mended" in ran) == ("mended" in kinds)


def test_what_has_to_prove_itself_races_at_the_same_rate_put_right() -> None:
    made = raced({"name": "Adam", "lr": 0.01, "eps": 1.0, "weight_decay": 0.5})
    own, mended = made.racer("declared"), made.racer("mended")
    assert own is not None
    assert mended is not None
    assert set(made.mended) == {"weight_decay", "eps"}
    assert (own.name, mended.name) == ("Adam(eps=1, weight_decay=0.5)", "Adam")
    assert own.rate == mended.rate == 0.01
    plain = raced(ADAM).racer("declared")
    assert plain is not None
    steps = min(plain.losses.shape[1], mended.losses.shape[1])
    np.testing.assert_array_equal(plain.losses[:, :steps], mended.losses[:, :steps])


def test_a_rate_of_another_kind_of_optimizer_is_searched_anew() -> None:
    made = raced({"name": "SGD", "lr": 1e-5})
    (heat,) = [h for h in made.heats if h.kind == "mended"]
    assert heat.rates == (0.05, 0.5, 5.0)
    own = made.racer("declared")
    assert own is not None
    assert own.rate == 1e-5
    # Enough steps were made with it.
    assert raced({"name": "SGD", "lr": 9e-4}, epochs=2000).racer("mended") is None


def test_groups_keep_the_ratio_of_their_rates_and_all_of_their_settings() -> None:
    def live(model: Any) -> torch.optim.Optimizer:
        groups = [
            {"params": model[0].parameters(), "lr": 0.1, "weight_decay": 0.2},
            {"params": model[2].parameters()},
        ]
        made = torch.optim.SGD(groups, lr=0.01, momentum=0.9)
        torch.optim.lr_scheduler.StepLR(made, 1)
        for group in made.param_groups:
            group["lr"] = 0.0
        return made

    subject = subject_of(live)
    own = declared_of(subject)
    assert isinstance(own, Declared)
    assert own.rate == 0.1
    built = own.build(net(), 0.2)
    assert [group["lr"] for group in built.param_groups] == pytest.approx([0.2, 0.02])
    assert [group["weight_decay"] for group in built.param_groups] == [0.2, 0]
    assert [len(group["params"]) for group in built.param_groups] == [2, 2]
    assert not built.state


class Signs(torch.optim.Optimizer):
    """An optimizer of the user's own."""

    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["count"] = self.state[p].get("count", 0) + 1
                if self.state[p]["count"] > 50:
                    raise RuntimeError("its state was not cleared")
                p -= group["lr"] * p.grad.sign()


def test_an_optimizer_of_ones_own_races_too_and_starts_anew() -> None:
    def live(model: nn.Module) -> torch.optim.Optimizer:
        made = Signs(model.parameters())
        for p in model.parameters():
            made.state[p]["count"] = 49
        return made

    made = raced(live)
    own = made.racer("declared")
    assert own is not None
    assert (own.name, own.rate) == ("Signs", 0.01)
    assert [h.rates for h in made.heats if h.kind == "declared"] == [(0.01, 0.001, 0.1, 1.0)]


@pytest.mark.parametrize(
    ("optimizer", "reason"),
    [
        (None, "no optimizer"),
        ({"name": "LBFGS", "lr": 1.0}, "several times a step"),
        ({"name": "SparseAdam", "lr": 0.01}, "dense gradients"),
        (lambda m: torch.optim.SGD(m.parameters(), lr=0.0), "no learning rate above 0"),
        (lambda m: torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1), "holds none"),
        ({"name": "Muon", "lr": 0.02}, "2D"),
    ],
)
def test_where_the_declared_one_can_not_race_the_others_do(optimizer: Any, reason: str) -> None:
    made = raced(optimizer)
    assert made.racer("declared") is None
    assert reason in made.absent
    assert {racer.kind for racer in made.racers} == {"SGD", "AdamW"}


def test_sparse_gradients_leave_out_what_can_not_take_them() -> None:
    def factory() -> nn.Module:
        return nn.Sequential(nn.EmbeddingBag(20, 4, sparse=True), nn.Linear(4, 3))

    data = [(torch.randint(0, 20, (6, 3)), torch.randint(0, 3, (6,))) for _ in range(6)]
    made = raced({"name": "SGD", "lr": 0.1}, factory=factory, data=data)
    assert made.racer("declared") is not None
    assert made.racer("AdamW") is None
    assert "sparse" in made.note


def test_a_rate_that_loses_the_loss_is_not_chosen_and_counts_as_lost() -> None:
    made = raced({"name": "SGD", "lr": 1e30, "momentum": 0.9})
    own = made.racer("declared")
    assert own is not None
    assert np.isnan(own.after).all()
    assert math.isnan(made.heats[0].losses[0])
    assert made.racer("retuned") is not None
    end, area = own.progress(made.before, 1.0)
    assert (end == -1).all()
    assert ((area < 0) & (area >= -1)).all()


def test_what_can_not_race_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = lambda: net().requires_grad_(False)  # noqa: E731
    made = optimizer_race(SHORT, subject_of(ADAM, factory=frozen))
    assert made == Unavailable("the model has no trainable parameters")
    cut = subject_of(ADAM, loss=lambda out, y: functional.cross_entropy(out.detach(), y))
    assert "no gradient" in optimizer_race(SHORT, cut).reason  # type: ignore[union-attr]
    monkeypatch.setattr(sys.modules[optimizer_race.__module__], "BUDGET", 1e6)
    found = optimizer_race(OptimizerRaceOver(), subject_of(ADAM))
    assert isinstance(found, Unavailable)
    assert "too few steps could be afforded" in found.reason


def test_where_whole_batches_are_dear_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[optimizer_race.__module__]
    monkeypatch.setattr(module, "forward_cost", lambda subject, examples: 1e6 * examples)
    monkeypatch.setattr(module, "BUDGET", 228 * 3e6 * 17)
    made = optimizer_race(OptimizerRaceOver(), subject_of(ADAM, data=batches(6, 64)))
    assert isinstance(made, OptimizerRace)
    assert made.examples == 8 or made.examples == 16
    assert f"cut to {made.examples} examples" in made.note


def test_one_batch_is_trained_on_and_held() -> None:
    made = raced(ADAM, data=batches(1))
    assert not made.apart
    assert made.held == 1


@pytest.mark.parametrize("size", [1, 5])
def test_batch_norm_and_dropout_are_trained_in_their_mode_and_looked_at_without(size: int) -> None:
    data = [(x[:size], y[:size]) for x, y in vectors()]
    made = raced(ADAM, factory=mlp, data=data)
    assert np.isfinite(made.before).all()


def test_the_same_audit_has_the_same_race_and_leaves_the_model_alone() -> None:
    subject = subject_of(ADAM)
    assert subject.model is not None
    kept = [p.detach().clone() for p in subject.model.parameters()]
    one, other = optimizer_race(SHORT, subject), optimizer_race(SHORT, subject)
    assert isinstance(one, OptimizerRace)
    assert isinstance(other, OptimizerRace)
    for mine, theirs in zip(one.racers, other.racers, strict=True):
        np.testing.assert_array_equal(mine.losses, theirs.losses)
    assert all(torch.equal(a, b) for a, b in zip(kept, subject.model.parameters(), strict=True))
    assert all(p.grad is None for p in subject.model.parameters())


@pytest.mark.parametrize(
    ("profile", "optimizer"),
    [
        ("quick", {"name": "Adagrad", "lr": 0.01}),
        ("standard", ADAM),
        ("standard", {**ADAM, "eps": 1.0}),
        ("standard", {"name": "Adagrad", "lr": 0.01}),
        ("standard", None),
    ],
)
def test_it_costs_no_more_than_it_says(profile: Any, optimizer: Any) -> None:
    passes = [0, 0]

    class Counting(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            passes[0] += 1
            out = super().forward(x)
            if out.requires_grad:
                out.register_hook(lambda _: passes.__setitem__(1, passes[1] + 1))
            return out

    def factory() -> nn.Module:
        return Counting(nn.Linear(4, 3))

    subject = subject_of(optimizer, factory=factory)
    passes[:] = [0, 0]
    request = OptimizerRaceOver().at(profile, frozenset())
    assert isinstance(optimizer_race(request, subject), OptimizerRace)
    cost = request.cost({"train": 12})
    assert passes[0] <= cost.forwards
    assert passes[1] <= cost.backwards
    if profile == "standard":
        assert (cost.forwards + 2 * cost.backwards) / 3 <= 240


def test_a_run_looks_at_no_more_batches_than_it_says() -> None:
    request = OptimizerRaceOver()
    made = raced(ADAM, request=request, data=batches(40))
    assert made.steps + made.held <= request.looked_at({"train": 40})["train"]
    assert dataclasses.replace(request, seeds=1).looked_at({"train": 9})["train"] == 62
