"""Random generators and other state that seeding does not reach: found, read and put back."""

import inspect
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from auditor.intake.sources import is_library

Seeding = Literal["seeded", "unseeded", "unknown"]

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

METHODS = ("__getitem__", "__iter__", "__next__", "__call__", "forward")
"""Methods whose globals and closures are looked through."""

DEEPEST = 5
MOST = 2_000
"""Objects that are looked through."""
WIDEST = 100
"""Entries of one of them."""

FROM_THE_SYSTEM = 1 << 96
"""Entropy that numpy draws where no seed is given has 128 bits; nobody writes such a seed."""

_GLOBAL = frozenset({id(torch.default_generator), id(np.random.mtrand._rand)})

_OPAQUE = (torch.Tensor, np.ndarray, str, bytes, type, ModuleType)


def read(value: Any) -> Any:
    """Return the state of a generator, a number, or the size of a container; None of others."""
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return repr(value.get_state(legacy=False))
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | dict | set):
        return len(value), [one for one in value if isinstance(one, int | float)][:MOST]
    return repr(value) if isinstance(value, itertools.count) else None


def seeding(generator: Any) -> Seeding:
    """Return whether somebody gave a generator its seed, as far as it tells."""
    if isinstance(generator, torch.Generator):
        usual = torch.Generator().initial_seed()
        return "seeded" if generator.initial_seed() in range(usual + 1) else "unknown"
    if isinstance(generator, np.random.Generator | np.random.RandomState):
        old = isinstance(generator, np.random.RandomState)
        bits = getattr(generator, "_bit_generator" if old else "bit_generator")
        sequence = getattr(bits, "seed_seq", None)
        if sequence is None:  # as the old way of seeding leaves it
            return "seeded" if old else "unknown"
        entropy = sequence.entropy
        system = isinstance(entropy, int) and entropy >= FROM_THE_SYSTEM
        return "unseeded" if system else "seeded"
    return "unknown"


class Kept:
    """The generators and numbers found below an owner, as they were, to be compared again."""

    def __init__(self, owner: Any) -> None:
        found = list(_walk(owner))
        self.generators = {path: v for path, v in found if isinstance(v, GENERATORS)}
        self._owner = owner
        self._numbers = {path: v for path, v in found if not isinstance(v, GENERATORS)}
        self._states = {path: _state(one) for path, one in self.generators.items()}
        self._read = {path: read(one) for path, one in self.generators.items()}

    def used(self) -> dict[str, Any]:
        """Return the generators that were drawn from since."""
        drawn = {path: read(one) != self._read[path] for path, one in self.generators.items()}
        return {path: one for path, one in self.generators.items() if drawn[path]}

    def counted(self) -> list[str]:
        """Return the names of numbers that have changed since."""
        now = dict(_walk(self._owner))
        return [path for path, was in self._numbers.items() if now.get(path, was) != was]

    def put_back(self) -> None:
        """Put the generators back as they were."""
        for path, generator in self.generators.items():
            _set_state(generator, self._states[path])


def outside_of(model: nn.Module) -> dict[str, Any]:
    """Return what the code of a model's own layers keeps outside of them, by name: its state.

    These are generators, numbers and containers in globals and closures of `forward`, and numbers
    of the classes.
    """
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(type(module) for module in model.modules()):
        if is_library(kind):
            continue
        for name, value in vars(kind).items():
            if isinstance(value, GENERATORS) or (type(value) in (int, float) and name[:2] != "__"):
                found[f"{kind.__name__}.{name}"] = read(value)
        forward = vars(kind).get("forward")
        if isinstance(forward, FunctionType):
            found |= {name: read(value) for name, value in outside(forward).items()}
    return {name: state for name, state in found.items() if state is not None}


def outside(function: Callable[..., Any], deeper: int = 1) -> dict[str, Any]:
    """Return the globals and closed-over variables that a function of the user's names."""
    function = inspect.unwrap(getattr(function, "func", function))
    if not isinstance(function, FunctionType) or is_library(function):
        return {}
    names = inspect.getclosurevars(function)
    found = dict(names.nonlocals)
    for name, value in names.globals.items():
        if isinstance(value, FunctionType) and deeper:
            found |= outside(value, deeper - 1)
        else:
            found[f"{function.__module__}.{name}"] = value
    return found


def _walk(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield the generators and plain numbers below an owner, by the path that leads there."""
    seen: set[int] = set()
    queue: deque[tuple[str, Any, int]] = deque([("", owner, 0)])
    while queue and len(seen) < MOST:
        path, value, depth = queue.popleft()
        if id(value) in seen or depth > DEEPEST:
            continue
        seen.add(id(value))
        for name, inner in _inside(value, path):
            if isinstance(inner, GENERATORS):
                if id(inner) not in _GLOBAL:
                    yield name, inner
            elif type(inner) in (int, float, bool):
                yield name, inner
            elif not isinstance(inner, _OPAQUE) and inner is not None:
                queue.append((name, inner, depth + 1))


def _inside(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield what an object holds: its attributes, what a container holds, what its code names."""
    if isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", inner) for key, inner in _some(value.items()))
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{place}]", inner) for place, inner in _some(enumerate(value)))
    elif isinstance(value, FunctionType):
        yield from outside(value).items()
    elif hasattr(value, "__dict__"):
        start = f"{path}." if path else ""
        yield from ((f"{start}{name}", inner) for name, inner in _some(vars(value).items()))
        for method in METHODS:
            code = getattr(type(value), method, None)
            if isinstance(code, FunctionType):
                yield from outside(code).items()


def _some(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    return list(itertools.islice(pairs, WIDEST))


def _state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if isinstance(generator, np.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, np.random.RandomState | torch.Generator):
        generator.set_state(state)
    else:
        generator.setstate(state)
