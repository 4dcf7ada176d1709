"""The settings of training, each with where it is known from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from auditor.core.request import Capability, Request
from auditor.core.values import Number

Plain: TypeAlias = "str | int | float | bool | tuple[float, ...] | None"


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that an optimizer treats alike, by `values` as it names them ("lr", "betas").

    `parameters` names them, empty where it can't be told which they are; `count` is how many.
    """

    values: Mapping[str, Plain]
    parameters: tuple[str, ...]
    count: int

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a setting as a number, `default` where it is none."""
        value = self.values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return float(value)


@dataclass(frozen=True)
class Settings:
    """What training was done with, as the spec declares it or the checkpoint tells.

    `optimizer` is the class's name, empty where unknown. `groups` are its parameter groups as they
    stand at the end of training: "lr" is the last rate, "initial_lr" the first where there was a
    schedule; of an optimizer that is declared alone there is one group. `steps` counts the updates
    in the optimizer's state, `per_epoch` those of one epoch by the training loader. `schedule` is
    the class's name or the user's words, "none" where it is known that there was none, empty where
    it is not known; `schedule_state` are the plain values of its saved state. What is not known is
    None. `sources` tells of each field that is known where from, for people ("the spec").
    """

    optimizer: str = ""
    groups: tuple[ParameterGroup, ...] = ()
    steps: Number | None = None
    per_epoch: int = 0
    batch_size: int | None = None
    epochs: Number | None = None
    clip_norm: Number | None = None
    schedule: str = ""
    schedule_state: Mapping[str, Plain] | None = None
    sources: Mapping[str, str] | None = None

    def source(self, field: str) -> str:
        """Return where a field is known from, empty where it is not known."""
        return (self.sources or {}).get(field, "")

    @property
    def updates(self) -> float | None:
        """Return how many updates were made, by the state or by the epochs; None if unknown."""
        if self.steps is not None:
            return float(self.steps)
        if self.epochs is not None and self.per_epoch:
            return float(self.epochs) * self.per_epoch
        return None


@dataclass(frozen=True)
class SettingsOf(Request[Settings]):
    """Asks for the settings of training."""

    answer: ClassVar = Settings
    requires: ClassVar[frozenset[Capability]] = frozenset()
