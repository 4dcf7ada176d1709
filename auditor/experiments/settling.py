"""Weights that layers compute for themselves, before and after a few passes in training mode."""

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import parametrize

from auditor.experiments.dropout_free import training_without_dropout
from auditor.experiments.probe import native_copy
from auditor.intake.batches import Batch
from auditor.intake.modes import evaluating
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.observations.reproducibility import Unsettled

PASSES = 3
"""Passes in training mode: in one, a power iteration that began at random comes within 1.4 times
the norm of a square random matrix (√2 of 2, by the moments of Marchenko and Pastur's law)."""


def unsettled(subject: Subject, batch: Batch, seed: int) -> tuple[Unsettled, ...]:
    """Return how the size of computed weights in evaluation mode changes by training mode.

    No parameter is changed and statistics stand still, so that it is all but 1 where a weight is
    computed from its parameters alone. Empty where no layer computes its weights, and where a model
    does not take the batch in training mode.
    """
    assert subject.model is not None
    if not any(True for _ in _computed(subject.model)):
        return ()
    model = evaluating(native_copy(subject).requires_grad_(requires_grad=False))
    given = batch.to(subject.device).with_inputs(lambda tensor: tensor.clone())
    with torch.no_grad(), seeded(seed):
        try:
            model(*given.args, **given.kwargs)
            before = _sizes(model)
            with training_without_dropout(model):
                for _ in range(PASSES):
                    model(*given.args, **given.kwargs)
            model(*given.args, **given.kwargs)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - training mode may want what is not there
            return ()
        after = _sizes(model)
    common = [name for name in before if name in after]
    return tuple(
        Unsettled(*name, before[name] / after[name])
        for name in common
        if before[name] > 0 and after[name] > 0 and math.isfinite(before[name] + after[name])
    )


def _computed(model: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield layer, name and module of what has a parameter's shape and is computed from one."""
    for layer, module in model.named_modules():
        shapes = {p.shape for p in module._parameters.values() if p is not None}
        for name, value in vars(module).items():
            plain = isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter)
            if plain and value.is_floating_point() and value.shape in shapes:
                yield layer, name, module
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:
                yield layer, name, module


def _sizes(model: nn.Module) -> dict[tuple[str, str], float]:
    """Return the root mean square of each computed weight."""
    found = ((key, getattr(module, key[1])) for *key, module in _computed(model))
    return {
        (layer, name): float(value.detach().double().square().mean().sqrt())
        for (layer, name), value in found
        if isinstance(value, torch.Tensor)
    }
