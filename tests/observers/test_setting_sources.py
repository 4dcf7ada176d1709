"""Every place that tells a setting of training is heard, and none can do harm."""

import json
import os
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.secrets import MASK
from auditor.core.spec import AuditSettings, AuditSpec, ModelSpec, OptimizerSpec, TrainingSpec
from auditor.engine.journal import Journal
from auditor.intake.loading import load
from auditor.intake.trainer_files import arguments_in
from auditor.observations.setting_sources import SettingSources, SettingSourcesOf
from auditor.observers.setting_sources import setting_sources


def sources_of(
    folder: Path, held: dict[str, Any], training: TrainingSpec | None = None
) -> SettingSources:
    weights = {"model": nn.Linear(2, 2).state_dict()}
    torch.save({**weights, **held}, folder / "c.pt")
    spec = AuditSpec(
        model=ModelSpec(checkpoint="c.pt"),
        training=training or TrainingSpec(),
        audit=AuditSettings(device="cpu"),
    )
    return setting_sources(SettingSourcesOf(), load(spec.model_copy(update={"base": folder})))


def told(sources: SettingSources, file: str) -> dict[str, Any]:
    return {one.setting: one.value for one in sources.told if one.file == file}


def test_every_file_that_trainers_write_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("optimizer: {name: sgd, lr: 0.1}\ntrain: {epochs: 9}\n")
    (tmp_path / "args.yaml").write_text("lr0: 0.2\nbatch: 16\n")
    (tmp_path / "hparams.json").write_text(json.dumps({"learning_rate": "3e-1", "seed": 4}))
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("optim: {_target_: torch.optim.AdamW}\n")
    header = {"auditor_recorder": 1, "settings": {"optimizer": "Adam", "lr": 0.5, "batch_size": 8}}
    (tmp_path / "c.audit.jsonl").write_text(json.dumps(header) + '\n{"step": 1}\n')
    found = sources_of(tmp_path, {"args": Namespace(lr=0.6, max_grad_norm=None)})
    assert told(found, "config.yaml") == {"optimizer": "sgd", "lr": 0.1, "epochs": 9.0}
    assert told(found, "args.yaml") == {"lr": 0.2, "batch_size": 16.0}
    assert told(found, "hparams.json") == {"lr": 0.3, "seed": 4.0}
    assert told(found, ".hydra/config.yaml") == {"optimizer": "torch.optim.AdamW"}
    recorded = {"optimizer": "Adam", "lr": 0.5, "batch_size": 8.0, "counted_steps": 1.0}
    assert told(found, "c.audit.jsonl") == recorded
    assert told(found, "the checkpoint") == {"lr": 0.6, "clip_norm": 0.0}
    assert set(found.files) >= {"the checkpoint", "config.yaml", "c.audit.jsonl"}


def test_the_hparams_of_lightning_stand_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "hparams.yaml").write_text("lr: 0.25\n")
    found = sources_of(tmp_path / "checkpoints", {})
    assert told(found, "../hparams.yaml") == {"lr": 0.25}


@pytest.mark.parametrize("tag", ["!!bool maybe", "!!timestamp never", "!!int ''", "!!float x"])
def test_a_file_of_settings_that_is_no_good_yaml_tells_nothing(tmp_path: Path, tag: str) -> None:
    (tmp_path / "config.yaml").write_text(f"lr: {tag}\n")
    assert "config.yaml" not in sources_of(tmp_path, {}).files


