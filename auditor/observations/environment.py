"""What is recorded of the environment that the model was trained in, and the present one."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Request


@dataclass(frozen=True)
class Evidence:
    """One fact found: what it tells ("torch"), its value, and where it stands."""

    item: str
    value: str
    where: str


@dataclass(frozen=True)
class EnvironmentEvidence:
    """Everything found in the checkpoint and beside it; `looked_at` names the places searched."""

    found: tuple[Evidence, ...]
    looked_at: tuple[str, ...]


@dataclass(frozen=True)
class EnvironmentEvidenceOf(Request[EnvironmentEvidence]):
    """Asks what is recorded of the training environment."""

    answer: ClassVar = EnvironmentEvidence
    requires: ClassVar[frozenset[Capability]] = frozenset({"weights"})


@dataclass(frozen=True)
class Environment:
    """What this audit runs with, item by item: an allow-list, see `intake/surroundings.py`."""

    facts: dict[str, str]


@dataclass(frozen=True)
class EnvironmentNow(Request[Environment]):
    """Asks what the audit itself runs with."""

    answer: ClassVar = Environment
