"""Every setting of training with every place that tells it, side by side."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request
from auditor.observations.settings import Plain

Kind = Literal["declared", "called", "state"]
"""By the spec or the caller; by what the script was called with; by what training left behind."""

SPEC = "the spec"
CHECKPOINT = "the checkpoint"


@dataclass(frozen=True)
class Stated:
    """A setting as one place tells it.

    `setting` is its name here: "lr", "epochs", "schedule.T_max", "model.width". `where` is the
    place for people, `file` the file or part of the spec that it is in. Of an optimizer's groups
    that differ there is one for each value.
    """

    setting: str
    value: Plain
    kind: Kind
    where: str
    file: str


@dataclass(frozen=True)
class SavedOptimizer:
    """The state of an optimizer: the classes of torch.optim that it can be of, by what it keeps.

    `kinds` are none where it is of no class of torch.optim, or tells too little. `slots` is what
    it keeps of each parameter, `ruled_out` the classes that never keep that. `cycled` tells that a
    schedule put rates and momentum of its own.
    """

    where: str
    file: str
    kinds: tuple[str, ...]
    slots: tuple[str, ...]
    ruled_out: tuple[str, ...] = ()
    cycled: bool = False


@dataclass(frozen=True)
class SettingSources:
    """What is told of training, and where was looked.

    `files` are the checkpoint and the files beside it that were searched, none without a
    checkpoint. `picked` names what tells that the checkpoint is the best of several, empty where
    nothing does. `examples` and `batches` are those of the training loader, 0 where not known.
    """

    told: tuple[Stated, ...]
    files: tuple[str, ...]
    optimizers: tuple[SavedOptimizer, ...] = ()
    picked: str = ""
    examples: int = 0
    batches: int = 0
    batch_size: int = 0

    def of(self, setting: str, *kinds: Kind) -> tuple[Stated, ...]:
        """Return who tells a setting, of these kinds, all where none is named."""
        return tuple(
            one for one in self.told if one.setting == setting and (not kinds or one.kind in kinds)
        )


@dataclass(frozen=True)
class SettingSourcesOf(Request[SettingSources]):
    """Asks who tells which setting of training."""

    answer: ClassVar = SettingSources
    requires: ClassVar[frozenset[Capability]] = frozenset()
