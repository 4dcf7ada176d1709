"""The code of docs/recorder.md runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from auditor.recorder.recorder import EVERY
from auditor.recorder.updates import LARGEST
from tests.recorder.runs import data, lines, mlp, sgd
from tests.subjects import ROOT

TEXT = (ROOT / "docs/recorder.md").read_text(encoding="utf-8")
LOOP, LIGHTNING, HUGGING_FACE = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_loop_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = mlp()
    names: dict[str, Any] = {
        "torch": torch,
        "functional": functional,
        "model": model,
        "optimizer": sgd(model.parameters()),
        "train_loader": data(),
        "val_loader": data(32, shuffle=False),
        "evaluate": lambda model: 0.5,
    }
    exec(LOOP, names)
    names.pop("recorder")
    assert (tmp_path / "model.pt").is_file()
    header, *rows = lines(tmp_path / "model.audit.jsonl")
    assert header["data"].keys() == {"train", "val"}
    assert max(row["step"] for row in rows) == 120
    assert [row["epoch"] for row in rows if "epoch" in row] == [*range(1, 21)]


def test_its_numbers_are_those_of_the_program() -> None:
    assert f"every {EVERY} steps" in TEXT
    assert f"more than {LARGEST:,} values" in TEXT


@pytest.mark.slow
def test_the_callbacks_are_named_as_they_are() -> None:
    lightning = pytest.importorskip("lightning.pytorch")
    pytest.importorskip("accelerate")
    names: dict[str, Any] = {"Trainer": lambda **given: lightning.Trainer(logger=False, **given)}
    exec(LIGHTNING, names)
    given: dict[str, Any] = {
        "Trainer": lambda **given: given,
        "model": 1,
        "arguments": 2,
        "data": 3,
    }
    exec(HUGGING_FACE, given)
    assert given["trainer"]["callbacks"]
