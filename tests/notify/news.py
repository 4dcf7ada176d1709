"""News of an audit of a model whose names are hostile."""

from auditor.core.changes import Change, Kind
from auditor.core.glance import Spot
from auditor.core.verdict import Verdict
from auditor.notify.news import News

HOSTILE = "net\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>\u202e"


def news(**changed) -> News:
    values = {
        "name": "digits",
        "before": Verdict.PASS,
        "after": Verdict.FAIL,
        "changes": (
            Change(Kind.NEW, "dead-units", "Units are dead", (Spot("layer", "features.3"),)),
            Change(Kind.FIXED, "label-noise", "Labels look right"),
        ),
        "counts": ((Verdict.PASS, 40), (Verdict.FAIL, 1)),
        "started": "2026-11-27T02:00:00+00:00",
        "report": "/models/digits/audit-report/2026-11-27T0200Z/report.html",
    }
    return News(**(values | changed))
