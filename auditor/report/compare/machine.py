"""A comparison as JSON, for programs."""

import json
from typing import Any

from pydantic import TypeAdapter

from auditor.core.compare import compared
from auditor.core.comparison import Comparison, Kind
from auditor.core.finding import Metric
from auditor.core.fingerprint import identity_of
from auditor.core.record import AuditRecord
from auditor.core.side_by_side import (
    Difference,
    MetricPair,
    environment_apart,
    metric_pairs,
    settings_apart,
    subject_apart,
)
from auditor.core.text import clean_text

SCHEMA_VERSION = 1

_METRIC: TypeAdapter[Metric] = TypeAdapter(Metric)
_COMPARISON: TypeAdapter[Comparison] = TypeAdapter(Comparison)


def compare_json(before: AuditRecord, after: AuditRecord, sources: tuple[str, str]) -> str:
    """Return how an audit compares with an earlier one.

    `counts` are of findings, one a check; `places` are of fingerprints, of which a finding has one
    for each place: those that only the later audit names, that only the earlier one names, and that
    both name.
    """
    told = compared(before, after, sources[0])
    places = [place for finding in told.findings for place in finding.places]
    plain = {
        "schema_version": SCHEMA_VERSION,
        "before": _side(before, sources[0]),
        "after": _side(after, sources[1]),
        "cautions": told.cautions,
        "counts": {kind.value: len(told.of(kind)) for kind in Kind} | {"fine": told.fine},
        "places": {
            "new": sum(max(place.after - place.before, 0) for place in places),
            "fixed": sum(max(place.before - place.after, 0) for place in places),
            "unchanged": sum(min(place.before, place.after) for place in places),
        },
        "findings": _COMPARISON.dump_python(told, mode="json")["findings"],
        "metrics": [_metric(pair) for pair in metric_pairs(before, after)],
        "subject": _apart(subject_apart(before, after)),
        "settings": _apart(settings_apart(before, after)),
        "environment": _apart(environment_apart(before, after)),
    }
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _side(record: AuditRecord, source: str) -> dict[str, Any]:
    file, known = record.subject.checkpoint, identity_of(record.subject)
    return {
        "source": clean_text(source, 4096),
        "started": record.volatile.started,
        "verdict": record.verdict,
        "name": known.name,
        "factory": known.factory,
        "task": known.task,
        "checkpoint": None if file is None else {"path": file.path, "sha256": file.sha256},
    }


def _metric(pair: MetricPair) -> dict[str, Any]:
    sides = [
        None if one is None else {key: told[key] for key in ("value", "low", "high")}
        for one in (pair.before, pair.after)
        for told in [_METRIC.dump_python(one, mode="json") if one is not None else {}]
    ]
    return {
        "check": pair.check,
        "name": pair.name,
        "unit": pair.unit,
        "before": sides[0],
        "after": sides[1],
        "difference": pair.difference,
        "apart": pair.apart,
    }


def _apart(rows: tuple[Difference, ...]) -> list[dict[str, Any]]:
    return [{"what": row.what, "before": row.before, "after": row.after} for row in rows]
