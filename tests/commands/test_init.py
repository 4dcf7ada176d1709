"""audit init, as a shell runs it: what it writes is safe, and runs once it is filled in."""

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.nn import functional

from auditor.commands.draft import LOSSES, drafted
from auditor.commands.starting import spec_path
from auditor.commands.yaml_text import comment, yaml_scalar
from auditor.core.errors import InputError
from auditor.core.spec_file import read_spec
from auditor.intake.checkpoint import open_checkpoint
from auditor.intake.inspection import inspected
from auditor.intake.losses import KNOWN
from auditor.intake.optimizer import read_from, validated
from auditor.intake.optimizer_kinds import CLASSES, READ
from tests.checkpoints import HOSTILE, saved, small, training_checkpoint
from tests.commands.test_showing import run
from tests.subjects import REAL

BUILD = """
def build():
    from torch import nn

    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def val_loader():
    import torch

    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    return [(inputs, inputs[:, :3].argmax(1))]
"""


LIGHTNING = """
import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

class Lit(lightning.LightningModule):
    def __init__(self, width=16):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, inputs):
        return self.net(inputs)

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

class Data(lightning.LightningDataModule):
    def val_dataloader(self):
        inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 16)

    train_dataloader = val_dataloader
"""

TRAINING = """
import lightning
from project import Data, Lit

trainer = lightning.Trainer(
    max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False, accelerator="cpu",
)
trainer.fit(Lit(width=12), Data())
trainer.save_checkpoint("lit.ckpt")
"""


def filled(folder: Path) -> None:
    """Do what a user does: put a body where the stub raises."""
    stub = folder / "audit_model.py"
    head = stub.read_text(encoding="utf-8").partition("def build")[0]
    stub.write_text(head + BUILD, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved(training_checkpoint(lr=0.1, momentum=0.9), tmp_path / "w.pt")
    return tmp_path


@pytest.mark.slow
def test_a_spec_and_a_stub_are_written_and_an_audit_runs_once_they_are_filled_in(
    folder: Path,
) -> None:
    done = run("init", "w.pt", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "audit.yaml",
        "audit_model.py",
        "Fill in audit_model.py: build() and val_loader(). Then: audit run",
        "The weights alone can be audited as they are: audit run w.pt",
    ]
    spec, stub = (folder / "audit.yaml").read_text(), (folder / "audit_model.py").read_text()
    assert len(stub.splitlines()) < 20
    assert "# It says: args.arch = resnet18" in stub
    assert "loss: cross_entropy\n" in spec
    assert "#   optimizer: {name: SGD, lr: 0.1, " in spec
    assert "#   epochs: 12\n" in spec
    unfilled = run("run", cwd=folder)
    assert unfilled.returncode == 2
    assert "TODO: have build() in audit_model.py return the model" in unfilled.stderr
    filled(folder)
    assert run("plan", cwd=folder).returncode == 0
    ran = run("run", "--only", "dead-units", "--format", "json", "--no-history", cwd=folder)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
def test_the_weights_alone_can_be_audited_right_away(folder: Path) -> None:
    said = run("init", "w.pt", cwd=folder).stdout.splitlines()[-1].partition(": audit ")[2].split()
    only = ("--only", "weights-degenerate", "--format", "json", "--no-history")
    assert run(*said, *only, cwd=folder).returncode == 0


def test_what_it_tells_of_training_is_what_the_audit_reads(tmp_path: Path) -> None:
    """The commented line, were it none, would say what the audit takes from the checkpoint."""
    path = saved(training_checkpoint(lr=0.1, momentum=0.9), tmp_path / "w.pt")
    text = drafted(inspected(path), "w.pt", None).spec
    (line,) = (line for line in text.splitlines() if line.startswith("#   optimizer: "))
    held = yaml.safe_load(line.removeprefix("#   "))
    optimizer = open_checkpoint(path).optimizer
    assert optimizer is not None
    read = read_from(optimizer)
    assert read is not None
    assert held["optimizer"] == {"name": read.name, **read.arguments()}


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_of_torch_optim_can_be_built_from_what_is_written(
    name: str, tmp_path: Path
) -> None:
    if name == "SparseAdam":
        pytest.skip("its gradients have to be sparse")
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 3, bias=False)
    made = getattr(torch.optim, name)(model.parameters(), lr=0.01)

    def closure() -> Any:
        loss = model(torch.ones(2, 3)).square().sum()
        loss.backward()
        return loss

    made.step(closure)
    held = {"model": model.state_dict(), "optimizer": made.state_dict()}
    path = saved(held, tmp_path / "w.pt")
    (tmp_path / "audit.yaml").write_text(drafted(inspected(path), "w.pt", None).spec)
    spec = read_spec(tmp_path / "audit.yaml")
    if name in READ:
        assert spec.training.optimizer is None
        read = read_from(made.state_dict())
        assert read is not None
        assert read.name == name
    else:
        assert spec.training.optimizer is not None
        assert spec.training.optimizer.name == name
        assert validated(spec.training.optimizer)


