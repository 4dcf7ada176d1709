"""Settings of training as spec, checkpoint and the files beside it tell them."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec import AuditSettings, AuditSpec, ModelSpec, TrainingSpec
from auditor.intake.loading import load
from auditor.intake.subject import Subject
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.settings import Settings, SettingsOf
from auditor.observers.schedule import schedule
from auditor.observers.settings import settings

UPDATES = 12


def trained(scheduler: Any = None, rate: float = 0.1) -> tuple[nn.Module, Any, Any]:
    """Return a model, its optimizer and its scheduler after some updates."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    made = scheduler(optimizer) if scheduler is not None else None
    for _ in range(UPDATES):
        optimizer.zero_grad()
        model(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
        if made is not None:
            made.step()
    return model, optimizer, made


def subject_of(folder: Path, held: dict[str, Any], training: TrainingSpec | None = None) -> Subject:
    torch.save(held, folder / "c.pt")
    spec = AuditSpec(
        model=ModelSpec(checkpoint="c.pt"),
        training=training or TrainingSpec(),
        audit=AuditSettings(device="cpu"),
    )
    return load(spec.model_copy(update={"base": folder}))


def known_of(folder: Path, held: dict[str, Any], training: TrainingSpec | None = None) -> Settings:
    return settings(SettingsOf(), subject_of(folder, held, training))


def course_of(folder: Path, held: dict[str, Any], training: TrainingSpec | None = None) -> Schedule:
    return schedule(ScheduleOf(), subject_of(folder, held, training))


def cosine(optimizer: Any) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=UPDATES, eta_min=0.001)


def test_a_lightning_checkpoint(tmp_path: Path) -> None:
    model, optimizer, made = trained(cosine)
    held = {
        "pytorch-lightning_version": "2.4.0",
        "epoch": 3,
        "global_step": UPDATES,
        "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [made.state_dict()],
        "hyper_parameters": {
            "batch_size": 24,
            "lr": 0.1,
            "max_epochs": 9,
            "gradient_clip_val": 0.5,
            "weight_decay": 0.01,
        },
    }
    known = known_of(tmp_path, held)
    assert (known.batch_size, known.clip_norm, known.schedule) == (24, 0.5, "CosineAnnealingLR")
    assert known.epochs == 4, "counted from 0"
    assert known.steps == UPDATES, "SGD keeps no count of its own"
    assert known.optimizer == "SGD"
    assert known.groups[0].number("initial_lr") == 0.1
    assert known.groups[0].number("lr") == pytest.approx(0.001)
    assert known.schedule_state is not None
    assert known.schedule_state["T_max"] == UPDATES
    assert "lr_schedulers.0" in known.source("schedule")
    assert known.source("batch_size") == "`hyper_parameters.batch_size` in the checkpoint"
    found = course_of(tmp_path, held)
    assert (found.taken, found.horizon) == (UPDATES, UPDATES)
    assert found.first == 0.1
    assert found.last == pytest.approx(0.001)
    rates = made.__class__(torch.optim.SGD(model.parameters(), lr=0.1), T_max=UPDATES, eta_min=1e-3)
    assert found.rates[0] == rates.get_last_lr()[0]
    assert found.share < 0.05


def test_the_spec_goes_before_the_checkpoint(tmp_path: Path) -> None:
    model, *_ = trained()
    held = {"model": model.state_dict(), "args": {"batch_size": 24, "epochs": 9, "clip_grad": 2.0}}
    declared = TrainingSpec(batch_size=8, clip_norm=1.0, schedule="none")
    known = known_of(tmp_path, held, declared)
    assert (known.batch_size, known.epochs, known.clip_norm) == (8, 9, 1.0)
    assert known.source("batch_size") == "the spec"
    assert known.source("epochs") == "`args.epochs` in the checkpoint"
    assert known.schedule == "none"


@pytest.mark.parametrize("container", ["args", "config", "hparams", "opt"])
def test_what_a_script_was_called_with(tmp_path: Path, container: str) -> None:
    model, *_ = trained()
    called = {
        "batch_size": 24,
        "epochs": 9,
        "max_grad_norm": 2.0,
        "optimizer": "adamw",
        "learning_rate": 3e-4,
        "weight_decay": 0.1,
        "lr_scheduler": "cosine",
    }
    known = known_of(tmp_path, {"state_dict": model.state_dict(), container: called})
    assert (known.batch_size, known.epochs, known.clip_norm) == (24, 9, 2.0)
    assert (known.optimizer, known.schedule) == ("AdamW", "cosine")
    assert known.groups[0].number("lr") == 3e-4
    assert known.groups[0].number("weight_decay") == 0.1
    for field in ("batch_size", "epochs", "clip_norm", "optimizer", "schedule", "groups"):
        assert container in known.source(field)


def test_a_namespace_and_nested_configuration(tmp_path: Path) -> None:
    model, *_ = trained()
    held = {"model": model.state_dict(), "args": Namespace(batch_size=24, clip_grad=None)}
    assert known_of(tmp_path, held).batch_size == 24
    nested = {"model": model.state_dict(), "config": {"training": {"max_epochs": 7, "bs": 5}}}
    known = known_of(tmp_path, nested)
    assert (known.epochs, known.batch_size) == (7, 5)
    assert known.source("epochs") == "`config.training.max_epochs` in the checkpoint"


