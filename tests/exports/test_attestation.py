"""An audit as a statement: about the checkpoint, deterministic, and telling what was changed."""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from auditor.cli import app
from auditor.core.errors import InputError
from auditor.core.record import AuditRecord, read_record, record_to_json, spec_digest
from auditor.exports.attestation import PREDICATE, STATEMENT, attested, statement_text
from auditor.report.files import write_reports
from auditor.report.sums import SUMS
from tests.report.report_records import rich_record

WEIGHTS = b"weights"


def audited(**changes: Any) -> AuditRecord:
    record = rich_record()
    file = record.subject.checkpoint
    assert file is not None
    file = replace(file, path="dir/w.pt", sha256=hashlib.sha256(WEIGHTS).hexdigest(), **changes)
    subject = replace(record.subject, checkpoint=file)
    return replace(record, subject=subject, spec_sha256=spec_digest(record.spec))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("written") / "report"
    write_reports(audited(), where, ["json", "html", "markdown", "junit"])
    return where


@pytest.fixture
def folder(tmp_path: Path, written: Path) -> Path:
    (tmp_path / "w.pt").write_bytes(WEIGHTS)
    return Path(shutil.copytree(written, tmp_path / "report"))


def attest(*arguments: Any) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["attest", *map(str, arguments)], catch_exceptions=True)
    if isinstance(done.exception, InputError):
        return 2, "", str(done.exception)
    return done.exit_code, done.stdout, done.stderr


def test_the_sums_are_those_that_other_tools_read(folder: Path) -> None:
    lines = (folder / SUMS).read_text().splitlines()
    assert [line.split("  ")[1] for line in lines] == [
        "junit.xml", "record.json", "report.html", "summary.md",
    ]  # fmt: skip
    checked = subprocess.run(["sha256sum", "--check", SUMS], cwd=folder, capture_output=True)
    assert checked.returncode == 0, checked.stderr


def test_what_is_not_written_anew_keeps_its_sum(folder: Path) -> None:
    before = dict(reversed(line.split("  ")) for line in (folder / SUMS).read_text().splitlines())
    page = folder / "report.html"
    page.write_text(page.read_text() + "tampered")
    (folder / "junit.xml").unlink()
    write_reports(read_record(folder / "record.json"), folder, ["markdown"])
    after = dict(reversed(line.split("  ")) for line in (folder / SUMS).read_text().splitlines())
    assert after["report.html"] == before["report.html"]
    assert "junit.xml" not in after
    assert attest(folder, "--check")[0] == 1


def test_the_statement_is_about_the_checkpoint(folder: Path) -> None:
    record = audited()
    code, text, _ = attest(folder)
    assert code == 0
    told = json.loads(text)
    assert list(told) == sorted(told)
    assert (told["_type"], told["predicateType"]) == (STATEMENT, PREDICATE)
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert told["subject"] == [{"name": "w.pt", "digest": {"sha256": digest}}]
    said = told["predicate"]
    assert said["verdict"] == record.verdict.value
    assert said["sections"] == {one.id: one.verdict.value for one in record.sections}
    assert {f.check for f in record.findings} == set(said["findings"])
    assert (
        said["record"]["digest"]["sha256"]
        == hashlib.sha256((folder / "record.json").read_bytes()).hexdigest()
    )
    assert [one["name"] for one in said["reports"]] == ["junit.xml", "report.html", "summary.md"]
    assert said["spec"]["digest"]["sha256"] == spec_digest(record.spec)
    assert said["times"]["started"] == record.volatile.started
    assert said["environment"] == record.environment
    assert json.loads(attest(folder, "--predicate")[1]) == said


def test_equal_records_give_equal_statements(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_reports(audited(), other, ["json", "html", "markdown", "junit"])
    assert statement_text(attested(folder)) == statement_text(attested(other))


def test_each_file_of_a_checkpoint_is_a_subject(tmp_path: Path) -> None:
    parts = {"a.safetensors": b"one", "b/c.safetensors": b"two"}
    files = tuple((name, hashlib.sha256(data).hexdigest()) for name, data in parts.items())
    write_reports(audited(files=files), tmp_path / "report", ["json"])
    for name, data in parts.items():
        (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / name).write_bytes(data)
    told = attested(tmp_path / "report")
    assert [one["name"] for one in told["subject"]] == [*parts]
    check = (tmp_path / "report", "--check", "--checkpoint", tmp_path / "model")
    assert attest(*check)[0] == 0
    (tmp_path / "model" / "b" / "c.safetensors").write_bytes(b"other")
    code, _, said = attest(*check)
    assert (code, said) == (1, "audit: b/c.safetensors: changed since it was written\n")


@pytest.mark.parametrize("name", ["record.json", "report.html", "summary.md", "junit.xml"])
@pytest.mark.parametrize("statement", [False, True])
def test_a_changed_file_is_named(name: str, statement: bool, folder: Path) -> None:
    kept = folder / "attestation.json"
    assert attest(folder, "--out", kept)[0] == 0
    target = kept if statement else folder
    assert attest(target, "--check")[:2] == (0, "every file is as it was written\n")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data.replace(b"a", b"b", 1))
    code, _, said = attest(target, "--check")
    assert (code, said) == (1, f"audit: {name}: changed since it was written\n")
    (folder / name).unlink()
    code, _, said = attest(target, "--check")
    if name == "record.json" and not statement:
        assert code == 2
    else:
        assert (code, said) == (1, f"audit: {name}: missing, or can't be read\n")


