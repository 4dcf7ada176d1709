"""What an audit tells of its own environment."""

import os
from pathlib import Path

import pytest
import torch

from auditor.intake import surroundings
from auditor.intake.environment import evidence
from auditor.intake.surroundings import environment


def test_what_is_told_is_what_changes_results() -> None:
    facts = environment("cpu")
    assert facts["torch"] == str(torch.__version__)
    assert facts["matmul_precision"] in ("highest", "high", "medium", "mixed")
    assert facts["deterministic"] in ("yes", "no")
    assert all(isinstance(value, str) and value for value in facts.values())
    assert not {"cuda", "gpu", "driver", "cudnn"} & facts.keys()
    assert facts == environment("cpu")


def test_nothing_of_the_users_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    told = " ".join(environment("cpu").values())
    assert "hunter2" not in told
    assert os.path.expanduser("~") not in told


def test_a_precision_that_torch_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> str:
        raise RuntimeError("a mix of old and new settings")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuses)
    assert environment("cpu")["matmul_precision"] == "mixed"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Rel\n", "550.54.14"),
        ("nonsense", ""),
    ],
)
def test_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, version: str
) -> None:
    monkeypatch.setattr(surroundings, "DRIVER", tmp_path / "version")
    assert surroundings._driver() == ""
    (tmp_path / "version").write_text(text)
    assert surroundings._driver() == version


def test_evidence_of_device_and_gpu() -> None:
    told = {"args.device": "cuda:0", "args.gpu": "0", "env.gpu_name": "A100", "timm_version": "1.0"}
    found = {fact.item: fact.value for fact in evidence(told, []).found}
    assert found == {"device": "cuda:0", "gpu": "A100", "timm": "1.0"}


def test_a_file_that_may_not_be_read_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements.txt").write_text("torch==2.10.0\n")
    assert [one.item for one in evidence({}, [tmp_path]).found] == ["torch"]

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refused)
    assert evidence({}, [tmp_path]).found == ()
