"""The same batch twice on one copy, the random numbers going on, and why the answers differ."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.layer import MODEL
from auditor.core.request import Unavailable
from auditor.experiments.distances import largest_change, numeric
from auditor.experiments.lab import every_module_called
from auditor.experiments.probe import TOLERANCES, native_copy
from auditor.experiments.trace import Trace, parting
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.preserve import copied
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.observations.culprit import Culprit, Difference
from auditor.observations.reproducibility import Cause

MOST_KEPT = 20
"""Names of buffers and attributes that are told."""


@dataclass(frozen=True)
class Repeated:
    """What the same batch again shows, and why."""

    difference: Difference
    identical: bool
    cause: Cause
    drawing: tuple[Culprit, ...] = ()
    kept: tuple[str, ...] = ()


def repeated(subject: Subject, batch: Batch, seed: int) -> Repeated | Unavailable:
    """Run the model on a batch three times over, in its own precision, and explain a difference."""
    original = evaluating(native_copy(subject).requires_grad_(requires_grad=False))
    here = batch.to(subject.device)

    def run(model: nn.Module) -> Any:
        # Copies, since a model may write to what it is given.
        given = here.with_inputs(lambda tensor: tensor.clone())
        return model(*given.args, **given.kwargs)

    def first(number: int) -> Any:
        with seeded(number):
            return run(copied(original))

    with torch.no_grad(), every_module_called():
        model = copied(original)
        with seeded(seed):
            runs = [run(model) for _ in range(3)]
        outputs = numeric(runs[0])
        if not outputs:
            return Unavailable("the model puts out no tensor of numbers")
        if not any(bool(t.isfinite().any()) for t in outputs):
            return Unavailable("the outputs are not finite, so they can't be compared")
        tolerance = max(TOLERANCES.get(t.dtype, 0.0) for t in outputs)
        change = max(largest_change(runs[0], other) for other in runs[1:])
        if change == 0:
            return Repeated(Difference(0.0, tolerance, batch.size), True, "")
        same, another = largest_change(first(seed), first(seed)), 0.0
        if same == 0:
            another = largest_change(first(seed), first(seed + 1))
        cause: Cause = "kernel" if same else "random" if another else "state"
        if cause == "kernel" and change > tolerance:
            cause = "random"
        one, two = Trace(), Trace()
        model = copied(original)
        before = dict(_state(model))
        with seeded(seed):
            with one.of(model):
                run(model)
            kept = [
                name
                for name, value in _state(model)
                if name not in before or not _equal(before[name], value)
            ]
            with two.of(model):
                run(model)
    blame = parting(one, two, _identical, _identical)
    drawing = tuple(two.drawing()) or tuple(one.drawing())
    if cause == "random" and _drops(blame, two, drawing):
        cause = "dropout"
    return Repeated(
        Difference(change, tolerance, batch.size, blame),
        False,
        cause,
        drawing,
        tuple(kept[:MOST_KEPT]) if cause == "state" else (),
    )


def _drops(blame: Culprit | None, trace: Trace, drawing: tuple[Culprit, ...]) -> bool:
    """Tell whether it is dropout that makes answers random."""
    if blame is None:
        return False
    if any("dropout" in name for name in blame.functions):
        return True
    module = next((call.module for call in trace.calls if call.name == blame.layer), None)
    own = isinstance(module, nn.RNNBase | nn.MultiheadAttention | nn.modules.dropout._DropoutNd)
    share = getattr(module, "dropout", getattr(module, "p", 0.0))
    return own and bool(module is not None and module.training) and bool(share)


def _identical(one: torch.Tensor, other: torch.Tensor) -> bool | None:
    return one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())


def _state(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield what the modules keep beside their parameters: tensors, numbers, lists of them."""
    for name, module in model.named_modules():
        owner = name or MODEL
        for key, value in module._buffers.items():
            if value is not None:
                yield f"{owner}.{key}", value.clone()
        for key, value in vars(module).items():
            if (key.startswith("_") and key in _TORCH) or "_hooks" in key:
                continue
            if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                yield f"{owner}.{key}", value.detach().clone()
            elif isinstance(value, torch.Generator):
                yield f"{owner}.{key}", value.get_state()
            elif isinstance(value, int | float) and key != "training":
                yield f"{owner}.{key}", value
            elif isinstance(value, list | tuple | dict):
                tensors = [t.detach().clone() for t in tensors_in(value)]
                yield f"{owner}.{key}", (len(value), tensors)


_TORCH = frozenset({"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"})


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return bool(_identical(one, other))
    if isinstance(one, tuple) and isinstance(other, tuple):
        return (
            one[0] == other[0]
            and len(one[1]) == len(other[1])
            and all(bool(_identical(a, b)) for a, b in zip(one[1], other[1], strict=True))
        )
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)
