"""What of a checkpoint and its model does not fit together, and was allowed not to."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.request import Capability, Request


@dataclass(frozen=True)
class Unfit:
    """A tensor that was left out: its name, whether it is a parameter, and how many values it has.

    `why` is "missing" or "misshapen" for one of the model, which keeps what the factory gave it,
    and "unexpected" for one of the checkpoint.
    """

    name: str
    why: str
    parameter: bool
    values: int


@dataclass(frozen=True)
class LoadedWeights:
    """How a checkpoint was put into its model: `values` counts those of all its parameters."""

    tensors: int
    values: int
    unfit: tuple[Unfit, ...] = ()


@dataclass(frozen=True)
class LoadedWeightsOf(Request[LoadedWeights]):
    """How the checkpoint fits the model that the factory builds."""

    answer: ClassVar = LoadedWeights
    requires: ClassVar[frozenset[Capability]] = frozenset({"model", "weights"})
