"""The history as a user meets it: audits of one model, one after the other, through the shell."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from auditor.core.record import AuditRecord, read_record
from auditor.core.verdict import Verdict
from tests.subjects import ROOT

SUBJECT = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

def build():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

def val():
    inputs = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    return DataLoader(TensorDataset(inputs, inputs[:, :3].argmax(1)), 32)

if __name__ == "__main__":
    torch.manual_seed(0)
    model = build()
    torch.save(model.state_dict(), "weights.pt")
    with torch.no_grad():
        model[0].bias[:6] = -100
    torch.save(model.state_dict(), "dead.pt")
"""

SPEC = """
version: 1
name: tiny
model: {factory: subject:build, checkpoint: weights.pt}
data: {val: subject:val}
loss: cross_entropy
history: {file: state/history.sqlite}
audit: {profile: quick, remedies: false, checks: {only: [dead-units, environment-unrecorded]}}
output: {dir: out, formats: [json, html]}
"""


@dataclass(frozen=True)
class Ended:
    code: int
    said: str
    complained: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("runs")
    (home / "subject.py").write_text(SUBJECT, encoding="utf-8")
    (home / "audit.yaml").write_text(SPEC, encoding="utf-8")
    subprocess.run([sys.executable, "subject.py"], cwd=home, check=True)
    return home


def audit(folder: Path, *arguments: str, **environment: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-m", "auditor.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
    assert "Traceback" not in done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def kept(folder: Path) -> list[dict[str, object]]:
    done = audit(folder, "history", "--history", "state/history.sqlite", "--format", "json")
    audits: list[dict[str, object]] = json.loads(done.said)["audits"]
    return audits


def record(folder: Path, name: str) -> AuditRecord:
    return read_record(folder / name / "record.json")


@pytest.mark.slow
def test_new_failures_alone_count_and_the_history_tells(folder: Path) -> None:
    new = ("run", ".", "--baseline", "last", "--fail-on", "new", "--quiet")
    first = audit(folder, *new, "--out", "first")
    assert first.code == 0
    assert "no earlier audit to compare with" in first.complained
    assert record(folder, "first").comparison is None

    broken = audit(folder, *new, "--out", "broken", "--checkpoint", "dead.pt")
    assert broken.code == 1
    told = record(folder, "broken").comparison
    assert told is not None
    assert [(one.kind.value, one.check) for one in told.findings] == [
        ("new", "dead-units"),
        ("unchanged", "environment-unrecorded"),
    ]
    assert "Compared with the audit of" in (folder / "broken/report.html").read_text("utf-8")

    again = audit(folder, *new, "--out", "again", "--checkpoint", "dead.pt")
    assert again.code == 0, "what fails is known"
    assert record(folder, "again").verdict is Verdict.FAIL
    past = record(folder, "again").volatile.past
    assert past is not None
    assert [one.verdict.value for one in past.audits] == ["warn", "fail", "fail"]
    assert next((one.check, len(one.points)) for one in past.trends) == ("dead-units", 3)

    held = audit(folder, *new, "--out", "held", "--checkpoint", "dead.pt", "--baseline", "first")
    assert held.code == 1, "the first audit knew nothing of it"

    audits = kept(folder)
    assert [one["verdict"] for one in audits] == ["fail", "fail", "fail", "warn"]
    assert [one["accepted"] for one in audits] == [False, False, False, True]
    listed = audit(folder, "history", "tiny", "--history", "state/history.sqlite")
    assert "1 new: dead-units" in listed.said

    resumed = audit(folder, *new, "--out", "again", "--checkpoint", "dead.pt", "--resume")
    assert resumed.code == 0, "held against the audit before it, not against itself"
    known = record(folder, "again").comparison
    assert known is not None
    assert audits[2]["id"] in known.source
    judged = audit(folder, "judge", "again", "--fail-on", "new", "--quiet")
    assert judged.code == 0
    assert record(folder, "again").comparison == known
    assert [one["id"] for one in kept(folder)] == [one["id"] for one in audits]

    shown = audit(folder, "show", str(audits[0]["id"]), "--format", "json")
    assert shown.code == 2, "another history is looked at"
    found = audit(
        folder,
        *("show", str(audits[0]["id"]), "--format", "json"),
        AUDIT_HISTORY="state/history.sqlite",
    )
    assert json.loads(found.said)["spec"]["model"]["checkpoint"].endswith("dead.pt")


@pytest.mark.slow
def test_an_audit_that_is_not_kept(folder: Path) -> None:
    before = kept(folder) if (folder / "state").exists() else []
    only = ("--only", "environment-unrecorded", "--out", "unkept", "--format", "json")
    assert audit(folder, "run", ".", "--no-history", *only, "--quiet").code == 0
    assert (kept(folder) if (folder / "state").exists() else []) == before
    (folder / "diary.sqlite").write_bytes(b"my diary" * 600)
    done = audit(folder, "run", ".", "--history", "diary.sqlite", *only, "--quiet")
    assert done.code == 0, "a history that is none costs no audit"
    (line,) = done.complained.splitlines()
    assert line.startswith("audit: not kept in the history: ")
    assert "diary.sqlite: no history of audits, or a damaged one" in line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", ".", "--fail-on", "new"], "--fail-on new: needs an earlier audit to compare with"),
        (["run", "--baseline", "gone.json"], "gone.json: can't be read: No such file"),
        (["run", "--baseline", "last", "--history", "bad"], "bad: no history of audits, or a dam"),
        (["history", "--history", "nowhere"], "nowhere: no history of audits there"),
        (["history", "--history", "bad"], "bad: no history of audits, or a damaged one"),
        (["compare", "last", "last"], "one of the two has to be a record or an id"),
        (["compare", "gone.json", "last"], "gone.json: can't be read"),
        (["compare", "a.json", "last", "--history", "bad"], "bad: no history of audits, or a dam"),
        (["compare", "a.json", "last"], "last: there is no history yet ("),
        (["compare", "a.json", "last", "--history", "good"], "last: the history (good) holds no"),
        (["compare", "a.json", "a.json", "--out", "."], "--out: . is a folder"),
        (["compare", "abcd", "a.json"], "abcd: no such record or folder, and no such audit"),
        (["history", "--accept", "abcd", "--history", "good"], "'abcd': no such audit in the hi"),
        (["history", "--accept", "", "--history", "good"], "'': no such audit in the history"),
        (["export", "model-card", "a.json", "--into", "no/card.md"], "there is no such folder to"),
        (["history", "nobody", "--history", "good"], "nobody: no audit of that name"),
        (["render", "abcd"], "abcd: no such record or folder"),
    ],
)
def test_what_can_not_be_used_is_named(folder: Path, arguments: list[str], says: str) -> None:
    from auditor.history.sqlite import SqliteHistory

    golden = ROOT / "tests/golden/record.json"
    (folder / "bad").write_bytes(b"no history" * 600)
    (folder / "a.json").write_bytes(golden.read_bytes())
    if not (folder / "good").exists():
        SqliteHistory(folder / "good").add(read_record(golden))
    done = audit(folder, *arguments, AUDIT_HISTORY="none.sqlite")
    assert (done.code, done.said) == (2, "")
    assert says in done.complained


