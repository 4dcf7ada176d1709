"""A fault that can be planted in healthy models."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.detection.recipe import Recipe, Subject

UNNAMED = ("bias-missing",)
"""Causes that no rule of the audit names yet: cases of them count as missed."""

Group = Literal["data", "model", "loss", "training", "weights"]


@dataclass(frozen=True)
class Planted:
    """A healthy recipe with a fault in it.

    `after` damages the trained model. `places` are patterns of the names that a finding may give
    as the place of the fault; without any there is no one place.
    """

    recipe: Recipe
    places: tuple[str, ...] = ()
    after: Callable[[Subject], None] | None = None

    def trained(self, seed: int) -> Subject:
        """Train the faulty model, and damage it where the fault comes after training."""
        subject = self.recipe.trained(seed)
        if self.after is not None:
            self.after(subject)
        return subject


Plant = Callable[[Recipe, int], Planted]


@dataclass(frozen=True)
class Fault:
    """One way to spoil a model, the families that it is planted in, and the causes that are right.

    `hides` says why the metric does not show the fault, where that is its nature.
    """

    id: str
    group: Group
    causes: tuple[str, ...]
    families: tuple[str, ...]
    plant: Plant
    hides: str = ""


def fault(
    group: Group, causes: tuple[str, ...], families: tuple[str, ...], hides: str = ""
) -> Callable[[Plant], Fault]:
    """Make a fault of a function that plants it; its name is the fault's."""

    def made(plant: Plant) -> Fault:
        return Fault(plant.__name__.replace("_", "-"), group, causes, families, plant, hides)

    return made
