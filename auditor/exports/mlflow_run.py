"""An audit in a run of MLflow: reports as artifacts, verdicts as tags, key metrics as metrics."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.core.errors import InputError
from auditor.core.key_metrics import key_metrics
from auditor.core.moments import began_at
from auditor.core.record import RECORD, AuditRecord, record_to_json
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.report.answer import headline
from auditor.report.files import NAMES

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "audit"
"""The folder of the reports among a run's artifacts."""


@dataclass(frozen=True)
class Logged:
    """Where an audit was written to."""

    run_id: str
    experiment_id: str
    artifacts: tuple[str, ...]


def log_audit(
    record: AuditRecord,
    folder: Path | None,
    *,
    run_id: str | None = None,
    experiment: str = "audits",
    tracking_uri: str | None = None,
) -> Logged:
    """Write an audit, with the reports that lie in its folder, to a run of MLflow.

    Without a `run_id` a new run of the experiment is made, which is made where there is none.
    Without an address MLflow takes its own: $MLFLOW_TRACKING_URI, or a store in this folder.

    Raises:
        InputError: MLflow is not installed, or refuses.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError("MLflow is not installed: pip install 'auditor[mlflow]'") from error
    try:
        return _logged(MlflowClient(tracking_uri), record, folder, run_id, experiment)
    except MlflowException as error:
        raise InputError(f"MLflow refuses: {clean_text(error.message)}") from error
    except (ImportError, ValueError, OSError) as error:
        # Of a store whose driver is missing, or an address that none knows or can write to.
        raise InputError(f"MLflow can't use the address: {clean_text(error)}") from error


def _logged(
    client: "MlflowClient",
    record: AuditRecord,
    folder: Path | None,
    run_id: str | None,
    experiment: str,
) -> Logged:
    from mlflow.entities import Metric, RunTag

    began = began_at(record).timestamp()
    stamp = _stamp(began)
    run = client.get_run(run_id) if run_id is not None else None
    if run is None:
        known = client.get_experiment_by_name(experiment)
        parent = client.create_experiment(experiment) if known is None else known.experiment_id
        name = f"audit of {clean_text(record.subject.name, 80)}"
        run = client.create_run(parent, start_time=stamp, run_name=name)
    client.log_batch(
        run.info.run_id,
        metrics=[
            Metric(name, value, _stamp(began), 0) for name, value in metrics_of(record).items()
        ],
        tags=[RunTag(name, value) for name, value in tags_of(record).items()],
    )
    client.log_text(run.info.run_id, record_to_json(record), f"{ARTIFACTS}/{RECORD}")
    reports = [
        path
        for name in NAMES.values()
        if name != RECORD and folder and (path := folder / name).is_file()
    ]
    for path in reports:
        client.log_artifact(run.info.run_id, str(path), ARTIFACTS)
    if run_id is None:
        seconds = record.volatile.seconds if 0 <= record.volatile.seconds < 1e8 else 0.0
        ended = _stamp(began + seconds)
        client.set_terminated(run.info.run_id, end_time=ended)
    names = (RECORD, *(path.name for path in reports))
    return Logged(run.info.run_id, run.info.experiment_id, names)


def tags_of(record: AuditRecord) -> dict[str, str]:
    """Return the tags by which runs are found: `tags."audit.verdict" = 'fail'`."""
    live = [finding for finding in record.findings if finding.waived is None]
    tags = {
        "audit.verdict": record.verdict.value,
        "audit.headline": headline(record),
        "audit.model": clean_text(record.subject.name, 120),
        "audit.started": clean_text(record.volatile.started, 60),
        "audit.failed_checks": _listed(f.check for f in live if f.verdict is Verdict.FAIL),
    }
    tags |= {
        f"audit.section.{_legal(section.id)}": section.verdict.value
        for section in record.sections[:20]
    }
    if record.subject.checkpoint is not None:
        tags["audit.checkpoint_sha256"] = clean_text(record.subject.checkpoint.sha256, 80)
    return tags


def metrics_of(record: AuditRecord) -> dict[str, float]:
    """Return counts of findings and the key metrics that are finite, by names that MLflow takes."""
    live = [finding.verdict for finding in record.findings if finding.waived is None]
    metrics = {
        "audit/failed": float(live.count(Verdict.FAIL)),
        "audit/warnings": float(live.count(Verdict.WARN)),
        "audit/not_judged": float(live.count(Verdict.ERROR)),
        "audit/waived": float(len(record.findings) - len(live)),
    }
    for check, metric in key_metrics(record.findings):
        if metric.value is not None and math.isfinite(metric.value):
            metrics[f"audit/{_legal(check)}/{_legal(metric.name)}"] = float(metric.value)
    return metrics


def _legal(name: str) -> str:
    """Return a name of letters, digits, `_`, `-` and `.`: MLflow's stores all take these."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name[:80]).strip("_.") or "unnamed"


def _listed(checks: Iterator[str]) -> str:
    """Return names in one line; a store takes some thousand characters of a tag."""
    return clean_text(", ".join(checks), 1000) or "none"


def _stamp(seconds: float) -> int:
    """Return a moment as MLflow keeps it: in milliseconds, never before its calendar begins."""
    return max(0, round(seconds * 1000))
