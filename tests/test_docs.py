"""Every command in the documents runs, and what they say of the program is so."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from auditor.checks import catalogue
from auditor.cli import app
from tests.subjects import ROOT

BIN = Path(sys.executable).parent


def commands(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = (line.partition("  #")[0].strip() for block in blocks for line in block.splitlines())
    return [line for line in lines if line]


GUIDES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
DOCUMENTS = [*GUIDES, "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"]

ELSEWHERE = ("docs/frameworks.md",)
"""Documents whose commands want other folders: tests/system/test_frameworks.py runs them."""

AUDITS = [
    line
    for line in dict.fromkeys(
        line for document in GUIDES if document not in ELSEWHERE for line in commands(document)
    )
    if line.startswith("audit ")
]

FIRST = "audit run audit.yaml"

LATER = ("attest", "compare", "export", "fleet", "history", "judge", "render", "show")

AFTER = [
    line
    for line in sorted(AUDITS, key=lambda line: "--resume" not in line)
    if "--resume" in line
    or "--baseline" in line
    or line.split()[1]
    in ("judge", "render", "show", "fleet", "history", "compare", "export", "attest")
]
"""What goes on from an audit of the same spec in the same folder, the same audit first."""


MODEL = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
"""

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

def loader(seed, size, shuffle):
    inputs = torch.randn(size, 8, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 32, shuffle=shuffle)

def train_loader():
    return loader(0, 512, shuffle=True)

def val_loader():
    return loader(1, 256, shuffle=False)
"""

TRAINING = """
import torch
from torch.nn import functional
from model import build
import data

torch.manual_seed(0)
model = build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(20):
    for inputs, target in data.train_loader():
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), target).backward()
        optimizer.step()
torch.save(model.state_dict(), "weights.pt")
"""


NO_PDF = "output: {formats: [html, json]}\n"
"""Added to the README's spec, as its commands would draw the same PDF six times."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: their own model, data, checkpoint and the spec out of the README."""
    home = tmp_path_factory.mktemp("mine")
    (home / "model.py").write_text(MODEL, encoding="utf-8")
    (home / "data.py").write_text(DATA, encoding="utf-8")
    subprocess.run([sys.executable, "-c", TRAINING], cwd=home, check=True)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, *_ = re.findall(r"```yaml\n(version.*?)```", text, flags=re.DOTALL)
    (home / "audit.yaml").write_text(first + NO_PDF, encoding="utf-8")
    return home


def run(line: str, folder: Path) -> None:
    program, *arguments = shlex.split(line)
    done = subprocess.run(
        [BIN / program, *arguments], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in AUDITS if line not in (FIRST, *AFTER)])
def test_a_command_of_the_documents_runs(line: str, folder: Path, tmp_path: Path) -> None:
    if line.startswith("audit init "):  # where no spec is yet
        shutil.copy(folder / "weights.pt", tmp_path)
    run(line, tmp_path if line.startswith("audit init ") else folder)


@pytest.mark.slow
def test_what_goes_on_from_an_audit_runs(folder: Path) -> None:
    assert len(AFTER) >= 8
    for line in (FIRST, *AFTER):
        run(line, folder)
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pass dead-units Each of the 16" in done.stdout


@pytest.mark.slow
def test_the_python_of_the_readme_runs(folder: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, recording = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    setting = (
        "import torch\nfrom model import build\nimport data\n"
        "model = build()\n"
        "model.load_state_dict(torch.load('weights.pt', weights_only=True))\n"
        "train_loader, val_loader = data.train_loader(), data.val_loader()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", setting + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 10_000
    assert "pass dead-units" in done.stdout
    # Where no other audit of this folder comes upon the recording.
    aside = shutil.copytree(folder, folder.with_name("aside"))
    setting += (
        "from torch.nn.functional import cross_entropy as loss_of\n"
        "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    )
    subprocess.run([sys.executable, "-c", setting + recording], cwd=aside, check=True)
    assert '"train_loss"' in (aside / "weights.audit.jsonl").read_text(encoding="utf-8")


def test_make_knows_the_targets_of_the_documents() -> None:
    named = {
        target
        for document in DOCUMENTS
        for target in re.findall(
            r"(?:`|^)make ([a-z-]+)",
            (ROOT / document).read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    }
    assert {"demo", "test", "lint", "golden", "docs", "screenshots"} <= named
    for target in named:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_audit_knows_the_commands_of_the_documents() -> None:
    known = set(typer.main.get_command(app).commands)
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:`|^)audit ([a-z]+)", text, flags=re.MULTILINE)) <= known


def test_the_table_of_the_readme_is_what_the_checks_say(tmp_path: Path) -> None:
    script = [sys.executable, ROOT / "scripts/make_docs.py"]
    done = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    fresh = (ROOT / "README.md").read_text(encoding="utf-8")
    for check in catalogue():
        assert f" `{check.id}` | {check.finds} |\n" in fresh
    stale = tmp_path / "README.md"
    stale.write_text(fresh.replace("| `dead-units` |", "| `dad-units` |"), encoding="utf-8")
    done = subprocess.run([*script, "--check", "--readme", stale], capture_output=True, text=True)
    assert done.returncode == 1
    assert "stale" in done.stderr
    subprocess.run([*script, "--readme", stale], check=True, capture_output=True)
    assert stale.read_text(encoding="utf-8") == fresh


def test_the_pictures_of_the_documents_are_there_and_small() -> None:
    there = {path.name for path in (ROOT / "docs/images").iterdir()}
    shown = set()
    for document in GUIDES:
        text = (ROOT / document).read_text(encoding="utf-8")
        folder = (ROOT / document).parent
        for source in re.findall(r'(?:src|srcset)="([^"]+)"|!\[[^]]+\]\(([^)]+)\)', text):
            path = folder / "".join(source)
            assert path.is_file(), source
            shown.add(path.name)
        for picture in re.findall(r"<picture>.*?</picture>", text, flags=re.DOTALL):
            assert 'media="(prefers-color-scheme: dark)"' in picture
            assert re.search(r'alt="[^"]{20,}"', picture)
            dark, light = re.findall(r'"([^"]+)\.png"', picture)
            assert dark.removesuffix("-dark") == light.removesuffix("-light")
    assert "report-light.png" in shown
    assert shown == there
    assert sum(path.stat().st_size for path in (ROOT / "docs/images").iterdir()) < 1_000_000


def test_the_yaml_of_the_documents_is_a_spec() -> None:
    import yaml

    from auditor.core.spec_file import spec_from

    for document in GUIDES:
        text = (ROOT / document).read_text(encoding="utf-8")
        for block in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
            assert spec_from(yaml.safe_load(block), document, ROOT)


def test_the_script_of_contributing_runs(tmp_path: Path) -> None:
    (line,) = (line for line in commands("CONTRIBUTING.md") if line.startswith("python scripts/"))
    _, script, *arguments = shlex.split(line)
    done = subprocess.run(
        [sys.executable, ROOT / script, *arguments, "--root", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "auditor/checks/internals/lopsided_weights.py").is_file()
