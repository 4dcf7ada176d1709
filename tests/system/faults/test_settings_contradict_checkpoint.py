"""Declarations that the checkpoint contradicts, and the many that only look so."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.optim import lr_scheduler as schedules

from auditor.checks.tracking.settings_contradict_checkpoint import (
    SCHEDULE,
    SETTINGS,
    SOURCES,
    judge,
)
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from auditor.observers.schedule import schedule
from auditor.observers.setting_sources import setting_sources
from auditor.observers.settings import settings
from tests.subjects import REAL, SAMPLES
from tests.zoo import SAMPLES as HEALTHY

EPOCHS = 6
BATCHES = 5


def judged(folder: Path) -> Judgement:
    """Return what is said of a spec and its checkpoint, by the real observers."""
    subject = load(read_spec(folder / "audit.yaml"))
    answers = {
        SOURCES: setting_sources(SOURCES, subject),
        SCHEDULE: schedule(SCHEDULE, subject),
        SETTINGS: settings(SETTINGS, subject),
    }
    return judge(Seen(answers))


def changed(name: str, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of a sample model whose spec was changed."""
    there = shutil.copytree(SAMPLES / name, folder / name)
    spec = yaml.safe_load((there / "audit.yaml").read_text())
    change(spec)
    (there / "audit.yaml").write_text(yaml.safe_dump(spec))
    return there


def declaring(**training: Any) -> Callable[[dict[str, Any]], None]:
    def change(spec: dict[str, Any]) -> None:
        optimizer = training.get("optimizer")
        if isinstance(optimizer, dict) and "name" not in optimizer:
            spec["training"]["optimizer"] |= optimizer
            rest = {key: value for key, value in training.items() if key != "optimizer"}
            spec["training"] |= rest
        else:
            spec["training"] |= training

    return change


@pytest.mark.parametrize("name", [*HEALTHY, "digits_cnn_broken"])
def test_the_samples_contradict_nothing(name: str, tmp_path: Path) -> None:
    found = judged(changed(name, tmp_path, lambda spec: None))
    assert found.verdict in (Verdict.PASS, Verdict.NOT_APPLICABLE), found.summary
    assert not found.where


