"""Lending a model out and getting it back as it was, bit for bit."""

import copy
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.parameter_state import Side, Value, content_of, refill
from auditor.intake.seeding import rng_kept

_OWN = frozenset({"_parameters", "_buffers", "_modules"})
_CONTAINERS = (list, set, deque, dict, OrderedDict, defaultdict, Counter)
_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_GLOBAL = frozenset({id(torch.default_generator), id(np.random.mtrand._rand)})


KEPT = 2**31
"""Bytes of parameters up to which their values are kept, to be put back."""


class SubjectChangedError(InputError):
    """Something changed the audited model in a way that could be seen but not undone."""


class UncopyableError(InputError):
    """No copy can be made of the model."""


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy; results of a pass that a module holds on to come without their graph.

    A lock, a generator or the like, which can't be copied, is shared.

    Raises:
        UncopyableError: something else in the model can't be copied.
    """
    held = [v for module in model.modules() for name, v in vars(module).items() if name not in _OWN]
    graphs = [v for v in held if isinstance(v, torch.Tensor) and not v.is_leaf]
    known = {id(value): value.detach().clone() for value in graphs}
    try:
        return copy.deepcopy(model, dict[int, Any](known))
    except (TypeError, RuntimeError, copy.Error):
        shared = {id(value): value for value in held if _stateless(value)}
    try:
        return copy.deepcopy(model, {**known, **shared})
    except (TypeError, RuntimeError, copy.Error) as error:
        said = clean_text(f"{type(error).__name__}: {error}", 160)
        raise UncopyableError(f"the model can't be copied ({said})") from error


def _stateless(value: Any) -> bool:
    """Tell whether an object can't be copied and holds no attributes that training could change."""
    if isinstance(value, torch.Tensor | nn.Module) or vars(type(value)).get("__slots__"):
        return False
    if type(value) in (*_CONTAINERS, tuple) or getattr(value, "__dict__", None):
        return False
    try:
        copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - that it raises is the answer
        return True
    return False


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Run a block on `model`, then put back everything that the block may change.

    Buffers, and tensors, arrays, lists, sets, mappings and random generators in plain attributes,
    are replaced by copies for the length of the block, so that batch norm and the like write into
    those; gradients are laid aside. Modes, plain attributes, hooks, classes, what requires
    gradients, and the global random generators are put back, whether the block raises or not.
    That parameters stayed what they were is checked; where they hold no more than `KEPT` bytes
    they are put back as well, and that they had to be is told all the same.

    Raises:
        SubjectChangedError: a parameter was replaced or written to.
        InputError: the model has lazy parameters that no batch has given a shape yet.
    """
    modules = list(model.modules())
    lazy = [name for name, tensor in _tensors(model) if is_lazy(tensor)]
    if lazy:
        raise InputError(
            f"model: {lazy[0]!r} is lazy and has no shape yet; run a batch through the model first"
        )
    large = sum(p.numel() * p.element_size() for p in model.parameters()) > KEPT
    before = _fingerprints(model) if large else {}
    values = [] if large else [Value(name, p) for name, p in model.named_parameters()]
    sides = [Side(parameter) for parameter in model.parameters()]
    with rng_kept(), _not_compiled():
        kept = [_Kept(module) for module in modules]
        told = True
        try:
            _swap(modules)
            for side in sides:
                side.lay_aside()
            yield
        except Exception:
            raise
        except BaseException:
            told = False  # whoever interrupts it wants to hear of that
            raise
        finally:
            for state in kept:
                state.restore()
            changed = [value.name for value in values if value.put_back()]
            for side in sides:
                side.restore()
            after = _fingerprints(model) if large else {}
            changed += [name for name, value in after.items() if before.get(name) != value]
            if changed and told:
                raise SubjectChangedError(
                    f"the parameter {changed[0]!r} of the audited model was changed by its own "
                    "forward pass or by a hook"
                )


def _swap(modules: list[nn.Module]) -> None:
    """Put copies in the place of buffers, and of what plain attributes hold."""
    copies: dict[int, Any] = {}
    for module in modules:
        for name, value in module._buffers.items():
            module._buffers[name] = _structure(value, copies)
        for name, value in vars(module).items():
            if name not in _OWN and "_hooks" not in name:
                vars(module)[name] = _structure(value, copies)


def _not_compiled() -> AbstractContextManager[object]:
    """Have what `torch.compile` was given run as it was written: compiled code calls no hooks."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    made: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return made


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


class _Kept:
    """One module's own state, apart from the values of its parameters."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._class = type(module)
        self._parameters = dict(module._parameters)
        self._buffers = dict(module._buffers)
        self._modules = dict(module._modules)
        self._rest = {k: v for k, v in module.__dict__.items() if k not in _OWN}
        self._inside = [
            # Most are empty, and there are a dozen a module: copying those would take seconds.
            (value, copy.copy(value) if value else ())
            for value in self._rest.values()
            if type(value) in _CONTAINERS
        ]

    def restore(self) -> None:
        module = self._module
        if type(module) is not self._class:  # as a parametrisation makes it
            module.__class__ = self._class
        for name in [n for n in module.__dict__ if n not in self._rest and n not in _OWN]:
            del module.__dict__[name]
        module.__dict__.update(self._rest)
        for container, content in self._inside:
            refill(container, content)
        refill(module._parameters, self._parameters)
        refill(module._buffers, self._buffers)
        refill(module._modules, self._modules)


def _structure(value: Any, copies: dict[int, Any]) -> Any:
    """Return a copy of tensors, arrays and what holds them; anything else is shared.

    Equal objects have equal copies, so that ties and cycles stay what they are.
    """
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        trained = value.is_leaf and value.requires_grad
        copies[id(value)] = value.detach().clone().requires_grad_(trained)
    elif isinstance(value, np.ndarray):
        copies[id(value)] = value.copy()
    elif isinstance(value, _GENERATORS) and id(value) not in _GLOBAL:
        copies[id(value)] = _generator(value)
    elif type(value) in _CONTAINERS:
        made = copies[id(value)] = copy.copy(value)
        if isinstance(made, dict):
            for key, inner in value.items():
                made[key] = _structure(inner, copies)
        elif not isinstance(made, set):
            for place, inner in enumerate(value):
                made[place] = _structure(inner, copies)
    elif type(value) is tuple:
        copies[id(value)] = tuple(_structure(inner, copies) for inner in value)
    return copies.get(id(value), value)


def _generator(value: Any) -> Any:
    return value.clone_state() if isinstance(value, torch.Generator) else copy.deepcopy(value)


def _fingerprints(model: nn.Module) -> dict[str, tuple[object, ...]]:
    """Return, by parameter, what changes when it is replaced or written to."""
    return {
        name: (
            id(parameter),
            parameter.data_ptr() if parameter.layout is torch.strided else 0,
            parameter._version,
            *content_of(parameter),
        )
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
