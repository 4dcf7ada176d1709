"""The weights of a fresh model beside those that PyTorch's own layers would draw."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.mended_copies import mended_copies
from auditor.experiments.training import settled
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.initial_sizes import InitialSize, InitialSizes, InitialSizesOver

SMALLEST = 16
"""Values that a tensor must have for its deviation to mean anything."""

TABLES = (nn.Embedding, nn.EmbeddingBag)
"""Modules of which PyTorch's own size is not the usual one."""


def initial_sizes(request: InitialSizesOver, subject: Subject) -> InitialSizes | Unavailable:
    """Compare a fresh model with itself drawn anew, and train copies where they are far apart."""
    seed = derived_seed(subject.seed, request.key)
    with seeded(seed):
        model = subject.fresh(seed)
        tensors = tuple(_sizes(model))
    if not tensors:
        return Unavailable("no layer draws its weights by a `reset_parameters` of its own")
    if not any(tensor.odd for tensor in tensors):
        return InitialSizes(tensors)
    optimizer, _ = settled(subject)
    steps = min(request.steps, _declared_steps(subject) or request.steps)
    copies = mended_copies(subject, drawn_anew, steps, request.seeds, (optimizer,))
    return InitialSizes(tensors, copies)


def _declared_steps(subject: Subject) -> int:
    """Return after how many steps training ended, 0 where nobody knows."""
    facts = subject.facts.data.get("train")
    return round((subject.training.epochs or 0) * facts.batches) if facts is not None else 0


@contextmanager
def drawn_anew(model: nn.Module) -> Iterator[None]:
    """Let a model start as PyTorch's layers do; embeddings, and all that is frozen, stay."""
    for module in model.modules():
        if (draw := _drawing(module)) is not None:
            draw()
    yield


def _drawing(module: nn.Module) -> Callable[[], object] | None:
    """Return what draws the weights of a module anew, None where nothing should."""
    draw = getattr(module, "reset_parameters", None)
    own = list(module.parameters(recurse=False))
    if not callable(draw) or isinstance(module, TABLES) or not own:
        return None
    plain = all(type(p) is nn.Parameter and p.requires_grad for p in own)
    return draw if plain and not hasattr(module, "parametrizations") else None


@torch.no_grad()
def _sizes(model: nn.Module) -> Iterator[InitialSize]:
    """Yield the size of each matrix and filter, drawing them anew on the way."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        draw = _drawing(module)
        if draw is None:
            continue
        before = {
            key: parameter.detach().clone()
            for key, parameter in module.named_parameters(recurse=False)
            if parameter.ndim > 1 and parameter.numel() >= SMALLEST and id(parameter) not in seen
        }
        seen |= {id(parameter) for parameter in module.parameters(recurse=False)}
        if not before:
            continue
        draw()
        for key, parameter in module.named_parameters(recurse=False):
            if key not in before:
                continue
            was, usual = before[key].double(), float(parameter.double().std())
            if usual > 0:
                full = f"{name}.{key}" if name else key
                size = float(was.square().mean().sqrt())
                yield InitialSize(full, size, _deviation(was), usual)


def _deviation(values: torch.Tensor) -> float:
    """Return the standard deviation; exactly 0 where all values are equal."""
    return 0.0 if bool((values == values.flatten()[0]).all()) else float(values.std())
