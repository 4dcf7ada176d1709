"""The catalogue, a plan, the history and a checkpoint as JSON, for programs."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from auditor.core.check import SECTIONS, Check
from auditor.core.text import clean_text
from auditor.engine.plan import Plan
from auditor.history.listing import Line
from auditor.intake.inspection import Inspection, Weights


def checks_json(checks: Iterable[Check]) -> str:
    """Return what each check is and finds, with its limits."""
    return _text(
        [
            {
                "id": check.id,
                "section": check.section,
                "title": check.title,
                "failure_title": check.failure_title,
                "finds": check.finds,
                "limits": {name: asdict(limit) for name, limit in check.limits.items()},
            }
            for check in checks
        ]
    )


def plan_json(plan: Plan, sections: Mapping[str, Plan]) -> str:
    """Return the work with its passes, what each section costs alone, and what is left out.

    `sections` are the plans of each section's checks alone, by its title.
    """
    return _text(
        {
            "work": [asdict(line) for line in plan.lines()],
            "all": _cost(plan),
            "sections": {id_: _cost(sections[t]) for id_, t in SECTIONS.items() if t in sections},
            "unavailable": {
                request.key: clean_text(answer.reason)
                for request, answer in plan.unavailable.items()
            },
        }
    )


def history_json(shown: str, lines: Iterable[Line]) -> str:
    """Return the audits of the history that is kept where `shown` says, the newest first."""
    return _text({"schema_version": 1, "history": shown, "audits": [_kept(line) for line in lines]})


def inspection_json(seen: Inspection) -> str:
    """Return what stands in a checkpoint: all of it but the values of its tensors."""
    return _text(
        {
            "schema_version": 1,
            "path": clean_text(seen.path),
            "container": clean_text(seen.container),
            "bytes": seen.bytes,
            "sha256": seen.sha256,
            "files": [
                {"name": clean_text(file.name), "bytes": file.bytes, "sha256": file.sha256}
                for file in seen.files
            ],
            "weights": {**_state_dict(seen.chosen), "tensors": _tensors(seen.chosen)},
            "other_weights": [
                {**_state_dict(other), "tensors": len(other.tensors)} for other in seen.others
            ],
            "optimizers": [
                {
                    "key": clean_text(one.key),
                    "classes": one.classes,
                    "groups": one.groups,
                    "settings": [list(setting) for setting in one.settings],
                    "keeps": one.slots,
                }
                for one in seen.optimizers
            ],
            "training": [
                {"name": one.name, "value": _plain(one.value), "source": clean_text(one.source)}
                for one in seen.settings
            ],
            "extras": dict(seen.extras),
            "beside": seen.beside,
            "classes": seen.classes,
            "notes": [clean_text(note, 400) for note in seen.notes],
        }
    )


def _state_dict(weights: Weights) -> dict[str, Any]:
    return {
        "key": clean_text(weights.key),
        "averaged": weights.averaged,
        "parameters": weights.values,
        "bytes": weights.bytes,
    }


def _tensors(weights: Weights) -> list[dict[str, Any]]:
    return [
        {
            "name": clean_text(tensor.name),
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "bytes": tensor.bytes,
        }
        for tensor in weights.tensors
    ]


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it; what JSON has no sign for is text."""
    if isinstance(value, dict):
        return {clean_text(name, 80): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    plain = value is None or isinstance(value, bool | int | float)
    return value if plain else clean_text(value)


def _kept(line: Line) -> dict[str, Any]:
    entry = line.entry
    glance, file = entry.glance, entry.glance.subject.checkpoint
    live = Counter(one.verdict.value for one in glance.outcomes if one.waived is None)
    return {
        "id": entry.id,
        **asdict(entry.identity),
        "started": glance.volatile.started,
        "verdict": glance.verdict,
        "findings": dict(sorted(live.items())),
        "waived": sum(one.waived is not None for one in glance.outcomes),
        "only": entry.only,
        "accepted": entry.accepted,
        "accepted_by_hand": entry.by_hand,
        "checkpoint": None if file is None else asdict(file),
        "before": None if line.before is None else line.before.id,
        "changes": [asdict(change) for change in line.changes],
    }


def _cost(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan.cost), "at_most": plan.at_most}


def _text(value: Any) -> str:
    return json.dumps(value, indent=2)
