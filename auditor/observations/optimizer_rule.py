"""What a rule on the settings of an optimizer is, and what it is given to look at."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from auditor.observations.settings import ParameterGroup, Plain

Level = Literal["info", "suspect", "broken"]

ADAM = frozenset({"Adam", "AdamW", "NAdam", "RAdam"})
ADAPTIVE = ADAM | {"Adamax", "RMSprop", "Adagrad", "Adadelta", "SparseAdam"}
BETAS = ADAM | {"Adamax", "SparseAdam"}
COUPLED = frozenset({"Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"})
"""Optimizers that add the decay to the gradient, unless told to keep it apart."""

APART = frozenset({"AdamW", "Muon", "Adafactor"})
"""Optimizers that take the decay off the weights themselves."""

EVERY = frozenset[str]()
"""Stands for optimizers of every kind."""

KINGMA = "Kingma & Ba 2015, Adam"
REDDI = "Reddi et al. 2018, On the Convergence of Adam and Beyond"
LOSHCHILOV = "Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization"
SUTSKEVER = "Sutskever et al. 2013, On the importance of initialization and momentum"


@dataclass(frozen=True)
class Known:
    """A group's settings and what is known beside them.

    `updates` counts the steps of the whole training, None where it is not known; `per_epoch` those
    of one epoch, 0 where not known. `least` is the smallest positive number of the type that the
    parameters have.
    """

    optimizer: str
    values: Mapping[str, Plain]
    updates: float | None = None
    per_epoch: int = 0
    least: float = 0.0

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a setting as a number, `default` where it is none."""
        return ParameterGroup(self.values, (), 0).number(name, default)

    @property
    def rate(self) -> float:
        """Return the learning rate that training began with."""
        return self.number("initial_lr", self.number("lr", math.nan))

    @property
    def betas(self) -> tuple[float, float]:
        """Return the first two decay rates of Adam's moments, its usual ones where not given."""
        betas = self.values.get("betas")
        if isinstance(betas, tuple) and len(betas) >= 2:
            return float(betas[0]), float(betas[1])
        return 0.9, 0.999

    @property
    def coupled(self) -> bool:
        """Tell whether weight decay goes through the moments."""
        return self.optimizer in COUPLED and not self.values.get("decoupled_weight_decay")

    @property
    def reach(self) -> float:
        """Return the rate at which a steady gradient moves the weights: lr / (1 - momentum)."""
        momentum = self.number("momentum")
        if self.optimizer == "SGD" and 0 <= momentum < 1:
            return self.rate * (1 - min(self.number("dampening"), 1)) / (1 - momentum)
        return self.rate

    @property
    def forgetting(self) -> float:
        """Return after how many steps decay alone takes 63 % off a weight; infinite without."""
        decay = self.number("weight_decay")
        apart = self.optimizer in APART or self.values.get("decoupled_weight_decay") is True
        if not (apart or self.optimizer == "SGD"):
            return math.inf  # it goes through the moments, or it is not known how it goes
        return 1 / (self.reach * decay) if self.reach * decay > 0 else math.inf


@dataclass(frozen=True)
class Rule:
    """What a setting should not be; `mend` is put in its place for a trial.

    A rate is mended by a search. `says` may name {value}, {updates}, {forgetting} and {memory}.
    """

    setting: str
    level: Level
    kinds: frozenset[str]
    test: Callable[[Known], bool]
    says: str
    advised: str
    source: str
    mend: Mapping[str, Plain] = field(default_factory=dict)


def beyond(name: str, low: float, high: float = math.inf) -> Callable[[Known], bool]:
    """Return a test of whether a number is given and lies in [low, high)."""
    return lambda k: name in k.values and low <= k.number(name) < high
