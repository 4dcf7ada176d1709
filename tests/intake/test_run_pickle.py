"""A pickle runs only where the user vouches for the very bytes, and the report says so first."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec_file import spec_from
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.loading import load

MODEL = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 3)
    def forward(self, x):
        return self.body(x)
"""

DATA = """
import torch
def batches():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(8, 4, generator=generator), torch.arange(8) % 3) for _ in range(3)]
"""


class Runs:
    """Unpickling this runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch it-ran",)


class Unlinks:
    """Unpickling this removes a file."""

    def __reduce__(self) -> Any:
        return os.unlink, ("gone.pt",)


def vouch(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(MODEL)
    (tmp_path / "data.py").write_text(DATA)
    code = "import net, torch; torch.manual_seed(0); torch.save({'model': net.Net(), 'epoch': 3}, "
    subprocess.run([sys.executable, "-c", code + "'whole.pt')"], check=True, cwd=tmp_path)
    return tmp_path


def test_without_the_flag_nothing_runs(folder: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Runs()}, "evil.pt")
    with pytest.raises(InputError, match=r"system[\s\S]*Last resort: --allow-pickle"):
        open_checkpoint(Path("evil.pt"))
    assert not Path("it-ran").exists()


def test_the_hash_lets_it_run(folder: Path) -> None:
    path = Path("evil.pt")
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Runs()}, path)
    found = open_checkpoint(path, vouched=vouch(path).upper().replace("SHA", "sha"))
    assert Path("it-ran").exists()
    assert torch.equal(found.weights["w"], torch.ones(2))
    assert found.facts.pickle_ran
    assert found.facts.sha256 == vouch(path)[7:]


def test_another_hash_runs_nothing_and_names_the_right_one(folder: Path) -> None:
    path = Path("evil.pt")
    torch.save({"state_dict": {"w": torch.ones(2)}, "x": Runs()}, path)
    with pytest.raises(InputError, match=vouch(path)) as refused:
        open_checkpoint(path, vouched="sha256:" + "0" * 64)
    assert len(str(refused.value).splitlines()) <= 5
    assert not Path("it-ran").exists()


def test_what_runs_are_the_bytes_that_were_hashed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is exchanged between hashing and loading does not get in."""
    path = Path("good.pt")
    torch.save({"w": torch.ones(2)}, path)
    right = vouch(path)
    load_it = torch.load

    def exchanged(file: Any, **kwargs: Any) -> Any:
        torch.save({"state_dict": {"w": torch.ones(2)}, "x": Runs()}, path)
        return load_it(file, **kwargs)

    monkeypatch.setattr(torch, "load", exchanged)
    assert set(open_checkpoint(path, vouched=right).weights) == {"w"}
    assert not Path("it-ran").exists()


def test_a_file_may_be_gone_once_it_ran(folder: Path) -> None:
    path = Path("gone.pt")
    torch.save({"model": {"w": torch.ones(2)}, "x": Unlinks()}, path)
    assert open_checkpoint(path, vouched=vouch(path)).facts.bytes > 0
    assert not path.exists()


def test_what_can_not_be_loaded_is_told(folder: Path) -> None:
    path = Path("no.pt")
    path.write_bytes(b"\x80\x04nothing of the kind")
    with pytest.raises(InputError, match="can't be loaded"):
        open_checkpoint(path, vouched=vouch(path))
    (folder / "inner").mkdir()
    with pytest.raises(InputError, match="a folder"):
        open_checkpoint(Path("inner"), vouched=vouch(path))


def spec(folder: Path, **model: Any) -> Any:
    values = {
        "version": 1,
        "model": {"checkpoint": "whole.pt", **model},
        "data": {"val": "data:batches"},
        "loss": "cross_entropy",
        "audit": {"device": "cpu"},
    }
    return spec_from(values, "test", folder)


def test_a_whole_module_is_the_model_where_nothing_else_builds_one(folder: Path) -> None:
    subject = load(spec(folder, allow_pickle=vouch(folder / "whole.pt")))
    assert isinstance(subject.model, nn.Module)
    assert type(subject.model).__name__ == "Net"
    assert subject.factory is None
    assert "factory" in subject.facts.lacks
    assert subject.facts.checkpoint is not None
    assert dict(subject.facts.checkpoint.extras) == {"epoch": "3"}


def test_a_factory_goes_before_it(folder: Path) -> None:
    subject = load(spec(folder, allow_pickle=vouch(folder / "whole.pt"), factory="net:Net"))
    assert subject.factory is not None


def test_the_spec_wants_a_hash(folder: Path) -> None:
    for wrong in ("yes", "sha256:12", "0" * 64):
        with pytest.raises(InputError, match=r"model\.allow_pickle"):
            spec(folder, allow_pickle=wrong)


def test_every_report_says_so_first(folder: Path) -> None:
    command = [sys.executable, "-m", "auditor.cli", "run", "whole.pt", "--val", "data:batches"]
    flag = ["--allow-pickle", vouch(folder / "whole.pt")]
    rest = ["--loss", "cross_entropy", "--only", "dead-units", "--device", "cpu", "--out", "r"]
    done = subprocess.run(
        [*command, *flag, *rest], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = "pickle was run"
    assert said in " ".join(done.stdout.split())
    record = json.loads((folder / "r/record.json").read_text())
    assert record["subject"]["checkpoint"]["pickle_ran"] is True
    page = (folder / "r/report.html").read_text()
    assert page.index('class="alarm"') < page.index('class="headline"')
    assert said in page
    markdown = (folder / "r/summary.md").read_text()
    assert said in "\n".join(markdown.splitlines()[:4])
    assert (folder / "r/report.pdf").read_bytes().startswith(b"%PDF")
