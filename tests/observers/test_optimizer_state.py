"""What saved optimizers tell, in the formats that trainers write, and garbage."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.spec import AuditSettings, AuditSpec, TrainingSpec
from auditor.intake.assembly import assemble
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.live import live_parts
from auditor.intake.moments import Entry, Known, matched
from auditor.intake.subject import Subject
from auditor.observations.optimizer_state import OptimizersHeld, OptimizersHeldIn
from auditor.observers.optimizer_state import optimizers_held
from tests.awkward import mlp, vectors

NAMES = ["0.weight", "0.bias", "3.weight", "3.bias", "5.weight", "5.bias"]


def stepped(
    model: nn.Module, held: Any, kind: type[torch.optim.Optimizer] = torch.optim.Adam
) -> torch.optim.Optimizer:
    optimizer = kind(held, **({"lr": 0.01, "momentum": 0.9} if kind is torch.optim.SGD else {}))
    x, y = vectors()[0]
    functional.cross_entropy(model(x), y).backward()
    optimizer.step()
    return optimizer


def subject_with(held: Any, folder: Path, model: nn.Module | None = None) -> Subject:
    """Return the subject of a checkpoint file that holds these things beside the weights."""
    model = model or mlp()
    torch.save({"state_dict": model.state_dict(), **held}, folder / "w.pt")
    parts = live_parts(model, mlp, "cross_entropy", vectors(), vectors(), None, None, "cpu")
    parts = type(parts)(**{**vars(parts), "checkpoint": open_checkpoint(folder / "w.pt")})
    spec = AuditSpec(training=TrainingSpec(epochs=2), audit=AuditSettings(device="cpu"))
    return assemble(parts, spec)


def seen(held: Any, folder: Path, model: nn.Module | None = None) -> OptimizersHeld:
    return optimizers_held(OptimizersHeldIn(), subject_with(held, folder, model))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop])
@pytest.mark.parametrize(
    ("wrap", "where"),
    [
        (lambda s: {"optimizer": s}, "optimizer"),
        (lambda s: {"optimizer_states": [s]}, "optimizer_states.0"),
        (lambda s: {"trainer": {"optimizers": {"main": s}}}, "trainer.optimizers.main"),
    ],
)
def test_every_parameter_is_found_in_its_order(kind: Any, wrap: Any, where: str, tmp_path) -> None:
    model = mlp()
    found = seen(wrap(stepped(model, model.parameters(), kind).state_dict()), tmp_path)
    (one,) = found.optimizers
    assert (one.where, one.how, one.missing, one.unsure, one.strangers) == (
        where,
        "order",
        (),
        (),
        0,
    )
    assert [h.name for h in one.held] == NAMES
    assert all(h.kept and h.moments and not h.zero for h in one.held)
    assert one.remembers
    assert (found.epochs, found.batches) == (2, 4)


def test_what_it_lacks_is_named(tmp_path) -> None:
    model = mlp()
    state = stepped(model, [*model[0].parameters(), *model[5].parameters()]).state_dict()
    (one,) = seen({"optimizer": state}, tmp_path).optimizers
    assert one.how == "subset"
    assert one.missing == ("3.weight", "3.bias")
    assert [h.name for h in one.held] == ["0.weight", "0.bias", "5.weight", "5.bias"]


def test_names_that_are_kept_tell_more_than_shapes(tmp_path) -> None:
    model = mlp()
    state = stepped(model, list(model[3].named_parameters(prefix="module.3"))).state_dict()
    (one,) = seen({"optimizer": state}, tmp_path).optimizers
    assert one.how == "name"
    assert one.missing == ("0.weight", "0.bias", "5.weight", "5.bias")


def test_groups_with_and_without_decay_are_put_in_order(tmp_path) -> None:
    model = mlp()
    large = [p for p in model.parameters() if p.ndim > 1]
    small = [p for p in model.parameters() if p.ndim < 2]
    state = stepped(model, [{"params": large}, {"params": small, "weight_decay": 0}]).state_dict()
    (one,) = seen({"optimizer": state}, tmp_path).optimizers
    assert (one.how, one.missing) == ("order", ())
    assert [h.name for h in one.held] == [n for k in ("weight", "bias") for n in NAMES if k in n]


def test_without_moments_only_the_number_is_known(tmp_path) -> None:
    model = mlp()
    plain = torch.optim.SGD(model[0].parameters(), lr=0.1).state_dict()
    (one,) = seen({"optimizer": plain}, tmp_path).optimizers
    assert (one.how, one.missing, one.remembers) == ("", (), False)
    assert one.unsure == ((4, tuple(NAMES)),)
    whole = torch.optim.SGD(model.parameters(), lr=0.1).state_dict()
    (one,) = seen({"optimizer": whole}, tmp_path).optimizers
    assert (one.how, one.unsure) == ("count", ())


def test_a_parameter_without_a_gradient_leaves_nothing(tmp_path) -> None:
    model = mlp()
    model[3].requires_grad_(False)
    state = stepped(model, model.parameters()).state_dict()
    (one,) = seen({"optimizer": state}, tmp_path).optimizers
    assert [h.name for h in one.held if not h.kept] == ["3.weight", "3.bias"]


def test_several_optimizers_are_all_seen(tmp_path) -> None:
    model, other = mlp(), nn.Linear(3, 3)
    ours = stepped(model, model.parameters()).state_dict()
    theirs = torch.optim.Adam(other.parameters()).state_dict()
    found = seen({"optimizer_states": [theirs, ours]}, tmp_path)
    assert [o.how for o in found.optimizers] == ["", "order"]


def test_equal_shapes_leave_several_possibilities() -> None:
    known = [Known(f"{n}.weight", (4, 4), True) for n in range(3)]
    entries = [Entry(0, 0.1, "", (4, 4), {"step": 1})] * 2
    match = matched(entries, known)
    assert match.missing == ()
    assert match.unsure == ((1, ("0.weight", "1.weight", "2.weight")),)
    strangers = matched([*entries, *entries, Entry(0, 0.1, "", (9,), {"step": 1})], known)
    assert strangers.strangers == 2


GARBAGE: list[Any] = [
    {"state": {}, "param_groups": []},
    {"state": {}, "param_groups": [{}]},
    {"state": {}, "param_groups": "abc"},
    {"state": [], "param_groups": [{"params": [0]}]},
    {"state": {0: 3, "x": None}, "param_groups": [{"params": [0, "x", None, [1], {}]}]},
    {
        "state": {0: {"exp_avg": "text", "step": "soon"}},
        "param_groups": [{"params": [0], "lr": "x"}],
    },
    {"state": {0: {"exp_avg": torch.zeros(2, 2)}}, "param_groups": [{"params": [0], "lr": None}]},
    {
        "state": {n: {"exp_avg": torch.ones(3), "step": torch.ones(2)} for n in range(9)},
        "param_groups": [
            {"params": list(range(9)), "lr": torch.tensor(0.1), "betas": 7, "amsgrad": 0}
        ],
    },
    {"state": {}, "param_groups": [{"params": 5, "nesterov": 1, "dampening": "no", "lr": -1}]},
    {
        "state": {0: {"momentum_buffer": None}},
        "param_groups": [{"params": [0], "nesterov": False, "dampening": 0, "lr": float("nan")}],
    },
    {"state": {0: {"exp_avg": torch.ones(2).to_sparse()}}, "param_groups": [{"params": [0]}]},
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("listed", [False, True], ids=["optimizer", "list"])
def test_garbage_is_no_error(garbage: Any, listed: bool, tmp_path) -> None:
    held = {"optimizer_states": [garbage, garbage]} if listed else {"optimizer": garbage}
    found = seen(held, tmp_path)
    assert found.trainable == tuple(NAMES)


def test_no_optimizer_at_all(tmp_path) -> None:
    assert seen({}, tmp_path).optimizers == ()


def test_an_optimizer_at_hand_is_asked_by_identity() -> None:
    model = mlp()
    optimizer = torch.optim.SGD([*model[0].parameters(), nn.Parameter(torch.zeros(3))], lr=0.1)
    parts = live_parts(
        model, mlp, "cross_entropy", vectors(), vectors(), None, None, "cpu", optimizer
    )
    subject = assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))
    (one,) = optimizers_held(OptimizersHeldIn(), subject).optimizers
    assert (one.where, one.how, one.strangers) == ("", "name", 1)
    assert one.missing == tuple(NAMES[2:])
