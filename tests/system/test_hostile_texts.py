"""A subject whose every text is hostile, audited as a user would: nothing of it becomes more."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from auditor.core.secrets import MASK
from tests.hostile_texts import SECRET, TEXTS, UNSAFE, Markup, strict

pytestmark = pytest.mark.slow

CODE = """
import json, pathlib
import torch
from torch import nn

TEXTS = json.loads((pathlib.Path(__file__).parent / "texts.json").read_text())

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [text.replace(".", "_") for text in TEXTS]
        for name in self.parts:
            self.add_module(name, nn.Sequential(nn.Linear(6, 6), nn.ReLU()))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        for name in self.parts:
            x = x + getattr(self, name)(x)
        return self.head(x)

Net.__name__ = Net.__qualname__ = "<script>Net\\x1b[31m\\u202e"

def build(api_key, width):
    assert api_key == SECRET and width == 6
    print("\\x1b[2Jprinted")
    return Net()

def loader():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(12, 6, generator=generator), torch.arange(12) % 3) for _ in range(4)]
"""

WATCH = """
import os, sys
def watch(event, given):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
        with open(os.environ["AUDITOR_TEST_SOCKETS"], "a") as file:
            print(event, given[1:], file=file)
sys.addaudithook(watch)
"""
"""Notes what every Python process of an audit asks of the network."""

CHECKS = (
    *("dead-units", "weights-degenerate", "network-structure", "hyperparameters-unrecorded"),
    *("settings-contradict-checkpoint", "logged-overfitting", "code-unversioned"),
)
CHECKPOINT = "we\x1b[31m<b>\u202e'\"$(x)`=.pt"
FORMATS = ("html", "pdf", "json", "markdown", "junit", "sarif")


@dataclass(frozen=True)
class Audited:
    folder: Path
    environment: dict[str, str]

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def sockets(self) -> str:
        file = Path(self.environment["AUDITOR_TEST_SOCKETS"])
        return file.read_text("utf-8") if file.exists() else ""

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "auditor.cli", *argv],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


def written(folder: Path) -> None:
    """Write the subject: model, data, a checkpoint of hostile keys, a log, settings, the spec."""
    texts = [text.replace("\ud800", "-") for text in TEXTS.values()]
    (folder / "texts.json").write_text(json.dumps(texts))
    (folder / "subject.py").write_text(f"SECRET = {SECRET!r}\n{CODE}")
    names = [text.replace(".", "_") for text in texts]
    torch.manual_seed(0)
    weights = {f"{n}.0.weight": torch.randn(6, 6) * 0.3 for n in names}
    weights |= {f"{n}.0.bias": torch.full((6,), -9.0) for n in names}  # all units are dead
    weights |= {"head.weight": torch.randn(3, 6), "head.bias": torch.zeros(3)}
    settings = {text: text for text in texts}
    held = {
        "state_dict": weights,
        "epoch": 3,
        "args": {**settings, "api_key": SECRET, "lr": 0.1, "optimizer": texts[0]},
        "hyper_parameters": {"scheduler": texts[4], "tracking_uri": f"https://me:{SECRET}@host/x"},
        texts[0]: texts[1],
        TEXTS["half"]: TEXTS["half"],
    }
    torch.save(held, folder / CHECKPOINT)
    rows = "".join(f"{n},{1 / (n + 1)},{1 / (n + 1)},{n}\n" for n in range(20))
    (folder / "metrics.csv").write_text(f'epoch,train_loss,val_loss,"{texts[0]}\x1b"\n{rows}')
    (folder / "config.json").write_text(json.dumps(settings))
    spec = {
        "version": 1,
        "name": " ".join(texts[:8])[:200],
        "model": {
            "factory": "subject:build",
            "checkpoint": CHECKPOINT,
            "args": {"api_key": SECRET, "width": 6},
        },
        "data": {"val": "subject:loader", "train": "subject:loader"},
        "loss": "cross_entropy",
        "training": {"optimizer": {"name": "SGD", "lr": 0.1}},
        "audit": {
            "profile": "quick",
            "remedies": False,
            "checks": {"only": [*CHECKS]},
            "waive": [
                {"check": "dead-units", "where": f"{texts[0][:9]}*", "reason": " ".join(texts[18:])}
            ],
        },
        "output": {"dir": "reports", "formats": [*FORMATS]},
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    folder, hook = tmp_path_factory.mktemp("hostile"), tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(WATCH)
    found = [str(hook), *filter(None, [os.environ.get("PYTHONPATH")]), os.getcwd()]
    made = Audited(
        folder,
        os.environ
        | {
            "PYTHONPATH": os.pathsep.join(found),
            "AUDITOR_TEST_SOCKETS": str(hook / "sockets"),
            "AUDIT_HISTORY": str(hook / "history.sqlite"),
            "NO_COLOR": "1",
            "HF_TOKEN": SECRET,
            "HTTPS_PROXY": f"http://me:{SECRET}@proxy.example",
        },
    )
    written(folder)
    ended = made.run("run", "audit.yaml")
    assert ended.returncode == 1, ended.stderr
    assert UNSAFE.findall(ended.stdout + ended.stderr) == []
    assert len(ended.stderr.splitlines()) < 40
    return made


def test_every_report_is_there_and_holds_nothing_that_acts_or_hides(audited: Audited) -> None:
    texts = [path for path in audited.reports.iterdir() if path.is_file() and path.suffix != ".pdf"]
    assert len(texts) == len(FORMATS)  # all but the PDF, and their hashes
    assert (audited.reports / "report.pdf").stat().st_size > 10_000
    for path in texts:
        assert UNSAFE.findall(path.read_text("utf-8")) == [], path.name
    record = strict((audited.reports / "record.json").read_text("utf-8"))
    dead = next(f for s in record["sections"] for f in s["findings"] if f["check"] == "dead-units")
    assert dead["verdict"] == "fail"
    assert any("window_hit=1" in place["name"] for place in dead["where"])
    page = Markup((audited.reports / "report.html").read_text("utf-8"))
    assert page.handlers == page.away == []
    assert not page.tags & {"img", "iframe", "base", "b"}


def test_secrets_stand_in_no_file_but_their_own(audited: Audited) -> None:
    history = Path(audited.environment["AUDIT_HISTORY"]).parent
    files = [p for p in (*audited.reports.rglob("*"), *history.glob("history*")) if p.is_file()]
    assert len(files) > 20
    assert [path.name for path in files if SECRET.encode() in path.read_bytes()] == []
    shown = audited.run("show", "reports", "--format", "json")
    assert SECRET not in shown.stdout
    assert json.loads(shown.stdout)["spec"]["model"]["args"] == {"api_key": MASK, "width": 6}


def test_no_process_of_an_audit_asks_anything_of_the_network(audited: Audited) -> None:
    assert audited.sockets == ""
    code = (
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    )
    subprocess.run([sys.executable, "-c", code], env=audited.environment, check=True)
    assert "socket.connect" in audited.sockets, "the watch sees nothing"


@pytest.mark.parametrize(
    "argv",
    [
        ("inspect", CHECKPOINT),
        ("inspect", CHECKPOINT, "--format", "json"),
        ("history",),
        ("history", "--format", "json"),
        ("show", "reports"),
        ("show", "reports", "--format", "prometheus"),
        ("fleet", ".", "--format", "text"),
        ("compare", "reports", "reports"),
        ("judge", "reports", "--format", "json"),
        ("explain", TEXTS["colours"]),
        ("show", TEXTS["colours"]),
        ("run", f"{TEXTS['link'].replace('/', '-')}.yaml"),
        ("run", "audit.yaml", "--only", TEXTS["lines"]),
        ("run", "audit.yaml", "--key", TEXTS["directions"]),
    ],
    ids=lambda argv: argv[0],
)
def test_no_command_prints_what_acts_on_a_terminal(audited: Audited, argv: tuple[str, ...]) -> None:
    ended = audited.run(*argv)
    assert UNSAFE.findall(ended.stdout + ended.stderr) == []
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 6
    assert SECRET not in ended.stdout + ended.stderr


def test_an_audit_goes_on_with_the_same_secrets_alone(audited: Audited) -> None:
    assert audited.run("run", "audit.yaml", "--resume", "--quiet").returncode == 1
    path = audited.folder / "audit.yaml"
    spec, code = path.read_text("utf-8"), (audited.folder / "subject.py").read_text("utf-8")
    other = "another-one"
    path.write_text(spec.replace(SECRET, other))
    (audited.folder / "subject.py").write_text(code.replace(SECRET, other))
    ended = audited.run("run", "audit.yaml", "--resume", "--quiet")
    assert ended.returncode == 2
    assert "what is hidden of its settings has changed" in ended.stderr
    assert SECRET not in ended.stderr
    assert other not in ended.stderr
