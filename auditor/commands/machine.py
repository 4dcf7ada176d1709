"""The catalogue, a plan and the history as JSON, for programs."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from auditor.core.check import SECTIONS, Check
from auditor.core.text import clean_text
from auditor.engine.plan import Plan
from auditor.history.listing import Line


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
    return json.dumps(value, indent=2, allow_nan=False)
