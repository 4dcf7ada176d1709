"""What an optimizer keeps of past gradients, parameter by parameter, in numbers."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request
from auditor.core.values import Number
from auditor.observations.settings import ParameterGroup

Role = Literal["weight", "bias", "norm", "embedding", "vector"]


@dataclass(frozen=True)
class Moments:
    """What is kept of one parameter; `name` is empty where it can't be told which it is.

    `step` counts its updates, NaN where no count is kept. `first` is the root mean square of the
    first moment (or of the momentum), `root` that of the root of the second, corrected as the
    optimizer corrects it for having begun at 0; each is NaN where it is not kept. `frozen` is the
    share of those entries whose root is not 0 for which `eps` is the larger of the two, NaN where
    there is no such entry. `lost` counts entries that are not finite, or squares below zero.
    `impossible` counts entries whose first moment is larger than any gradients with such squares
    can have made it; `longest` is the step that the worst of them makes, in learning rates.
    """

    name: str
    group: int
    size: int
    step: Number
    first: Number
    root: Number
    eps: Number
    frozen: Number
    lost: int
    impossible: int
    longest: Number


@dataclass(frozen=True)
class Held:
    """The moments of one optimizer; `where` is its key in the checkpoint, empty for one at hand."""

    where: str
    moments: tuple[Moments, ...]


@dataclass(frozen=True)
class OptimizerMoments:
    """All optimizers whose state is known, and the role of each trainable parameter, by name.

    `least` is the smallest positive number of the coarsest type that those have, 0 of none.
    `optimizer` and `groups` are the declared or saved one's class and settings, `source` where they
    are known from, all empty where they are not; a group without names is of all parameters.
    `conflicts` tells where the spec says other than the checkpoint.
    """

    optimizers: tuple[Held, ...]
    roles: tuple[tuple[str, Role], ...]
    least: Number
    optimizer: str = ""
    groups: tuple[ParameterGroup, ...] = ()
    source: str = ""
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class OptimizerMomentsOf(Request[OptimizerMoments]):
    """Asks for the moments that optimizers keep of the model's parameters."""

    answer: ClassVar = OptimizerMoments
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})
