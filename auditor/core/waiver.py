"""What became of a waiver in an audit."""

from dataclasses import dataclass
from enum import StrEnum

from auditor.core.text import clean_text, counted


class WaiverState(StrEnum):
    """Whether a waiver holds, the most urgent first."""

    EXPIRED = "expired"
    UNMATCHED = "unmatched"
    """Nothing that its check found lies where it covers."""
    ENDING = "ending"
    """It holds, but not for long."""
    HOLDS = "holds"
    IDLE = "idle"
    """Its check gave no verdict in this audit, or did not run."""


@dataclass(frozen=True)
class Waiver:
    """A waiver of the spec and what it met: `places` of findings, "" for the model as a whole.

    Of one that has expired, `places` are those that count again for it. `until` is its last day
    as ISO 8601 writes it, empty where it has no end.
    """

    check: str
    where: str
    reason: str
    until: str
    state: WaiverState
    places: tuple[str, ...] = ()

    @property
    def said(self) -> str:
        """Return in a sentence what became of it."""
        covers = f"covers {counted(len(self.places), 'place')}"
        if self.places == ("",):
            covers = "covers the finding"
        match self.state:
            case WaiverState.EXPIRED if self.places:
                return f"Expired on {self.until}: what it covered counts again."
            case WaiverState.EXPIRED:
                return f"Expired on {self.until}; nothing counts again for it, so remove it."
            case WaiverState.UNMATCHED:
                return "Covers nothing in this audit: remove it, or mend the place it names."
            case WaiverState.ENDING:
                return f"{covers.capitalize()}, and ends on {self.until}: mend it, or renew it."
            case WaiverState.HOLDS:
                end = f"until {self.until}" if self.until else "without an end"
                return f"{covers.capitalize()} {end}."
            case WaiverState.IDLE:
                return "Its check gave no verdict in this audit."

    @property
    def warning(self) -> str:
        """Return the same as it reads among the warnings of an audit."""
        check, where = clean_text(self.check, 60), clean_text(self.where, 60)
        return f"The waiver for {check!r} at {where!r}: {self.said[0].lower()}{self.said[1:]}"

    @property
    def urgent(self) -> bool:
        """Tell whether somebody has to do something about it."""
        return self.state in (WaiverState.EXPIRED, WaiverState.UNMATCHED, WaiverState.ENDING)
