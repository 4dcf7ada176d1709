"""The catalogue and a plan as JSON, for programs."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from auditor.core.check import SECTIONS, Check
from auditor.core.text import clean_text
from auditor.engine.plan import Plan


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


def _cost(plan: Plan) -> dict[str, Any]:
    return {**asdict(plan.cost), "at_most": plan.at_most}


def _text(value: Any) -> str:
    return json.dumps(value, indent=2)
