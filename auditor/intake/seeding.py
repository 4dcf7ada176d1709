"""Random state: set for a stretch of work, and put back as it was."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derived_seed(seed: int, name: str) -> int:
    """Return a seed for the work called `name`, independent of all other names."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:7])


@contextmanager
def rng_kept() -> Iterator[None]:
    """Put the global generators of python, numpy and torch (CPU and CUDA) back afterwards."""
    state = _captured()
    try:
        yield
    finally:
        _restore(state)


def reseed(seed: int) -> None:
    """Seed the global generators of python, numpy and torch (CPU and CUDA).

    Unlike `torch.manual_seed` it queues nothing for devices that have not been started: those
    would be seeded in the caller's own time, and each queued seed costs a walk up the stack.
    """
    random.seed(seed)
    np.random.seed(seed % (1 << 32))
    torch.default_generator.manual_seed(seed)
    if _cuda_started():
        torch.cuda.manual_seed_all(seed)


def _cuda_started() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


def _captured() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if _cuda_started() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _restore(state: tuple[Any, ...]) -> None:
    python, numpy, cpu, cuda = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, and put them back afterwards."""
    with rng_kept():
        reseed(seed)
        yield


class RandomState:
    """Global random state of one's own: each `with` block goes on where the last one stopped."""

    def __init__(self, seed: int) -> None:
        with rng_kept():
            reseed(seed)
            self._inner = _captured()

    def __enter__(self) -> None:
        self._outer = _captured()
        _restore(self._inner)

    def __exit__(self, *_: object) -> None:
        self._inner = _captured()
        _restore(self._outer)


@contextmanager
def loader_state_kept(loader: Any) -> Iterator[None]:
    """Put a loader's own generators back afterwards, so that each pass starts alike.

    Workers that a pass would leave behind are ended, those of the caller's own pass kept.
    """
    batches = getattr(loader, "batch_sampler", None)
    inner = (getattr(loader, "sampler", None), getattr(batches, "sampler", None))
    owners = (loader, batches, *inner, getattr(loader, "dataset", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    states = {g: g.get_state() for g in found if isinstance(g, torch.Generator)}
    workers = getattr(loader, "_iterator", None)
    if workers is not None:
        loader._iterator = None
    try:
        yield
    finally:
        for generator, state in states.items():
            generator.set_state(state)
        left = getattr(loader, "_iterator", None)
        if left is not None:
            left._shutdown_workers()
            loader._iterator = None
        if workers is not None:
            loader._iterator = workers