@pytest.mark.parametrize(
    ("name", "training", "verdict", "place"),
    [
        (
            "diabetes_mlp",
            {"optimizer": {"name": "SGD", "lr": 0.0005}},
            "fail",
            "training.optimizer.name",
        ),
        (
            "digits_cnn",
            {"optimizer": {"name": "AdamW", "lr": 0.006}},
            "fail",
            "training.optimizer.name",
        ),
        (
            "diabetes_mlp",
            {"optimizer": {"name": "Adam", "lr": 0.0005, "weight_decay": 0.1}},
            "fail",
            "training.optimizer.name",
        ),
        ("diabetes_mlp", {"optimizer": {"lr": 0.05}}, "fail", "training.optimizer.lr"),
        ("digits_cnn", {"optimizer": {"lr": 0.06}}, "fail", "training.optimizer.lr"),
        ("digits_cnn", {"optimizer": {"lr": 0.008}}, "warn", "training.optimizer.lr"),
        ("diabetes_mlp", {"epochs": 200}, "fail", "training.epochs"),
        ("diabetes_mlp", {"epochs": 5}, "fail", "training.epochs"),
        ("diabetes_mlp", {"epochs": 25}, "warn", "training.epochs"),
        ("digits_cnn", {"optimizer": {"momentum": 0.5}}, "warn", "training.optimizer.momentum"),
        (
            "digits_cnn",
            {"optimizer": {"weight_decay": 0.05}},
            "warn",
            "training.optimizer.weight_decay",
        ),
        ("diabetes_mlp", {"optimizer": {"eps": 1e-3}}, "warn", "training.optimizer.eps"),
        (
            "tiny_lm",
            {"optimizer": {"betas": [0.5, 0.999]}},
            "warn",
            "training.optimizer.betas",
        ),
        ("diabetes_mlp", {"batch_size": 15}, "warn", "training.batch_size"),
        ("diabetes_mlp", {"batch_size": 100}, "warn", "training.epochs"),
        ("diabetes_mlp", {"seed": 7}, "warn", "training.seed"),
        ("tiny_lm", {"clip_norm": 5.0}, "warn", "training.clip_norm"),
        ("digits_cnn", {"schedule": {"name": "StepLR", "step_size": 30}}, "warn",
         "training.schedule"),
        ("digits_cnn", {"schedule": {"name": "CosineAnnealingLR", "T_max": 300}}, "warn",
         "training.schedule"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_of_a_sample(
    name: str, training: dict[str, Any], verdict: str, place: str, tmp_path: Path
) -> None:
    found = judged(changed(name, tmp_path, declaring(**training)))
    assert found.verdict == verdict, found.summary
    assert found.where[0].name == place, found.where
    assert found.advice
    assert found.figures


def test_a_wrong_argument_of_the_model_that_still_loads(tmp_path: Path) -> None:
    """Four heads and two have the same weights."""
    there = changed("tiny_lm", tmp_path, lambda spec: spec["model"]["args"].update(heads=2))
    held = torch.load(there / "tiny_lm.pt", weights_only=True)
    held["config"] = {"model": {"heads": 4, "depth": 2}}
    torch.save(held, there / "tiny_lm.pt")
    found = judged(there)
    assert found.verdict is Verdict.WARN
    assert [place.name for place in found.where] == ["model.args.heads"]
    assert "`config.model.heads` in the checkpoint" in found.summary


def test_a_file_beside_the_checkpoint_that_says_otherwise(tmp_path: Path) -> None:
    there = changed("diabetes_mlp", tmp_path, lambda spec: None)
    (there / "config.json").write_text(json.dumps({"lr": 0.3, "optimizer": "sgd", "epochs": 21}))
    found = judged(there)
    assert found.verdict is Verdict.WARN, "a file may have been left behind by another run"
    assert {place.name for place in found.where} == {
        "training.optimizer.lr",
        "training.optimizer.name",
    }
    assert all("config.json" in place.note for place in found.where)


def test_records_that_contradict_each_other_without_a_spec(tmp_path: Path) -> None:
    held = torch.load(SAMPLES / "diabetes_mlp" / "diabetes.pt", weights_only=True)
    held["hyperparameters"] |= {"lr": 0.07, "optimizer": "SGD"}
    torch.save(held, tmp_path / "c.pt")
    (tmp_path / "audit.yaml").write_text("model: {checkpoint: c.pt}\n")
    found = judged(tmp_path)
    assert found.verdict is Verdict.WARN
    assert "The records do not agree on the optimizer" in found.summary
    assert "The records do not agree on the learning rate" in found.summary


# What follows looks like a contradiction and is none.


def checkpoint(
    folder: Path,
    optimizer: Callable[[nn.Module], Any],
    scheduler: Callable[[Any], Any] | None = None,
    *,
    each: str = "epoch",
    saved: bool = False,
    epochs: int = EPOCHS,
    **beside: Any,
) -> Path:
    """Train a small model for real, save it with its states, and return its folder."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    made = optimizer(model)
    planned = scheduler(made) if scheduler is not None else None
    inputs = torch.randn(BATCHES, 10, 4)
    for _ in range(epochs):
        for batch in inputs:
            made.zero_grad()
            model(batch).square().sum().backward()
            made.step()
            if planned is not None and each == "update":
                planned.step()
        if planned is not None and each == "epoch":
            planned.step(1.0) if "Plateau" in type(planned).__name__ else planned.step()
    held = {"model": model.state_dict(), "optimizer": made.state_dict(), "epoch": epochs, **beside}
    if planned is not None and saved:
        held["scheduler"] = planned.state_dict()
    torch.save(held, folder / "c.pt")
    return folder


def said_of(folder: Path, **training: Any) -> Judgement:
    spec = {"model": {"checkpoint": "c.pt"}, "training": training}
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))
    return judged(folder)


def sgd(model: nn.Module, **settings: Any) -> Any:
    return torch.optim.SGD(model.parameters(), **{"lr": 0.01, "momentum": 0.9, **settings})


SCHEDULES: list[tuple[str, Callable[[Any], Any], str, Any]] = [
    ("StepLR", lambda o: schedules.StepLR(o, 2), "epoch", {"step_size": 2}),
    ("MultiStepLR", lambda o: schedules.MultiStepLR(o, [2, 4]), "epoch", {"milestones": [2, 4]}),
    ("ConstantLR", schedules.ConstantLR, "epoch", {}),
    ("LinearLR", schedules.LinearLR, "update", {"interval": "step"}),
    ("ExponentialLR", lambda o: schedules.ExponentialLR(o, 0.5), "epoch", {"gamma": 0.5}),
    ("PolynomialLR", lambda o: schedules.PolynomialLR(o, 6), "epoch", {"total_iters": 6}),
    ("CosineAnnealingLR", lambda o: schedules.CosineAnnealingLR(o, 6), "epoch", {"T_max": 6}),
    (
        "CosineAnnealingWarmRestarts",
        lambda o: schedules.CosineAnnealingWarmRestarts(o, 4),
        "epoch",
        {"T_0": 4},
    ),
    (
        "OneCycleLR",
        lambda o: schedules.OneCycleLR(o, 0.4, total_steps=EPOCHS * BATCHES),
        "update",
        {"max_lr": 0.4, "total_steps": EPOCHS * BATCHES},
    ),
    (
        "CyclicLR",
        lambda o: schedules.CyclicLR(o, 0.001, 0.1),
        "update",
        {"base_lr": 0.001, "max_lr": 0.1},
    ),
    (
        "ReduceLROnPlateau",
        lambda o: schedules.ReduceLROnPlateau(o, patience=1),
        "epoch",
        {"patience": 1},
    ),
    ("LambdaLR", lambda o: schedules.LambdaLR(o, lambda e: 1 / (e + 1)), "epoch", None),
    ("MultiplicativeLR", lambda o: schedules.MultiplicativeLR(o, lambda e: 0.7), "epoch", None),
    (
        "SequentialLR",
        lambda o: schedules.SequentialLR(
            o,
            [schedules.LinearLR(o, 0.01, total_iters=2), schedules.CosineAnnealingLR(o, 4)],
            [2],
        ),
        "epoch",
        None,
    ),
    (
        "ChainedScheduler",
        lambda o: schedules.ChainedScheduler(
            [schedules.ConstantLR(o), schedules.ExponentialLR(o, 0.9)]
        ),
        "epoch",
        None,
    ),
    ("SWALR", lambda o: torch.optim.swa_utils.SWALR(o, 0.001), "epoch", None),
]


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
@pytest.mark.parametrize("told", ["in full", "in a word", "not at all"])
@pytest.mark.parametrize(("name", "make", "each", "arguments"), SCHEDULES)
def test_no_schedule_is_taken_for_another_rate(
    name: str, make: Any, each: str, arguments: Any, told: str, saved: bool, tmp_path: Path
) -> None:
    checkpoint(tmp_path, sgd, make, each=each, saved=saved)
    ways = {"in full": {"name": name, **(arguments or {})}, "in a word": name, "not at all": None}
    training = {"optimizer": {"name": "SGD", "lr": 0.01, "momentum": 0.9}, "epochs": EPOCHS}
    if ways[told] is not None:
        training["schedule"] = ways[told]
    found = said_of(tmp_path, **training)
    plateau = name == "ReduceLROnPlateau" and told == "not at all" and not saved
    if plateau:  # It leaves no first rate, so that nothing tells it from another rate.
        assert found.verdict is Verdict.WARN
        assert "set by hand would explain it" in found.summary
    else:
        assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), {"name": "Adam"}),
        (lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3), {"name": "AdamW"}),
        (lambda m: torch.optim.Adam(m.parameters(), lr=1e-3), {"name": "AdamW", "weight_decay": 0}),
        (
            lambda m: torch.optim.Adam(
                m.parameters(), lr=1e-3, weight_decay=0.1, decoupled_weight_decay=True
            ),
            {"name": "Adam", "weight_decay": 0.1, "decoupled_weight_decay": True},
        ),
        (lambda m: torch.optim.RMSprop(m.parameters(), lr=1e-3, momentum=0.9), {"name": "RMSprop"}),
        (lambda m: torch.optim.Adagrad(m.parameters(), lr=1e-3), {"name": "Adagrad"}),
        (lambda m: torch.optim.NAdam(m.parameters(), lr=1e-3), {"name": "NAdam"}),
        (lambda m: torch.optim.SGD(m.parameters(), lr=1e-3), {"name": "SGD"}),
        (
            lambda m: torch.optim.AdamW(m.parameters(), lr=torch.tensor(1e-3)),
            {"name": "AdamW"},
        ),
    ],
)  # fmt: skip
def test_every_optimizer_is_taken_for_itself(make: Any, settings: Any, tmp_path: Path) -> None:
    checkpoint(tmp_path, make)
    found = said_of(tmp_path, optimizer={"lr": 1e-3, **settings}, epochs=EPOCHS)
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary


def test_groups_with_rates_of_their_own(tmp_path: Path) -> None:
    def layerwise(model: Any) -> Any:
        groups = [
            {"params": model[0].parameters(), "lr": 0.001, "weight_decay": 0.0},
            {"params": model[2].parameters(), "lr": 0.1},
        ]
        return torch.optim.AdamW(groups, lr=0.1, weight_decay=0.01)

    checkpoint(tmp_path, layerwise)
    for rate in (0.1, 0.001, 0.01):
        found = said_of(tmp_path, optimizer={"name": "AdamW", "lr": rate, "weight_decay": 0.01})
        assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary
    for rate, verdict in ((1e-4, Verdict.FAIL), (3.0, Verdict.WARN)):
        found = said_of(tmp_path, optimizer={"name": "AdamW", "lr": rate})
        assert found.verdict is verdict, "a rate may have been lowered by hand, but not raised"


@pytest.mark.parametrize(
    ("beside", "training"),
    [
        # Counted from 0; kept before the last epoch was counted.
        ({"epoch": EPOCHS - 1}, {}),
        ({"epoch": EPOCHS + 1}, {}),
        # Early stopping: the plan fits.
        ({"epoch": 2, "args": {"epochs": 100}}, {"epochs": 100}),
        # The best checkpoint, with its score.
        ({"epoch": 2, "best_acc": 0.9}, {"epochs": 100}),
        # Accumulated gradients, and several devices.
        ({"args": {"batch_size": 16}}, {"batch_size": 64}),
        # 1e-3 as text, and float32.
        ({"hparams": {"lr": "1e-2"}}, {}),
        ({"args": {"lr": torch.tensor(0.01)}}, {}),
        # The last rate under "lr".
        ({"lr": 0.01}, {}),
        # Defaults of a script that do not concern this optimizer.
        ({"args": {"adam_beta1": 0.8, "adam_beta2": 0.9, "adam_epsilon": 1e-4}}, {}),
        ({"args": {"optimizer": "sgd", "lr_scheduler": "constant"}}, {"schedule": "none"}),
        # Losses are numbers here, and no names.
        ({"loss": 0.3, "criterion": None}, {}),
    ],
)
def test_what_common_practice_explains(beside: Any, training: Any, tmp_path: Path) -> None:
    checkpoint(tmp_path, sgd, **beside)
    optimizer = {"name": "SGD", "lr": 0.01, "momentum": 0.9}
    found = said_of(tmp_path, **{"optimizer": optimizer, "epochs": EPOCHS, **training})
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary


@pytest.mark.parametrize(
    ("held", "training"),
    [
        (  # nanoGPT
            {
                "epoch": None,
                "model_args": {"n_layer": 2},
                "iter_num": 600,
                "best_val_loss": torch.tensor(1.5),
                "config": {
                    "gradient_accumulation_steps": 5, "batch_size": 12, "learning_rate": 0.01,
                    "max_iters": 600, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.95,
                    "grad_clip": 1.0, "decay_lr": True, "dropout": 0.0, "dataset": "owt",
                },
            },
            {"batch_size": 60, "clip_norm": 1.0},
        ),
        (  # torchvision's references
            {
                "epoch": EPOCHS - 1,
                "args": {
                    "lr": 0.01, "momentum": 0.9, "batch_size": 32, "epochs": EPOCHS, "opt": "sgd",
                    "lr_scheduler": "steplr", "lr_step_size": 30, "clip_grad_norm": None,
                    "label_smoothing": 0.0, "world_size": 8, "weight_decay": 0.0,
                },
            },
            {"batch_size": 256, "schedule": "step"},
        ),
        (  # timm
            {
                "epoch": 104,
                "metric": 71.5,
                "args": {
                    "lr": None, "lr_base": 0.1, "opt": "momentum", "opt_eps": None, "epochs": 100,
                    "cooldown_epochs": 5, "sched": "cosine", "clip_grad": None, "seed": 42,
                    "batch_size": 128, "aa": "rand-m9-mstd0.5", "smoothing": 0.1,
                },
            },
            {"epochs": 100, "batch_size": 128, "seed": 42, "schedule": "cosine"},
        ),
        (  # fairseq
            {
                "epoch": 6,
                "args": {
                    "lr": [0.01], "optimizer": "nag", "max_epoch": 0, "clip_norm": 0.0, "seed": 1,
                    "adam_betas": "(0.9, 0.98)", "criterion": "label_smoothed_cross_entropy",
                },
            },
            {},
        ),
    ],
    ids=["nanoGPT", "torchvision", "timm", "fairseq"],
)  # fmt: skip
def test_what_well_known_scripts_save(held: Any, training: Any, tmp_path: Path) -> None:
    checkpoint(tmp_path, sgd, lambda o: schedules.StepLR(o, 2), **held)
    optimizer = {"name": "SGD", "lr": 0.01, "momentum": 0.9}
    found = said_of(tmp_path, **{"optimizer": optimizer, "epochs": EPOCHS, **training})
    assert found.verdict in (Verdict.PASS, Verdict.INFO), found.summary


def test_a_rate_scaled_with_the_batch(tmp_path: Path) -> None:
    """A script that is called with the rate of one device, and multiplies it."""
    checkpoint(tmp_path, lambda m: sgd(m, lr=0.08), args={"lr": 0.01, "world_size": 8})
    optimizer = {"name": "SGD", "lr": 0.08, "momentum": 0.9}
    assert said_of(tmp_path, optimizer=optimizer).verdict is Verdict.INFO
    found = said_of(tmp_path, optimizer={**optimizer, "lr": 0.01})
    assert found.verdict is Verdict.WARN, "the rate that the optimizer had is another one"


def test_a_cosine_by_hand_whose_script_tells_it(tmp_path: Path) -> None:
    """As in scripts that set `group["lr"]` themselves, with no scheduler."""
    config = {"learning_rate": 6e-4, "decay_lr": True, "min_lr": 6e-5, "warmup_iters": 2000}
    checkpoint(tmp_path, lambda m: sgd(m, lr=6.13e-5), config=config)
    found = said_of(tmp_path, optimizer={"name": "SGD", "lr": 6e-4, "momentum": 0.9})
    assert found.verdict is Verdict.INFO, found.summary
    found = said_of(tmp_path, optimizer={"name": "SGD", "lr": 6e-4}, schedule="none")
    assert found.verdict is Verdict.WARN


def test_a_schedule_that_is_declared_not_to_be(tmp_path: Path) -> None:
    checkpoint(tmp_path, sgd, lambda o: schedules.StepLR(o, 2), saved=False)
    optimizer = {"name": "SGD", "lr": 0.01, "momentum": 0.9}
    found = said_of(tmp_path, optimizer=optimizer, schedule="none")
    assert found.verdict is Verdict.WARN
    assert "the rate went from 0.01 to 1e-05" in found.summary


def test_training_that_was_resumed(tmp_path: Path) -> None:
    """States are loaded into new objects, and training goes on."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = sgd(model)
    scheduler = schedules.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(EPOCHS):
        model(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
        scheduler.step()
        if epoch == 2:
            kept = [json.loads(json.dumps(scheduler.state_dict())), optimizer.state_dict()]
            optimizer = sgd(model)
            optimizer.load_state_dict(kept[1])
            scheduler = schedules.CosineAnnealingLR(optimizer, EPOCHS)
            scheduler.load_state_dict(kept[0])
    held = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": EPOCHS,
    }
    torch.save(held, tmp_path / "c.pt")
    found = said_of(
        tmp_path,
        optimizer={"name": "SGD", "lr": 0.01, "momentum": 0.9},
        epochs=EPOCHS,
        schedule={"name": "CosineAnnealingLR", "T_max": EPOCHS},
    )
    assert found.verdict is Verdict.PASS, found.summary


def test_an_average_of_weights(tmp_path: Path) -> None:
    """SWA and EMA keep a count of what they averaged, which is none of epochs or steps."""
    checkpoint(tmp_path, sgd, n_averaged=torch.tensor(3), ema={"decay": 0.999, "num_updates": 30})
    optimizer = {"name": "SGD", "lr": 0.01, "momentum": 0.9}
    found = said_of(tmp_path, optimizer=optimizer, epochs=EPOCHS, batch_size=10)
    assert found.verdict is Verdict.PASS, found.summary


@pytest.mark.slow
def test_the_program_says_so_and_hides_secrets(tmp_path: Path) -> None:
    there = changed("diabetes_mlp", tmp_path, declaring(epochs=5, optimizer={"lr": 0.05}))
    held = torch.load(there / "diabetes.pt", weights_only=True)
    held["hyperparameters"] |= {"wandb_api_key": "k3y-of-wandb", "data_path": "ftp://u:pa55@host/x"}
    held["config"] = {"hub_token": "t0ken-of-hub", "epochs": 20}
    torch.save(held, there / "diabetes.pt")
    command = [Path(sys.executable).with_name("audit"), "run", there / "audit.yaml"]
    checks = ("settings-contradict-checkpoint", "hyperparameters-unrecorded")
    only = [word for check in checks for word in ("--only", check)]
    out = tmp_path / "out"
    done = subprocess.run(
        [*command, *only, "--out", out, "--format", "json", "--format", "html"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    record = json.loads((out / "record.json").read_text())
    findings = {f["check"]: f for section in record["sections"] for f in section["findings"]}
    wrong, unrecorded = (findings[check] for check in checks)
    assert wrong["verdict"] == "fail"
    assert {place["name"] for place in wrong["where"]} == {
        "training.optimizer.lr",
        "training.epochs",
    }
    assert unrecorded["verdict"] == "info"
    assert "contradict the checkpoint" in (out / "report.html").read_text()
    for path in out.rglob("*"):
        kept = path.read_text() if path.is_file() else ""
        assert not any(word in kept for word in ("k3y-of", "t0ken-of", "pa55")), path


@pytest.mark.skipif(not REAL.is_dir(), reason="the public checkpoints are not here")
def test_a_public_checkpoint_with_another_record_planted(tmp_path: Path) -> None:
    """As published it holds its weights and best score, which contradict nothing."""
    held = torch.load(REAL / "resnet20-12fca82f.th", map_location="cpu", weights_only=True)
    training = {"optimizer": {"name": "SGD", "lr": 0.1}, "epochs": 200, "batch_size": 128}
    torch.save(held, tmp_path / "c.pt")
    assert said_of(tmp_path, **training).verdict is Verdict.NOT_APPLICABLE
    torch.save(
        {**held, "args": {"optimizer": "adamw", "lr": 1e-3, "epochs": 20}}, tmp_path / "c.pt"
    )
    found = said_of(tmp_path, **training)
    assert found.verdict is Verdict.FAIL
    assert {place.name for place in found.where} == {
        "training.optimizer.name",
        "training.optimizer.lr",
        "training.epochs",
    }
