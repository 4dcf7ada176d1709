"""The data of an audit, split by split, beside what is recorded of the data of training."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Request, Split
from auditor.core.subject import SplitFacts


@dataclass(frozen=True)
class RecordedSplit:
    """What a recording of the training tells of a split; `examples` is None where it does not."""

    fingerprint: str
    examples: int | None
    complete: bool


@dataclass(frozen=True)
class SplitsSeen:
    """The splits as the intake read them.

    `recorded` is what the file `source`, written while the model was trained, tells of the data of
    training. `torch` is the version that drew what the loaders draw at random, from the `seed`, and
    `checkpoint` the SHA-256 of the checkpoint's file, empty where there is none.
    """

    data: dict[Split, SplitFacts]
    torch: str = ""
    checkpoint: str = ""
    recorded: dict[Split, RecordedSplit] | None = None
    source: str = ""
    seed: int = 0


@dataclass(frozen=True)
class SplitsOf(Request[SplitsSeen]):
    """Asks what the intake read of the data."""

    answer: ClassVar = SplitsSeen
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
