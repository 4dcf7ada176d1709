"""A fleet as JSON, for programs."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from auditor.core.changes import Change
from auditor.core.text import clean_text
from auditor.report.fleet.models import Audit, Model

SCHEMA_VERSION = 1


def fleet_json(models: Sequence[Model]) -> str:
    """Return the models in the order of the page, their audits the oldest first."""
    verdicts = Counter(model.last.glance.verdict.value for model in models)
    told = {
        "schema_version": SCHEMA_VERSION,
        "verdicts": dict(sorted(verdicts.items())),
        "models": list(map(_model, models)),
    }
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _model(model: Model) -> dict[str, Any]:
    glance = model.last.glance
    return {
        "name": model.name,
        "factory": glance.subject.factory,
        "task": glance.subject.task,
        "verdict": glance.verdict,
        "sections": {section.id: section.verdict for section in glance.sections},
        "changed": model.changed.glance.volatile.started,
        "changes": list(map(_change, model.changes)),
        "audits": list(map(_audit, model.audits)),
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "check": change.check,
        "title": change.title,
        "where": [{"kind": spot.kind, "name": spot.name} for spot in change.where],
    }


def _audit(audit: Audit) -> dict[str, Any]:
    glance = audit.glance
    file = glance.subject.checkpoint
    return {
        "started": glance.volatile.started,
        "verdict": glance.verdict,
        "checkpoint": {"path": file.path, "sha256": file.sha256} if file else None,
        "record": clean_text(audit.path.as_posix(), 4096),
    }