def test_losses_are_those_of_torch() -> None:
    assert set(LOSSES.values()) <= set(KNOWN)
    for module, name in LOSSES.items():
        assert callable(getattr(functional, name))
        assert any(one.lower() == module for one in vars(torch.nn))


def test_what_is_there_is_left_as_it_is(folder: Path) -> None:
    (folder / "audit_model.py").write_text("mine\n")
    done = run("init", "w.pt", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "audit: audit_model.py: there already, and left as it is; --out names another folder, "
        "--force overwrites\n"
    )
    assert sorted(path.name for path in folder.iterdir()) == ["audit_model.py", "w.pt"]
    assert (folder / "audit_model.py").read_text() == "mine\n"
    assert run("init", "w.pt", "--force", cwd=folder).returncode == 0
    assert "def build" in (folder / "audit_model.py").read_text()


def test_a_link_to_nowhere_is_something_that_is_there(folder: Path) -> None:
    (folder / "audit.yaml").symlink_to("nowhere.yaml")
    assert run("init", "w.pt", cwd=folder).returncode == 2
    assert not (folder / "nowhere.yaml").exists()


def test_both_files_are_written_or_none(folder: Path) -> None:
    (folder / "audit_model.py").mkdir()
    assert run("init", "w.pt", "--force", cwd=folder).returncode == 2
    assert not (folder / "audit.yaml").exists()


def test_nothing_is_written_for_what_an_audit_refuses(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"nothing")
    assert run("init", "w.pt", "--out", "new", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("checkpoint", "out", "path"),
    [
        ("w.pt", ".", "w.pt"),
        ("runs/w.pt", ".", "runs/w.pt"),
        ("w.pt", "audits", "../w.pt"),
        ("{here}/w.pt", ".", "w.pt"),
        ("{here}/w.pt", "audits", "{here}/w.pt"),
    ],
)
def test_the_spec_finds_the_checkpoint_from_where_it_lies(
    checkpoint: str, out: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = spec_path(checkpoint.format(here=tmp_path), Path(out))
    assert found == path.format(here=tmp_path)


@pytest.mark.slow
def test_a_spec_in_another_folder_works(folder: Path) -> None:
    done = run("init", "w.pt", "--out", "audits/one", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].endswith("Then: audit run audits/one")
    filled(folder / "audits/one")
    assert run("plan", "audits/one", cwd=folder).returncode == 0


@pytest.mark.parametrize("text", [*HOSTILE, "no", "1e-3", "0x1", "2026-01-01", "~", "", "a: b",
                                  "../w.pt", "/a/b.pt", "é.pt", "m:c", "\U0001f600"])  # fmt: skip
def test_any_text_is_read_from_yaml_as_itself(text: str, tmp_path: Path) -> None:
    if "\0" in text or "\udc80" in text:
        with pytest.raises(InputError, match="can't stand in a spec"):
            yaml_scalar(text)
        return
    written = yaml_scalar(text)
    assert "\n" not in written
    (tmp_path / "audit.yaml").write_text(f"name: {written}\n", encoding="utf-8")
    assert read_spec(tmp_path / "audit.yaml").name == text


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_stays_in_its_comment(text: str) -> None:
    line = f"a = 1  # {comment(text)}\n"
    assert len(line.splitlines()) == 1
    assert ast.dump(ast.parse(line)) == ast.dump(ast.parse("a = 1"))
    assert yaml.safe_load(f"a: 1  # {comment(text)}") == {"a": 1}


@pytest.mark.parametrize("key", [key for key in HOSTILE if not {"\udc80", "\0"} & {*key}])
def test_hostile_names_are_never_code(key: str, tmp_path: Path) -> None:
    state = {name: torch.zeros(2, 2) for name in HOSTILE if "\udc80" not in name}
    held = {key: state, "state_dict_ema": state, "args": {"arch": key, "loss": key, key: key}}
    path = saved(held, tmp_path / "w.pt")
    (folder := tmp_path / "out").mkdir()
    draft = drafted(inspected(path, key), "../w.pt", key)
    (folder / "audit.yaml").write_text(draft.spec, encoding="utf-8")
    spec = read_spec(folder / "audit.yaml")
    assert spec.model.key == key
    assert spec.loss is None
    assert len(draft.module.splitlines()) < 20
    tree = ast.parse(draft.module.encode())
    first, *functions = tree.body
    assert isinstance(first, ast.Expr)
    assert [one.name for one in functions if isinstance(one, ast.FunctionDef)] == [
        "build",
        "val_loader",
    ]
    constants = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant)]
    assert not any(part in str(one) for one in constants for part in ("PWNED", "49", "evil"))