def test_the_states_of_a_trainer_stand_in_files_of_their_own(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    weight.sum().backward()
    optimizer.step()
    scheduler.step()
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    torch.save(scheduler.state_dict(), tmp_path / "scheduler.pt")
    found = sources_of(tmp_path, {})
    assert found.optimizers[0].kinds == ("AdamW",)
    assert told(found, "optimizer.pt")["first_lr"] == 0.1
    assert told(found, "scheduler.pt")["schedule"] == "CosineAnnealingLR"
    assert told(found, "scheduler.pt")["schedule.T_max"] == 7


def test_what_only_looks_like_a_setting_is_none(tmp_path: Path) -> None:
    found = sources_of(tmp_path, {"batch": 120, "loss": 0.25, "lr": 0.0, "epochs": None, "bs": "x"})
    assert found.told == ()


@pytest.mark.parametrize(
    "held",
    [
        {"epoch": 10**500, "args": {"lr": 10**400, "seed": -(10**300)}},
        {"args": {"lr": float("nan"), "epochs": float("inf"), "batch_size": -4}},
        {"args": {"optimizer": "x" * 100_000, "lr_scheduler": "\u202e\x1b[31m" * 500}},
        {"args": {"lr": [[[[0.1] * 50] * 50] * 20] * 3, "loss": {"a": {"b": 1}}}},
        {"config": {"model": {"a" * 9000: {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}}},
        {"args": {f"warmup_{i}": "x" * 1000 for i in range(5000)}},
        {"optimizer": {"state": {}, "param_groups": [{"lr": "nan", "betas": [1e999, 0], "x": 1}]}},
        {
            "optimizer": {
                "state": {i: {"step": float("nan")} for i in range(50)},
                "param_groups": [
                    {"params": [i], "lr": i * 0.1, "note" * 100: "y" * 9999} for i in range(500)
                ],
            }
        },
    ],
)  # fmt: skip
def test_hostile_values_stay_text_and_bounded(held: dict[str, Any], tmp_path: Path) -> None:
    found = sources_of(tmp_path, held)
    assert len(found.told) < 1500
    for one in found.told:
        assert len(str(one.value)) < 400
        assert len(one.where) < 400
        assert (one.setting + str(one.value) + one.where).isprintable()
    (tmp_path / "journal").mkdir()
    Journal(tmp_path).write(SettingSourcesOf(), found, 0.0)
    kept = Journal(tmp_path).read(SettingSourcesOf())
    assert kept is not None
    assert kept[0] == found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n"),
        ("config.yaml", "lr: !!python/object/apply:os.system ['touch pwned']\n"),
        ("config.yaml", "{" * 5000),
        ("config.yaml", "lr: 2001-01-01\nepochs: 0x\n? [a, b]\n: c\n"),
        ("args.json", '{"lr": ' + "9" * 6000 + "}"),
        ("c.audit.jsonl", "[1, 2\n"),
        ("c.audit.jsonl", '{"auditor_recorder": 1, "settings": [1], "data": 3}\n'),
        ("training_args.bin", "not a zip"),
        ("optimizer.pt", "not a checkpoint"),
    ],
)
def test_hostile_files_tell_nothing(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    found = sources_of(tmp_path, {})
    assert [one for one in found.told if one.setting in ("lr", "epochs")] == []
    assert not Path("pwned").exists()


def test_secrets_are_hidden_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "seed: 1\ndataset: 'https://me:hunter2@data.example.org'\n"
    )
    spec = TrainingSpec(optimizer=OptimizerSpec(name="SGD", lr=0.1))
    held = {"args": {"data_path": "s3://x?key=AKIAIOSFODNN7EXAMPLE", "wandb_api_key": "k3y-of-w"},
            "config": {"datasets": ["train.csv", {"token": "hunter2"}]}}  # fmt: skip
    found = sources_of(tmp_path, held, spec)
    shown = sorted(str(one.value) for one in found.of("data"))
    assert shown == [MASK, MASK, "train.csv, ..."]
    whole = repr(found)
    assert "hunter2" not in whole
    assert "AKIA" not in whole
    assert "k3y-of-w" not in whole


class Other:
    """A class of whoever wrote the file."""


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch pwned-by-pickle",)


def test_a_pickle_is_read_and_nothing_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "training_args.bin"
    torch.save(Namespace(lr=0.1, other=Other(), seed=3), path)
    assert arguments_in(path)["lr"] == 0.1
    for evil in (Evil(), Namespace(lr=0.1, evil=Evil())):
        torch.save(evil, path)
        assert arguments_in(path) == {}
    assert not Path("pwned-by-pickle").exists()
    deep = b"\x80\x02}X\x01\x00\x00\x00a)" + b"\x85" * 30_000 + b"s."
    for raw in (deep, deep[:100], b"\x80\x02}(" + b"K\x01" * 9 + b"u.", b"\x80\x02X" + b"\xff" * 4):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", raw)
        assert set(arguments_in(path)) <= {"a"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x00" * (1 << 26))
    assert arguments_in(path) == {}, "too large to be read"
