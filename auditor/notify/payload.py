"""News as JSON, for programs."""

import hashlib
import json
from typing import Any

from auditor.core.changes import Change
from auditor.core.text import clean_text
from auditor.notify.news import News

SCHEMA_VERSION = 1
MOST_CHANGES = 50
MOST_PLACES = 10


def payload(news: News) -> tuple[bytes, str]:
    """Return the body of a message and its id: the same for the same news, however often sent."""
    told: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "name": clean_text(news.name),
        "verdict": {
            "before": None if news.before is None else news.before.value,
            "after": news.after.value,
        },
        "counts": {verdict.value: count for verdict, count in news.counts},
        "changes": [_change(change) for change in news.changes[:MOST_CHANGES]],
        "changes_left_out": max(0, len(news.changes) - MOST_CHANGES),
        "report": clean_text(news.report, 4096),
        "started": clean_text(news.started, 60),
    }
    delivery = hashlib.sha256(json.dumps(told, allow_nan=False).encode("ascii")).hexdigest()[:32]
    return json.dumps({**told, "delivery": delivery}, allow_nan=False).encode("ascii"), delivery


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind.value,
        "check": clean_text(change.check, 120),
        "title": clean_text(change.title),
        "places": [
            {"kind": clean_text(spot.kind, 40), "name": clean_text(spot.name)}
            for spot in change.where[:MOST_PLACES]
        ],
        "places_left_out": max(0, len(change.where) - MOST_PLACES),
    }
