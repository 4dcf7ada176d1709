"""Files of settings beside a checkpoint are hostile too, and they are read in the worker."""

import time
from pathlib import Path

import pytest
import torch

from auditor.intake import trainer_files
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.kept import MOST, read_json
from auditor.intake.trainer_files import _read, states_beside

DOUBLED = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40)
)
IN_A_ROW = f"a: &a {{{', '.join(f'k{n}: 1' for n in range(2_000))}}}\n" + "".join(
    f"b{n}: {{<<: *a}}\n" for n in range(5_000)
)


@pytest.mark.parametrize("text", [DOUBLED, IN_A_ROW, "a: 1" + ":1" * 60_000, "a: 0x" + "f" * 9_000])
def test_yaml_does_not_swell(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    start = time.process_time()
    held = _read(path)
    assert time.process_time() - start < 4
    assert len(str(held)) < 1_000


def test_shared_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("base: &b {lr: 0.1, betas: &c [1, 2]}\nmodel: {<<: *b, wd: 3, more: *c}\n")
    assert _read(path)["model"] == {"lr": 0.1, "betas": [1, 2], "wd": 3, "more": [1, 2]}


def test_json_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    names = ", ".join(f'"{n}": 0' for n in range(2 * MOST))
    path.write_text(f'{{"long": {"1" * 4_000}, {names}}}')
    held, _ = read_json(path)
    assert len(held) <= MOST + 1
    assert len(held["long"]) < 100
    path.with_name("args.json").write_text("{" + " " * 4_000_000 + "}")
    assert "too large" in read_json(path.with_name("args.json"))[1]


def test_states_that_can_not_be_read_cost_time_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")
    (tmp_path / "optimizer.pt").write_bytes(b"nothing")
    torch.save({"last_epoch": 3}, tmp_path / "scheduler.pt")
    checkpoint = open_checkpoint(tmp_path / "w.pt")
    assert [name for name, _ in states_beside(checkpoint)] == ["scheduler.pt"]
    monkeypatch.setattr(trainer_files, "PATIENCE", 0.0)
    assert list(states_beside(checkpoint)) == []
