"""Sweeps of one observer, and the same numbers computed from whole tensors with plain hooks."""

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from auditor.core.request import Riding
from auditor.engine.sweep import run_sweep
from auditor.intake.batches import tensors_in
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observers import OBSERVERS


def swept(subject: Subject, request: Riding[Any]) -> Any:
    """Return the answer to one request, by a sweep of its own."""
    observer = OBSERVERS[type(request)](request, subject)
    ((_, answer),) = run_sweep(subject, request.sweep, {request: observer})
    return answer


def module_of(place: str) -> str:
    """Return the name of the module that a place belongs to."""
    return place.partition(" after ")[0].partition(", call ")[0]


def weights_only(model: nn.Module) -> set[nn.Module]:
    """Return the modules that make weights, not activations."""
    return {
        inner
        for module in model.modules()
        if isinstance(module, ParametrizationList)
        for inner in module.modules()
    }


@contextlib.contextmanager
def hooked(model: nn.Module, hook: Callable[[str, nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Call `hook(name, module, args, output)` after each module of `model`."""
    hidden = weights_only(model)
    handles = [
        module.register_forward_hook(
            lambda module, args, output, name=name: hook(name or "(model)", module, args, output)
        )
        for name, module in model.named_modules()
        if module not in hidden
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def sweeping(subject: Subject, request: Riding[Any]) -> Iterator[nn.Module]:
    """Give the model in the mode and the random state of the request's sweep."""
    assert subject.model is not None
    seed = derived_seed(subject.seed, f"sweep {request.sweep}")
    with preserved(subject.model), seeded(seed):
        subject.model.train(request.sweep.mode == "train")
        yield subject.model


def outputs_by_module(
    subject: Subject, request: Riding[Any]
) -> list[dict[str, list[torch.Tensor]]]:
    """Return, batch by batch, copies of all tensors that each module put out."""
    rows = []
    with sweeping(subject, request) as model, torch.no_grad():
        for batch in subject.batches(request.sweep.split, request.batches):
            row: dict[str, list[torch.Tensor]] = defaultdict(list)

            def keep(name: str, module: nn.Module, args: Any, output: Any, row: Any = row) -> None:
                row[name] += [tensor.detach().clone() for tensor in tensors_in(output)]

            with hooked(model, keep):
                model(*batch.args, **batch.kwargs)
            rows.append(row)
    return rows


def gradients(
    subject: Subject, request: Riding[Any]
) -> tuple[list[dict[str, float]], list[dict[str, float]], list[float]]:
    """Return, batch by batch, the norms by module output and by parameter, and the loss.

    A module's gradient is that of zeros added to what it puts out.
    """
    assert subject.loss is not None
    activations, parameters, losses = [], [], []
    with sweeping(subject, request) as model:
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        for batch in subject.batches(request.sweep.split, request.batches):
            zeros: list[tuple[str, torch.Tensor]] = []

            def add(
                name: str, module: nn.Module, args: Any, output: Any, zeros: Any = zeros
            ) -> Any:
                first = next(iter(tensors_in(output)))
                if not first.requires_grad or first.is_leaf:
                    return None
                zero = torch.zeros_like(first, requires_grad=True)
                zeros.append((name, zero))
                return _with_first(output, first, first + zero)

            with hooked(model, add):
                outputs = model(*batch.args, **batch.kwargs)
            loss = subject.loss(outputs, batch.target)
            wanted = [zero for _, zero in zeros]
            found = torch.autograd.grad(loss, [*wanted, *named.values()], allow_unused=True)
            by_module: dict[str, float] = {}
            for (name, _), gradient in zip(zeros, found, strict=False):
                if gradient is not None:
                    by_module[name] = np.hypot(by_module.get(name, 0.0), _norm(gradient))
            scale = np.sqrt(batch.size)
            activations.append({name: norm * scale for name, norm in by_module.items()})
            parameters.append(
                {
                    name: np.nan if gradient is None else _norm(gradient)
                    for name, gradient in zip(named, found[len(zeros) :], strict=True)
                }
            )
            losses.append(float(loss.detach()))
    return activations, parameters, losses


def _with_first(output: Any, first: torch.Tensor, other: torch.Tensor) -> Any:
    if output is first:
        return other
    if isinstance(output, dict):
        return {key: _with_first(value, first, other) for key, value in output.items()}
    if isinstance(output, tuple):
        inner = [_with_first(value, first, other) for value in output]
        return type(output)(*inner) if hasattr(output, "_fields") else tuple(inner)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        values = {f.name: getattr(output, f.name) for f in dataclasses.fields(output)}
        return type(output)(**_with_first(values, first, other))
    return output


def _norm(gradient: torch.Tensor) -> float:
    dense = gradient.to_dense() if gradient.layout is torch.sparse_coo else gradient
    kind = torch.complex128 if dense.is_complex() else torch.float64
    return float(dense.to(kind).abs().square().sum().sqrt())


def assert_same(mine: Any, theirs: Any, rtol: float = 1e-9) -> None:
    """Assert that two observations tell the same."""
    assert type(mine) is type(theirs)
    if dataclasses.is_dataclass(mine):
        for field in dataclasses.fields(mine):
            assert_same(getattr(mine, field.name), getattr(theirs, field.name), rtol)
    elif isinstance(mine, tuple):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_same(a, b, rtol)
    elif isinstance(mine, np.ndarray) and mine.dtype.kind == "f":
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=1e-12)
    elif isinstance(mine, np.ndarray):
        np.testing.assert_array_equal(mine, theirs)
    else:
        assert mine == theirs