@pytest.mark.slow
def test_a_hostile_file_name_is_shown_as_text(tmp_path: Path) -> None:
    name = "w'\"\x1b[31m\n{{ 7 }}\u202e.pt"
    saved(small().state_dict(), tmp_path / name)
    done = run("init", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(char.isprintable() or char == "\n" for char in done.stdout)
    assert read_spec(tmp_path / "audit.yaml").model.checkpoint == name
    filled(tmp_path)
    assert run("plan", cwd=tmp_path).returncode == 0
    assert not any("PWNED" in entry for entry in os.listdir(tmp_path))


@pytest.mark.slow
def test_a_hugging_face_folder_asks_for_data_alone(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32, num_labels=3,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    done = run("init", "bert", cwd=tmp_path)
    assert done.stdout.splitlines()[2] == "Fill in audit_model.py: val_loader(). Then: audit run"
    assert "factory: hf  # BertForSeq" in (tmp_path / "audit.yaml").read_text()
    stub = tmp_path / "audit_model.py"
    assert "TODO: have val_loader()" in run("plan", cwd=tmp_path).stderr
    head = stub.read_text().partition("def val_loader")[0]
    stub.write_text(
        f"{head}import torch\n\ndef val_loader():\n"
        "    words = torch.randint(0, 50, (8, 6), generator=torch.Generator().manual_seed(0))\n"
        "    return [{'input_ids': words, 'labels': words[:, 0] % 3}] * 2\n"
    )
    planned = run("plan", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr


@pytest.mark.slow
def test_a_lightning_checkpoint_asks_for_its_classes(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    (tmp_path / "project.py").write_text(LIGHTNING)
    subprocess.run([sys.executable, "-c", TRAINING], cwd=tmp_path, check=True, capture_output=True)
    done = run("init", "lit.ckpt", cwd=tmp_path)
    assert "Fill in audit_model.py: LitModel and DataModule" in done.stdout
    stub = tmp_path / "audit_model.py"
    assert len(stub.read_text().splitlines()) < 20
    assert "TODO: import LitModel and DataModule" in run("plan", cwd=tmp_path).stderr
    stub.write_text("from project import Lit as LitModel, Data as DataModule\n")
    planned = run("plan", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason="the public checkpoints are not here")
@pytest.mark.parametrize(
    "name", ["cifar_torchvision.pt", "titanic_model.pt", "resnet20-12fca82f.th"]
)
def test_public_checkpoints(name: str, tmp_path: Path) -> None:
    done = run("init", REAL / name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    spec = read_spec(tmp_path / "audit.yaml")
    assert spec.model.checkpoint == str(REAL / name)
    assert len((tmp_path / "audit_model.py").read_text().splitlines()) < 20
