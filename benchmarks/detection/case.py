"""What is audited: healthy models, and faulty ones beside their healthy twins."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType

from benchmarks.detection.faults import FAULTS
from benchmarks.detection.posts import POSTS
from benchmarks.detection.recipe import Subject
from benchmarks.detection.zoo import ZOO

SEEDS = (0, 1)
HEALTHY_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Case:
    """One model to audit: `kind` is `healthy`, `fixed`, `post`, or the group of a planted fault.

    A faulty one has the `causes` that are right, and `twin` names its healthy twin.
    """

    id: str
    seed: int
    kind: str
    make: Callable[[], Subject]
    twin: str = ""
    causes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    hides: str = ""


@cache
def cases() -> Mapping[str, Case]:
    """Return every case by its id, healthy ones first."""
    every = [*_healthy(), *_planted(), *_posted()]
    return MappingProxyType({case.id: case for case in every})


def with_twins(chosen: Collection[Case]) -> list[Case]:
    """Return the cases and the healthy twins that they are held against, each once."""
    wanted = {case.id for case in chosen} | {case.twin for case in chosen}
    return [case for case in cases().values() if case.id in wanted]


def _healthy() -> list[Case]:
    return [
        Case(f"healthy/{name}/{seed}", seed, "healthy", partial(recipe.trained, seed))
        for name, recipe in ZOO.items()
        for seed in HEALTHY_SEEDS
    ]


def _planted() -> list[Case]:
    made = []
    for fault in FAULTS.values():
        for family in fault.families:
            for seed in SEEDS:
                planted = fault.plant(ZOO[family], seed)
                made.append(
                    Case(
                        id=f"planted/{fault.id}/{family}/{seed}",
                        seed=seed,
                        kind=fault.group,
                        make=partial(planted.trained, seed),
                        twin=f"healthy/{family}/{seed}",
                        causes=fault.causes,
                        places=planted.places,
                        hides=fault.hides,
                    )
                )
    return made


def _posted() -> list[Case]:
    made = []
    for post in POSTS.values():
        for seed in SEEDS:
            fixed = f"fixed/{post.id}/{seed}"
            made += [
                Case(fixed, seed, "fixed", partial(post.fixed.trained, seed)),
                Case(
                    id=f"post/{post.id}/{seed}",
                    seed=seed,
                    kind="post",
                    make=partial(post.faulty.trained, seed),
                    twin=fixed,
                    causes=post.causes,
                    places=post.places,
                    hides=post.hides,
                ),
            ]
    return made
