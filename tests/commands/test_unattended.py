"""Audits that nobody watches, as a shell runs them: news, dated reports, figures and the lock."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families
from torch import nn

from auditor.cli import main
from auditor.schedule.job import COMPARED
from tests.notify.servers import hook
from tests.notify.test_mail import Inbox, serving
from tests.subjects import ROOT

MODEL = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
"""

DATA = """
import torch
from torch.utils.data import DataLoader, TensorDataset

def loader():
    inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 32)
"""

SPEC = """
name: tiny 100 % ü
model: {{factory: model:build, checkpoint: weights.pt}}
data: {{val: data:loader}}
loss: cross_entropy
audit: {{checks: {{only: [dead-units]}}}}
output: {{formats: [json]}}
notify:
  webhook: {{url: '{hook}/services/hunter2', secret: env:KEY}}
  email: {{to: team@example.org, from: audit@example.org, host: localhost, port: {port}, tls: none}}
  env_file: secrets.env
"""

SCHEDULED = ("--dated", "--keep", "2", *COMPARED, "--quiet")


def weights(folder: Path, *, dead: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    if dead:
        nn.init.constant_(model[0].bias, -100.0)
    torch.save(model.state_dict(), folder / "weights.pt")


def run(folder, *arguments, program=(sys.executable, "-m", "auditor.cli"), **environment):
    return subprocess.run(
        [*program, "run", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    (tmp_path / "data.py").write_text(DATA, encoding="utf-8")
    (tmp_path / "secrets.env").write_text("KEY=hunter3\n", encoding="utf-8")
    weights(tmp_path, dead=False)
    return tmp_path


@pytest.mark.slow
def test_people_are_told_once_when_a_model_goes_bad(folder):
    inbox = Inbox()
    environment = {"AUDIT_HISTORY": str(folder / "history.sqlite")}
    with hook() as served, serving(inbox) as port:
        spec = folder / "audit.yaml"
        spec.write_text(SPEC.format(hook=served.url, port=port), encoding="utf-8")
        figures = folder / "tiny.prom"
        codes = []
        for dead in (False, True, True, False):
            weights(folder, dead=dead)
            ran = run(folder, spec, *SCHEDULED, "--metrics", figures, **environment)
            assert ran.stdout == ""
            assert "Traceback" not in ran.stderr
            codes.append(ran.returncode)
            if dead:
                verdicts = read_figures(figures)
                assert verdicts["audit_verdict", "fail"] == 1
                assert verdicts["audit_finding_verdict", "fail"] == 1
                assert verdicts["audit_verdict", "pass"] == 0
    # What failed before is no new failure.
    assert codes == [0, 1, 0, 0]
    worse, better = served.told
    assert worse["verdict"] == {"before": "pass", "after": "fail"}
    assert [(c["kind"], c["check"]) for c in worse["changes"]] == [("new", "dead-units")]
    assert better["verdict"] == {"before": "fail", "after": "pass"}
    assert [(c["kind"], c["check"]) for c in better["changes"]] == [("fixed", "dead-units")]
    assert all("X-Audit-Signature" in headers for _, headers, _ in served.requests)
    assert [letter["Subject"] for letter in inbox.letters] == [
        "tiny 100 % ü failed (passed before): 1 new",
        "tiny 100 % ü passed (failed before): 1 fixed",
    ]
    reports = sorted((folder / "audit-report").iterdir())
    assert len(reports) == 2
    assert worse["report"].startswith(str(folder / "audit-report" / "20"))
    secret = (b"hunter2", b"hunter3", served.url.encode(), b"team@example.org")
    for path in folder.rglob("*"):
        if path.is_file() and path.name not in ("secrets.env", "audit.yaml"):
            assert not any(word in path.read_bytes() for word in secret), path


def read_figures(path: Path) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    samples = (sample for family in families for sample in family.samples)
    return {(s.name, s.labels["verdict"]): s.value for s in samples if "verdict" in s.labels}


@pytest.mark.slow
def test_news_that_can_t_be_sent_cost_a_line(folder):
    spec = folder / "audit.yaml"
    spec.write_text(SPEC.format(hook="https://localhost:1", port=1), encoding="utf-8")
    weights(folder, dead=True)
    environment = {"AUDIT_HISTORY": str(folder / "history.sqlite")}
    (folder / "secrets.env").unlink()
    ran = run(folder, spec, *SCHEDULED, **environment)
    assert ran.returncode == 1
    lines = [line for line in ran.stderr.splitlines() if "notify" in line]
    assert [line.split(":")[1].strip() for line in lines] == [
        "notify.env_file",
        "notify.webhook",
        "notify.email",
    ]
    assert "hunter2" not in ran.stderr
    assert len(list((folder / "audit-report").glob("*/record.json"))) == 1


@pytest.mark.slow
def test_a_run_beside_another_of_the_same_subject_leaves_or_waits(folder):
    slow = "import time\ntime.sleep(4)\n" + DATA
    (folder / "data.py").write_text(slow, encoding="utf-8")
    text = SPEC.format(hook="http://localhost:1", port=1)
    (folder / "audit.yaml").write_text(text.partition("notify")[0], encoding="utf-8")
    first = subprocess.Popen(
        [sys.executable, "-m", "auditor.cli", "run", "--quiet"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    locks = Path(os.environ["XDG_STATE_HOME"], "auditor", "locks")
    while not any(lock.read_text() == str(first.pid) for lock in locks.glob("*.lock")):
        time.sleep(0.05)
    left = run(folder, "audit.yaml", "--if-running", "leave", "--dated")
    said = f"process {first.pid} is auditing the same subject\n"
    assert (left.returncode, left.stdout) == (0, "")
    assert left.stderr == f"audit: left alone: {said}"
    waited = run(folder, folder / "audit.yaml", "--quiet")
    assert first.wait() == 0
    assert waited.returncode == 0, waited.stderr
    assert waited.stderr == f"audit: waiting: {said}"
    # Both wrote to the same folder, one after the other.
    assert [path.name for path in folder.glob("audit-report/*.json")] == ["record.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep", "3"], "--keep: goes with --dated"),
        (["--dated", "--resume"], "--resume: goes on in one folder"),
        (["--dated", "--keep", "0"], "--keep"),
        (["--metrics", "."], "--metrics: .: name a file in a folder that exists"),
        (["--metrics", "nowhere/a.prom"], "--metrics: nowhere/a.prom: name a file"),
        (["--if-running", "kill"], "--if-running"),
        (["--dated", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
    ],
)
def test_bad_usage_ends_with_2_and_leaves_nothing(folder, arguments, says):
    text = SPEC.format(hook="http://localhost:1", port=1)
    (folder / "audit.yaml").write_text(text, encoding="utf-8")
    ran = run(folder, *arguments)
    assert ran.returncode == 2, ran.stderr
    assert says in ran.stderr
    assert not list(folder.glob("audit-report/*"))


def test_every_record_can_be_shown_as_figures():
    record = ROOT / "tests/golden/record.json"
    done = subprocess.run(
        [sys.executable, "-m", "auditor.cli", "show", record, "--format", "prometheus"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    families = {f.name: f for f in text_string_to_metric_families(done.stdout)}
    checks = {s.labels["check"] for s in families["audit_finding_verdict"].samples}
    told = json.loads(record.read_bytes())
    assert checks == {f["check"] for section in told["sections"] for f in section["findings"]}


def test_an_interrupt_before_the_audit_begins_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("auditor.commands.looking_back.opened", lambda _: interrupted())
    monkeypatch.setattr(sys, "argv", ["audit", "history"])
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main()
    signal.signal(signal.SIGTERM, handler)
    assert ended.value.code == 3
    assert capsys.readouterr().err == "audit: interrupted\n"