def test_a_statement_away_from_its_reports_says_so_once(folder: Path, tmp_path: Path) -> None:
    away = tmp_path / "away.json"
    assert attest(folder, "--out", away)[0] == 0
    code, _, said = attest(away, "--check")
    assert (code, said.count("\n")) == (1, 1)
    assert "no report lies beside it; put it into the folder of its audit" in said


def test_nothing_is_attested_that_was_changed(folder: Path) -> None:
    (folder / "report.html").write_text("other")
    code, written, said = attest(folder)
    assert (code, written) == (1, "")
    assert said == "audit: report.html: changed since it was written\n"


def test_a_statement_that_says_something_else_than_the_record(folder: Path) -> None:
    kept = folder / "attestation.json"
    attest(folder, "--out", kept)
    told = json.loads(kept.read_text())
    told["predicate"]["verdict"] = "pass"
    kept.write_text(json.dumps(told))
    assert attest(kept, "--check")[0] == 1


def test_a_spec_that_is_not_the_hashed_one(folder: Path) -> None:
    record = audited()
    spec = {**record.spec, "name": "another"}
    write_reports(replace(record, spec=spec), folder, ["json"])
    code, _, said = attest(folder, "--check")
    assert code == 1
    assert "spec" in said


def test_the_checkpoint_is_checked_where_it_is_named(folder: Path, tmp_path: Path) -> None:
    check = (folder, "--check", "--checkpoint", tmp_path / "w.pt")
    assert attest(*check)[0] == 0
    (tmp_path / "w.pt").write_bytes(b"other")
    assert attest(*check)[0] == 1
    assert attest(folder, "--check", "--checkpoint", tmp_path / "none")[0] == 1


HOSTILE: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"_type": 1}',
    b"[" * 100_000,
    json.dumps({"_type": STATEMENT, "predicateType": PREDICATE, "subject": [],
                "predicate": {"record": {"name": 3, "digest": {"sha256": ""}}, "reports": []}}),
]  # fmt: skip


@pytest.mark.parametrize("held", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_statement_is_refused(held: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(held if isinstance(held, bytes) else held.encode())
    code, _, said = attest(path, "--check")
    assert code == 2
    assert "no statement of `audit attest`" in said
    assert len(said.splitlines()) <= 5


def test_names_in_a_statement_lead_nowhere_else(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    told = attested(folder)
    for name in ("../secret", str(secret)):
        told["predicate"]["reports"] = [{"name": name, "digest": {"sha256": digest}}]
        (folder / "a.json").write_text(json.dumps(told))
        code, _, said = attest(folder / "a.json", "--check")
        assert code == 1
        assert "missing, or can't be read" in said


def test_bad_usage(folder: Path, tmp_path: Path) -> None:
    assert attest(tmp_path / "none")[0] == 2
    assert attest(tmp_path)[0] == 2
    assert attest(folder, "--checkpoint", "x")[0] == 2
    live = audited()
    write_reports(
        replace(live, subject=replace(live.subject, checkpoint=None)), tmp_path / "live", ["json"]
    )
    code, _, said = attest(tmp_path / "live")
    assert code == 2
    assert "files of a checkpoint" in said
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "record.json").write_text(record_to_json(live))
    assert attest(tmp_path / "old")[0] == 2


def test_a_statement_is_its_owners_alone(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        attest(folder, "--out", tmp_path / "mine.json")
        attest(folder, "--out", tmp_path / "ours.json", "--shared")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mine.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ours.json").stat().st_mode) == 0o666


def test_it_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom auditor.cli import app\n"
        f"done = CliRunner().invoke(app, ['attest', {str(folder)!r}, '--check'])\n"
        "assert done.exit_code == 0, done.output\nassert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
