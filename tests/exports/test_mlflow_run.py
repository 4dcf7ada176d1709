"""An audit in MLflow, read back by MLflow's own client from a real store."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.core.errors import InputError
from auditor.core.finding import Finding, Metric
from auditor.core.record import AuditRecord, read_record, record_to_json
from auditor.core.verdict import Verdict
from auditor.exports.mlflow_run import log_audit, metrics_of, tags_of
from tests.subjects import ROOT

GOLDEN = ROOT / "tests/golden/record.json"


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    """No telemetry, whatever the machine's settings are; read before MLflow is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


@pytest.fixture(scope="module")
def record() -> AuditRecord:
    return read_record(GOLDEN)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty store in a file of SQLite, made once: that takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # where MLflow puts the artifacts of such a store
        yield f"sqlite:///{folder}/mlflow.db"


@pytest.fixture
def folder(record: AuditRecord, tmp_path: Path) -> Path:
    (tmp_path / "record.json").write_text(record_to_json(record), encoding="utf-8")
    (tmp_path / "report.html").write_text("<p>report", encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_an_audit_is_read_back_from_a_run_of_its_own(record, folder, store) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    logged = log_audit(record, folder, tracking_uri=store)
    client = MlflowClient(store)
    run = client.get_run(logged.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "audit of digits-cnn-broken"
    assert client.get_experiment(logged.experiment_id).name == "audits"
    assert run.data.tags["audit.verdict"] == "fail"
    assert run.data.tags["audit.section.loss"] == "fail"
    assert run.data.tags["audit.section.tracking"] == record.sections[-1].verdict
    assert run.data.tags["audit.checkpoint_sha256"] == record.subject.checkpoint.sha256
    assert "dead-units" in run.data.tags["audit.failed_checks"]
    failed = [finding for finding in record.findings if finding.verdict is Verdict.FAIL]
    assert run.data.metrics["audit/failed"] == len(failed)
    assert run.data.metrics["audit/overfitted/accuracy_validation"] == pytest.approx(0.102222, 1e-4)
    names = {item.path for item in client.list_artifacts(logged.run_id, "audit")}
    assert names == {"audit/record.json", "audit/report.html"}
    kept = download_artifacts(
        run_id=logged.run_id, artifact_path="audit/record.json", tracking_uri=store
    )
    assert Path(kept).read_bytes() == (folder / "record.json").read_bytes()
    (found,) = client.search_runs([logged.experiment_id], "tags.`audit.verdict` = 'fail'")
    assert found.info.run_id == logged.run_id


@pytest.mark.slow
def test_an_audit_joins_the_run_that_trained_the_model(record, folder, store) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(store)
    run = client.create_run(client.create_experiment("training"), tags={"team": "vision"})
    client.log_metric(run.info.run_id, "loss", 0.5)
    log_audit(record, folder, run_id=run.info.run_id, tracking_uri=store)
    after = client.get_run(run.info.run_id)
    assert after.info.status == "RUNNING"
    assert after.data.tags["team"] == "vision"
    assert after.data.tags["audit.verdict"] == "fail"
    assert after.data.metrics["loss"] == 0.5
    log_audit(
        replace(record, verdict=Verdict.PASS), folder, run_id=run.info.run_id, tracking_uri=store
    )
    assert client.get_run(run.info.run_id).data.tags["audit.verdict"] == "pass"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"run_id": "nowhere"}, "MLflow refuses: .*nowhere"),
        ({"tracking_uri": "gopher://x"}, "MLflow"),
        ({"experiment": ""}, "MLflow refuses"),
    ],
)
def test_what_mlflow_refuses_is_one_clear_error(record, folder, store, given, says) -> None:
    with pytest.raises(InputError, match=says):
        log_audit(record, folder, **{"tracking_uri": store, **given})


@pytest.mark.slow
def test_names_and_values_are_such_as_a_store_takes(record, folder, store) -> None:
    from mlflow import MlflowClient

    odd = "é\x1b[31m*, validation"
    findings = (
        Finding(
            "overfitted",
            Verdict.PASS,
            "t",
            "s",
            (
                Metric(odd, 0.5),
                Metric("b, validation", float("nan")),
                Metric("c, validation", None),
            ),
        ),
        *(Finding("x" * 100 + str(n), Verdict.FAIL, "t", "s") for n in range(200)),
    )
    section = replace(record.sections[0], id="../a b\u202e", findings=findings)
    subject = replace(record.subject, name="n" * 10**6)
    hostile = replace(record, sections=(section,), subject=subject)
    assert metrics_of(hostile)["audit/overfitted/31m_validation"] == 0.5
    assert not any("b_validation" in name for name in metrics_of(hostile))
    assert max(map(len, tags_of(hostile).values())) < 2000
    logged = log_audit(hostile, folder, tracking_uri=store)
    data = MlflowClient(store).get_run(logged.run_id).data
    assert data.metrics["audit/failed"] == 200
    assert data.tags["audit.section.a_b"] == section.verdict.value


def audit(*arguments: object, cwd: Path, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "auditor.cli", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


@pytest.mark.slow
def test_the_command_tells_where_it_wrote(folder: Path, store: str) -> None:
    from mlflow import MlflowClient

    done = audit("export", "mlflow", folder, "--tracking-uri", store, cwd=folder)
    assert done.returncode == 0, done.stderr
    (run_id,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("run "))
    assert MlflowClient(store).get_run(run_id).data.tags["audit.verdict"] == "fail"
    assert "artifacts: record.json, report.html" in done.stdout


def test_without_mlflow_the_command_says_what_to_install(folder: Path) -> None:
    (folder / "mlflow.py").write_text("raise ImportError('no mlflow')")
    done = audit("export", "mlflow", "record.json", cwd=folder, PYTHONPATH=f"{folder}:{ROOT}")
    assert done.returncode == 2
    assert done.stderr == "audit: MLflow is not installed: pip install 'auditor[mlflow]'\n"


@pytest.mark.parametrize("command", ["mlflow", "model-card"])
def test_a_record_that_is_none_is_refused(tmp_path: Path, command: str) -> None:
    done = audit("export", command, tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "a folder without record.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_card_is_printed_or_written(folder: Path) -> None:
    printed = audit("export", "model-card", folder, "--dataset", "digits", cwd=folder)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("---\nmodel-index:\n- name: digits-cnn-broken\n")
    written = audit(
        "export", "model-card", folder, "--dataset", "digits", "--into", "README.md", cwd=folder
    )
    assert written.stdout == "README.md\n"
    assert (folder / "README.md").read_text(encoding="utf-8") == printed.stdout