def test_hugging_face_files_beside_the_checkpoint(tmp_path: Path) -> None:
    model, *_ = trained()
    rates = [
        {"step": s, "epoch": s / 50, "learning_rate": 1e-3 * (1 - s / 100)} for s in (1, 50, 100)
    ]
    state = {
        "epoch": 2.0,
        "global_step": 100,
        "max_steps": 100,
        "num_train_epochs": 2,
        "train_batch_size": 16,
        "log_history": [*rates, {"step": 100, "eval_loss": 0.4}],
    }
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["X"], "dropout": 0.1}))
    held = {"state_dict": model.state_dict()}
    known = known_of(tmp_path, held)
    assert (known.epochs, known.steps, known.batch_size) == (2.0, 100, 16)
    assert known.source("steps") == "`global_step` in trainer_state.json"
    found = course_of(tmp_path, held)
    assert found.logged_x.tolist() == [1, 50, 100]
    assert found.logged[-1] == 0
    assert found.share == 0


@pytest.mark.parametrize(
    ("key", "make"),
    [
        ("scheduler", lambda o: torch.optim.lr_scheduler.StepLR(o, 5)),
        ("lr_scheduler", lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [4, 8])),
        ("scheduler_state_dict", lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
        ("sched", lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=50)),
        ("lr_schedulers", lambda o: torch.optim.lr_scheduler.LinearLR(o)),
        ("any", lambda o: torch.optim.lr_scheduler.PolynomialLR(o, 20)),
        ("s", lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 5)),
    ],
)
def test_the_state_of_a_scheduler_names_its_class_and_gives_its_course(
    tmp_path: Path, key: str, make: Any
) -> None:
    model, optimizer, made = trained(make)
    held = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        key: made.state_dict(),
    }
    found = course_of(tmp_path, held)
    assert found.name == type(made).__name__
    assert found.taken == UPDATES
    assert found.last == pytest.approx(optimizer.param_groups[0]["lr"])
    at = found.x.tolist().index(UPDATES)
    assert found.rates[at] == pytest.approx(found.last), "the formula gives what happened"


def test_a_plateau_scheduler_has_no_formula(tmp_path: Path) -> None:
    model, optimizer, _ = trained()
    made = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
    made.step(1.0)
    held = {"state_dict": model.state_dict(), "scheduler": made.state_dict()}
    found = course_of(tmp_path, held)
    assert found.name == "ReduceLROnPlateau"
    assert not found.x.size


def test_a_log_that_the_spec_names(tmp_path: Path) -> None:
    model, *_ = trained()
    (tmp_path / "metrics.csv").write_text("epoch,loss,lr-Adam\n0,2.0,0.1\n1,,\n2,1.0,0.05\n")
    found = course_of(tmp_path, {"state_dict": model.state_dict()}, TrainingSpec(log="metrics.csv"))
    assert found.logged.tolist() == [0.1, 0.05]
    assert "metrics.csv" in found.log_source
    with pytest.raises(InputError, match=r"training\.log: events does not exist; expected a CSV"):
        course_of(tmp_path, {"state_dict": model.state_dict()}, TrainingSpec(log="events"))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"epoch": ' + "9" * 5000 + "}",
        '{"epoch": NaN, "global_step": -3, "train_batch_size": 1e99}',
        "[1, 2]",
        "\x00\xff",
        '{"epoch": {"a": ' * 50 + "1" + "}" * 100,
    ],
)
def test_hostile_files_tell_nothing_and_break_nothing(tmp_path: Path, text: str) -> None:
    model, *_ = trained()
    (tmp_path / "trainer_state.json").write_text(text, encoding="latin-1")
    subject = subject_of(tmp_path, {"state_dict": model.state_dict()})
    known = settings(SettingsOf(), subject)
    assert (known.epochs, known.steps, known.batch_size) == (None, None, None)
    valid = text.startswith(('{"epoch": NaN', '{"epoch": {'))
    assert valid or any("trainer_state.json" in warning for warning in subject.facts.warnings)


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, *_ = trained()
    (tmp_path / "trainer_state.json").write_text(json.dumps({"epoch": 3}))
    monkeypatch.setattr("auditor.intake.kept.LARGEST_STATE", 5)
    subject = subject_of(tmp_path, {"state_dict": model.state_dict()})
    assert settings(SettingsOf(), subject).epochs is None
    assert any("too large" in warning for warning in subject.facts.warnings)


def test_a_clipping_value_is_no_norm(tmp_path: Path) -> None:
    model, *_ = trained()
    held = {
        "state_dict": model.state_dict(),
        "hyper_parameters": {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"},
    }
    assert known_of(tmp_path, held).clip_norm is None


def test_nothing_known_is_nothing_told(tmp_path: Path) -> None:
    model, *_ = trained()
    held = {"state_dict": model.state_dict()}
    known = known_of(tmp_path, held)
    assert known == Settings(sources={})
    found = course_of(tmp_path, held)
    assert (found.name, found.taken, found.course.size) == ("", None, 0)
    assert found.share != found.share
