"""A program of a real post, written anew: as it was asked about, and as it was answered."""

from dataclasses import dataclass

from benchmarks.detection.recipe import Recipe


@dataclass(frozen=True)
class Post:
    """A faulty program, its fixed twin, and the causes that are right.

    `id` is the case's name in the collections that report it. `places` are patterns of the names
    that a finding may give as the place of the fault. `hides` says why the metric does not show
    it, where that is its nature.
    """

    id: str
    causes: tuple[str, ...]
    faulty: Recipe
    fixed: Recipe
    places: tuple[str, ...] = ()
    hides: str = ""
