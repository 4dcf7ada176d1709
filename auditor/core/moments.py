"""When something was, from the text that says it."""

from datetime import UTC, datetime

from auditor.core.record import AuditRecord


def moment_of(text: str, otherwise: datetime) -> datetime:
    """Return an ISO 8601 moment, one without a zone as universal time; else `otherwise`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def began_at(record: AuditRecord) -> datetime:
    """Return when the audit began, in universal time; a date of no meaning where it is unknown."""
    unknown = datetime(1970, 1, 1, tzinfo=UTC)
    try:
        return moment_of(record.volatile.started, unknown).astimezone(UTC)
    except OverflowError:  # at the very ends of the calendar
        return unknown
