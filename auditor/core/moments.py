"""When something was, from the text that says it."""

from datetime import UTC, datetime


def moment_of(text: str, otherwise: datetime) -> datetime:
    """Return an ISO 8601 moment, one without a zone as universal time; else `otherwise`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