def test_an_audit_is_accepted_by_hand_and_compared_by_its_id(folder: Path) -> None:
    from auditor.history.sqlite import SqliteHistory

    golden = read_record(ROOT / "tests/golden/record.json")
    mine = SqliteHistory(folder / "mine.sqlite")
    id_ = mine.add(golden)
    where = ("--history", "mine.sqlite")
    assert audit(folder, "history", "--accept", id_[:6], *where).said == f"{id_} is accepted\n"
    assert "*" in audit(folder, "history", *where).said
    assert "--limit" not in audit(folder, "history", *where).said
    shown = audit(folder, "history", "--limit", "1", *where).said
    assert shown.endswith("\nNot more than 1 audit shown; --limit sets how many.\n")
    audit(folder, "history", "--unaccept", id_, *where)
    assert "*" not in audit(folder, "history", *where).said
    page = audit(folder, "compare", id_, id_, "--format", "html", "--out", "sub/c.html", *where)
    assert page.code == 0
    assert page.said.endswith("sub/c.html\n")
    told = json.loads(audit(folder, "compare", id_, id_, "--format", "json", *where).said)
    assert told["counts"]["new"] == 0
    assert told["counts"]["unchanged"] > 3


def test_looking_back_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys; from auditor.cli import app;"
        "app(['history'], standalone_mode=False);"
        f"app(['compare', {str(ROOT / 'tests/golden/record.json')!r},"
        f" {str(ROOT / 'tests/golden/record.json')!r}], standalone_mode=False);"
        "assert not {'torch', 'weasyprint'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
