"""How the metrics of a subject went from audit to audit."""

from itertools import islice

from auditor.core.finding import Metric
from auditor.core.fingerprint import identity_of
from auditor.core.glance import Glance
from auditor.core.key_metrics import key_metrics
from auditor.core.past import Past, PastAudit, Trend
from auditor.core.record import AuditRecord
from auditor.core.verdict import Verdict
from auditor.history.entry import id_of, point_of
from auditor.history.history import About, History

MOST_AUDITS = 12
FEWEST_POINTS = 3
"""Audits that a metric must be measured by before it has a trend."""
MOST_TRENDS = 24


def past_of(record: AuditRecord, history: History) -> Past:
    """Return the last audits of the record's subject, the record's own the last.

    Followed are the key metrics, and those with a limit of checks that fail or give a warning.

    Raises:
        HistoryError: the history can't be read.
    """
    identity, own = identity_of(record.subject), id_of(record)
    about = About(
        name=identity.name,
        factory=identity.factory,
        task=identity.task,
        before=record.volatile.started,
        besides=own,
    )
    earlier = [*islice(history.entries(about), MOST_AUDITS - 1)][::-1]
    measures = [history.measures(entry.id) for entry in earlier]
    trends = []
    for check, metric in _followed(record):
        points = (*(seen.get((check, metric.name)) for seen in measures), point_of(metric))
        if sum(point is not None for point in points) >= FEWEST_POINTS:
            trends.append(Trend(check, metric.name, metric.unit, points, metric.limit))
    return Past(
        audits=(
            *(_audit(entry.id, entry.glance) for entry in earlier),
            PastAudit(own, record.volatile.started, record.verdict),
        ),
        trends=tuple(trends[:MOST_TRENDS]),
    )


def _audit(id_: str, glance: Glance) -> PastAudit:
    return PastAudit(id_, glance.volatile.started, glance.verdict)


def _followed(record: AuditRecord) -> list[tuple[str, Metric]]:
    found = {
        (check, metric.name): (check, metric) for check, metric in key_metrics(record.findings)
    }
    for finding in record.findings:
        if finding.verdict in {Verdict.FAIL, Verdict.WARN} and finding.waived is None:
            for metric in finding.metrics:
                if metric.limit is not None:
                    found.setdefault((finding.check, metric.name), (finding.check, metric))
    return list(found.values())
