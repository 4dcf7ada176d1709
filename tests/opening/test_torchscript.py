"""TorchScript archives: refused, or their weights read without running their code."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from auditor.cli import app
from auditor.core.errors import InputError
from auditor.core.spec import AuditSpec, ModelSpec
from auditor.core.spec_file import read_spec
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.loading import load
from tests.opening.test_exported import changed

ALLOW = frozenset({"torchscript"})


class Block(nn.Module):
    """A parameter, a buffer, and a tensor that is neither."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(4, dtype=torch.float64))
        self.register_buffer("shift", torch.arange(4))
        self.plain = torch.full((2,), 7.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale.float() + self.shift + self.plain[0]


def model() -> nn.Module:
    torch.manual_seed(0)
    tied = nn.Linear(4, 4)
    return nn.Sequential(Block(), tied, nn.BatchNorm1d(4), tied, nn.ModuleList([Block()])[0]).eval()


def saved(path: Path, *, traced: bool) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.jit.trace(model(), torch.ones(2, 4)) if traced else torch.jit.script(model())
        made.save(path)
    return path


def test_it_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        open_checkpoint(saved(tmp_path / "model.pt", traced=False))
    message = str(refused.value)
    assert "holds code; none of it was run" in message
    assert "torch.jit.load(path).state_dict()" in message
    assert "--allow-torchscript" in message
    assert "`model: {allow_torchscript: true}`" in message
    assert message.count("\n") < 5


@pytest.mark.parametrize("traced", [True, False])
def test_weights_are_those_of_the_model(tmp_path: Path, traced: bool) -> None:
    checkpoint = open_checkpoint(saved(tmp_path / "model.pt", traced=traced), allow=ALLOW)
    wanted = model().state_dict()
    assert checkpoint.weights.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(checkpoint.weights[name], value)
        assert checkpoint.weights[name].dtype == value.dtype
    assert checkpoint.facts.format == "TorchScript"
    assert checkpoint.extras["modules.0.inner"] == "torch.nn.modules.linear.Linear"
    assert any("none of its code was run" in note for note in checkpoint.notes)


def test_the_spec_allows_it_and_weights_go_into_the_factorys_model(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", traced=True)
    part = ModelSpec(factory=f"{__name__}:model", checkpoint=str(path), allow_torchscript=True)
    loaded: Any = load(AuditSpec(model=part)).model
    assert all(
        torch.equal(loaded.state_dict()[name], value)
        for name, value in model().state_dict().items()
    )


def test_the_commands_take_the_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved(tmp_path / "model.pt", traced=True).parent)
    refused = CliRunner().invoke(app, ["inspect", "model.pt"])
    assert "--allow-torchscript" in str(refused.exception)
    shown = CliRunner().invoke(app, ["inspect", "model.pt", "--allow-torchscript"])
    assert "TorchScript" in shown.output
    written = CliRunner().invoke(app, ["init", "model.pt", "--allow-torchscript"])
    assert "audit run model.pt --allow-torchscript" in written.output
    assert read_spec(tmp_path / "audit.yaml").model.allowed == ALLOW


def test_code_is_text_that_is_neither_run_nor_trusted(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = saved(tmp_path / "model.pt", traced=False)

    def spoil(entries: dict[str, bytes]) -> None:
        for name in entries:
            if name.endswith(".py"):
                entries[name] = f"open({str(marker)!r}, 'w')\n".encode()
        entries["constants.pkl"] = b"cos\nsystem\n(S'touch ran'\ntR."

    weights = open_checkpoint(changed(path, tmp_path / "other.pt", spoil), allow=ALLOW).weights
    assert not marker.exists()
    assert weights.keys() == {*model().state_dict(), "0.plain", "4.plain"}


def test_a_pickle_in_it_that_acts_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.pt", traced=False)

    def spoil(entries: dict[str, bytes]) -> None:
        entries["data.pkl"] = b"\x80\x02cos\nsystem\n(X\x08\x00\x00\x00touch rantR."

    with pytest.raises(InputError, match="nothing of it was run"):
        open_checkpoint(changed(path, tmp_path / "other.pt", spoil), allow=ALLOW)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "model.pt")
    with zipfile.ZipFile(tmp_path / "model.pt", "a") as archive:
        archive.writestr("model/constants.pkl", b"\x80\x02).")
    with pytest.raises(InputError, match="without a module"):
        open_checkpoint(tmp_path / "model.pt", allow=ALLOW)
