"""A thing that a check has to say, where it gathers several of them."""

from dataclasses import dataclass

from auditor.core.finding import Place
from auditor.core.verdict import Verdict


@dataclass(frozen=True)
class Said:
    """One thing that is wrong, or worth telling."""

    verdict: Verdict
    text: str
    where: tuple[Place, ...] = ()
    advice: str = ""
