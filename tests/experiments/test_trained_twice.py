"""Hidden generators, and what two runs of training tell of them."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Cost
from auditor.engine.perform import perform
from auditor.engine.plan import plan_of
from auditor.experiments.hidden import Kept, outside, outside_of, seeding
from auditor.experiments.trained_twice import fresh_twice
from auditor.observations.trained_twice import TrainedTwice, TrainedTwiceOver
from tests.awkward import BY_NAME, TABLE, Awkward, mlp, subject_of, vectors

OWN = np.random.default_rng(1)


def entropic() -> torch.Generator:
    made = torch.Generator()
    made.seed()
    return made


@pytest.mark.parametrize(
    ("generator", "told"),
    [
        (np.random.default_rng(), "unseeded"),
        (np.random.default_rng(0), "seeded"),
        (np.random.default_rng([1, 2, 3]), "seeded"),
        (np.random.RandomState(), "unseeded"),
        (np.random.RandomState(5), "seeded"),
        (torch.Generator(), "seeded"),
        (torch.Generator().manual_seed(1234), "seeded"),
        (entropic(), "unknown"),
        (random.Random(3), "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_whether_a_generator_was_seeded(generator: Any, told: str) -> None:
    assert seeding(generator) == told


class Holder:
    def __init__(self, **held: Any) -> None:
        vars(self).update(held)

    def __getitem__(self, place: int) -> float:
        return float(OWN.normal()) + place


def test_generators_are_found_compared_and_put_back() -> None:
    rng, inner = random.Random(1), np.random.default_rng(2)
    loader = Holder(dataset=Holder(transforms=[Holder(rng=inner)]), rng=rng, epoch=3)
    kept = Kept(loader)
    assert set(kept.generators) == {
        "rng",
        "dataset.transforms[0].rng",
        "tests.experiments.test_trained_twice.OWN",
    }
    assert kept.used() == {}
    before = rng.random(), inner.normal()
    loader.epoch = 4
    assert set(kept.used()) == {"rng", "dataset.transforms[0].rng"}
    assert kept.counted() == ["epoch"]
    kept.put_back()
    assert (rng.random(), inner.normal()) == before


def test_a_loop_of_objects_ends_and_global_generators_are_left_out() -> None:
    one = Holder(generator=torch.default_generator, state=np.random.mtrand._rand)
    one.me = one
    assert set(Kept(one).generators) == {"tests.experiments.test_trained_twice.OWN"}


def test_what_a_function_names_outside() -> None:
    inner = np.random.default_rng(0)

    def helper() -> float:
        return float(OWN.normal())

    def build() -> Any:
        return inner, helper

    assert outside(build)["inner"] is inner
    assert f"{__name__}.mlp" not in outside(torch.nn.Linear.forward)
    assert outside(len) == {}


def test_what_layers_keep_in_their_class() -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Counting.calls += 1
            return super().forward(x)

    model = Counting(2, 2)
    before = outside_of(model)
    model(torch.zeros(1, 2))
    after = outside_of(model)
    assert [n for n in after if after[n] != before[n]] == ["Counting.calls"]
    assert outside_of(mlp()) == {}


def test_fresh_models_are_compared_in_all_that_they_hold() -> None:
    def build(spread: float = 0.0, generator: Any = None) -> nn.Module:
        torch.manual_seed(0)
        model = mlp()
        model.table = torch.full((3,), 1.0 + spread)
        model.array = np.full(3, 1.0)
        model.generator = generator
        model.born = spread  # a plain number is no part of what is compared
        return model

    subject = subject_of(build(), vectors(), "cross_entropy")
    same = fresh_twice(subject, build(), build())
    assert (same.count, same.apart) == (0, 0.0)
    assert same.compared == 8
    apart = fresh_twice(subject, build(), build(0.5))
    assert apart.differing == ("table",)
    assert apart.apart == pytest.approx(0.5)
    drawn = fresh_twice(subject, build(generator=entropic()), build(generator=entropic()))
    assert drawn.differing == ("generator",)
    assert drawn.apart == np.inf


@pytest.mark.parametrize("case", [*TABLE[::3], BY_NAME["sparse"]], ids=str)
def test_awkward_models_come_out_the_same_twice(case: Awkward) -> None:
    subject = case.subject()
    request = TrainedTwiceOver(3)
    ((_, found),) = perform(plan_of([request], subject.facts).work[0], subject)
    if not isinstance(found, TrainedTwice):
        assert "sparse" in found.reason
        return
    assert found.factory.count == 0
    assert found.loader.verdict == "alike"
    assert np.array_equal(found.losses[0], found.losses[1], equal_nan=True)
    assert found.weights == 0
    assert bool(found.missing) == (not case.trains and not found.losses.size)


def test_what_it_costs_is_announced() -> None:
    assert TrainedTwiceOver(8).cost({"train": 5}) == Cost(32, 32)
    assert TrainedTwiceOver(8).looked_at({"train": 5}) == {"train": 8}
