"""Seeds set for a stretch of work, and nothing of it left behind."""

import random

import numpy as np
import pytest
import torch

from auditor.intake.seeding import RandomState, reseed, rng_kept, seeded


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_seed_gives_what_each_library_gives_for_it() -> None:
    with rng_kept():
        reseed(7)
        mine = drawn()
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        assert drawn() == mine


def test_nothing_is_queued_for_devices_that_are_not_started(monkeypatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("a device was given a seed that it will take up later")

    for device in (torch.cuda, torch.xpu, torch.mps):
        monkeypatch.setattr(device, "manual_seed", refuse)
    for device in (torch.cuda, torch.xpu):
        monkeypatch.setattr(device, "manual_seed_all", refuse)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with rng_kept():
        reseed(7)
    with pytest.raises(pytest.fail.Exception):
        torch.manual_seed(torch.initial_seed())


def test_the_generators_come_back_as_they_were() -> None:
    with rng_kept():
        reseed(1)
        with seeded(2):
            drawn()
        after = drawn()
        reseed(1)
        assert drawn() == after


def test_a_state_of_ones_own_goes_on_where_it_stopped() -> None:
    state = RandomState(3)
    with state:
        first = drawn()
    random.random()
    with state:
        second = drawn()
    with seeded(3):
        assert (first, second) == (drawn(), drawn())
