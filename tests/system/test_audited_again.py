"""A subject in files, audited as a user does, then audited again after something was changed."""

import shutil
from pathlib import Path

import pytest

from auditor.api import Record, audit_spec
from auditor.commands.progress import Silent
from auditor.core.finding import Finding
from auditor.core.record import read_record
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.history.baseline import Baseline
from auditor.observations.earlier import Earlier, earlier_of
from tests.subjects import SAMPLES

pytestmark = pytest.mark.slow

CHECKS = ["data-changed", "claims-do-not-hold", "worse-than-before"]


def audited(folder: Path, out: Path, before: Earlier | None = None) -> Record:
    spec = read_spec(folder / "audit.yaml")
    settings = spec.audit.model_copy(
        update={"checks": spec.audit.checks.model_copy(update={"only": CHECKS})}
    )
    spec = spec.model_copy(update={"audit": settings})
    earlier = None if before is None else {"last": before, "accepted": before}
    return audit_spec(spec, out, Silent(), baseline=Baseline(earlier=earlier or {}))


def by_check(record: Record) -> dict[str, Finding]:
    return {finding.check: finding for finding in record.findings}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = tmp_path_factory.mktemp("subject") / "digits"
    recording = shutil.ignore_patterns("*.audit.jsonl")  # which tells of the data of training
    shutil.copytree(SAMPLES / "digits_cnn", copied, ignore=recording)
    return copied


@pytest.fixture(scope="module")
def before(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    """Return the first audit, through the file that keeps it."""
    out = tmp_path_factory.mktemp("first")
    record = audited(folder, out)
    found = by_check(record)
    assert found["claims-do-not-hold"].verdict is Verdict.PASS
    assert found["data-changed"].verdict is Verdict.NOT_APPLICABLE
    assert found["worse-than-before"].verdict is Verdict.NOT_APPLICABLE
    record.to_json(out / "record.json")
    return earlier_of(read_record(out / "record.json"), "the audit of 2026-05-01")


def changed(folder: Path, tmp_path: Path, name: str, old: str, new: str) -> Path:
    copied = tmp_path / "digits"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copied / name).read_text()
    assert old in text
    (copied / name).write_text(text.replace(old, new))
    return copied


def test_nothing_changed(folder: Path, before: Earlier, tmp_path: Path) -> None:
    found = by_check(audited(folder, tmp_path, before))
    assert {finding.verdict for finding in found.values()} == {Verdict.PASS}


def test_the_same_file_that_computes_something_else(
    folder: Path, before: Earlier, tmp_path: Path
) -> None:
    other = changed(folder, tmp_path, "model.py", "nn.ReLU()", "nn.LeakyReLU(0.1)")
    found = by_check(audited(other, tmp_path / "out", before))["worse-than-before"]
    assert found.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "The checkpoint is the same file, and yet" in found.summary


def test_pixels_that_are_prepared_otherwise(folder: Path, before: Earlier, tmp_path: Path) -> None:
    other = changed(folder, tmp_path, "data.py", "[:, None] / 16", "[:, None] / 16 * 0.7 + 0.2")
    other = changed(other, tmp_path / "more", "data.py", "images[train].mean()) ", "0.3) ")
    found = by_check(audited(other, tmp_path / "out", before))["data-changed"]
    assert found.verdict is Verdict.FAIL
    assert {place.name.partition(":")[0] for place in found.where} == {"data.train", "data.val"}


def test_a_claim_that_was_raised(folder: Path, before: Earlier, tmp_path: Path) -> None:
    other = changed(folder, tmp_path, "audit.yaml", "accuracy: 0.98", "log_loss: 0.01")
    found = by_check(audited(other, tmp_path / "out", before))["claims-do-not-hold"]
    assert found.verdict is Verdict.FAIL
    assert found.where[0].name == "claims.log_loss"
