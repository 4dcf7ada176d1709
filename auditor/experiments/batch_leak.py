"""Replacing one example's inputs, and looking at the outputs of all the others."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.distances import (
    apart,
    by_example,
    cropped,
    derivable,
    example_axes,
    numeric,
    set_against,
    size_of,
)
from auditor.experiments.picked import ambiguous, chosen
from auditor.experiments.probe import Probe, apart_refused, probing, raised
from auditor.experiments.trace import parting
from auditor.intake.batches import Batch, changed
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.batch_leak import BatchLeak, BatchLeakOver
from auditor.observations.culprit import Culprit, Difference

PASSES = 30
"""Forward passes that are reckoned with when the number of examples is chosen."""

Layout = list[tuple[int, int]]
"""Which of the output's tensors count examples, and in which dimension."""


def batch_leak(request: BatchLeakOver, subject: Subject) -> BatchLeak | Unavailable:
    """Return what replacing the inputs of each example does to the outputs of the others."""
    picked = chosen(subject, PASSES, request.examples)
    if isinstance(picked, Unavailable):
        return picked
    pool, count = picked
    if count < 2 or pool.size < 2:
        return Unavailable(
            "there are no two examples with different inputs that could be run together; a batch "
            "of one has nobody to leak to"
        )
    batch = pool.take(count)
    probe = probing(subject, batch, derived_seed(subject.seed, request.key))
    if isinstance(probe, Unavailable):
        return probe
    base = probe.run(batch)
    layout = layout_of(probe, batch, base)
    if isinstance(layout, Unavailable):
        return layout
    lab = _Lab(probe, pool, count, base, layout)
    try:
        moved = np.stack([lab.moved_by(j) for j in range(count)], axis=1)
    except _NotTakenError as error:
        return Unavailable(f"the model does not take an example in the place of another: {error}")
    others = np.where(np.eye(count, dtype=bool), 0.0, moved)
    worst = int(others.max(axis=0).argmax())
    leaks = bool(others.max() > probe.tolerance)
    return BatchLeak(
        moved=moved,
        tolerance=probe.tolerance,
        precision=probe.precision,  # type: ignore[arg-type]
        gradient=_gradient(probe, batch, layout, count),
        culprit=lab.culprit(worst) if leaks else None,
        training=lab.in_training(worst),
        norms=tuple(
            name
            for name, module in probe.model.named_modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
        ),
        outputs=len(layout),
        unsettled=ambiguous(subject),
    )


def layout_of(probe: Probe, batch: Batch, base: Any) -> Layout | Unavailable:
    """Return where the output counts examples, by running the batch with one example less."""
    count, fewer = batch.size, batch.size - 1
    try:
        smaller = probe.run(batch.take(fewer))
    except Exception as error:  # noqa: BLE001 - the model is the user's
        return Unavailable(apart_refused(error))
    outputs, less = numeric(base), numeric(smaller)
    if len(outputs) != len(less):
        return Unavailable("the number of outputs changes with the size of the batch")
    against = set_against(base, smaller, count, fewer)
    if against:
        return Unavailable(against)
    found: Layout = []
    for place, (a, b) in enumerate(zip(outputs, less, strict=True)):
        axes = example_axes(a.shape, b.shape, count, fewer)
        if axes:
            found.append((place, axes[0]))
    if not found:
        shapes = ", ".join(str(list(t.shape)) for t in outputs[:4]) or "none"
        return Unavailable(
            f"no output has a place for each example (shapes for {count} examples: {shapes}), so "
            "none belongs to one of them alone"
        )
    if not any(bool(outputs[place].isfinite().any()) for place, _ in found):
        return Unavailable("the outputs are not finite, so they can't be compared")
    return found


class _NotTakenError(Exception):
    """The model raised on a batch in which an example was replaced."""


class _Lab:
    """The probe, the examples that are run, and their outputs as they are."""

    def __init__(self, probe: Probe, pool: Batch, count: int, base: Any, layout: Layout) -> None:
        self._probe, self._pool, self._count, self._layout = probe, pool, count, layout
        self._batch, self._base = pool.take(count), base

    def moved_by(self, replaced: int) -> Array:
        """Return the largest change of each example's output when one of them is replaced."""
        return self._change(self._base, self._replaced(replaced, self._probe.run)[0])

    def culprit(self, replaced: int) -> Culprit | None:
        """Return the first module that lets a replaced example reach the others."""
        after, _ = self._replaced(replaced, self._probe.traced)
        before = self._probe.traced(self._batch)

        def confined(one: torch.Tensor, other: torch.Tensor) -> bool | None:
            return stays(one, other, self._count, replaced, self._probe.tolerance)

        return parting(before, after, confined, confined)

    def in_training(self, replaced: int) -> Difference:
        """Return the same movement in training mode, batch norm and dropout apart."""
        tolerance = self._probe.tolerance
        try:
            with self._probe.training():
                before = self._probe.run(self._batch)
                after, _ = self._replaced(replaced, self._probe.run)
                moved = self._change(before, after)
                others = np.delete(moved, replaced)
                change = float(others.max()) if len(others) else 0.0
                blame = self.culprit(replaced) if change > tolerance else None
        except _NotTakenError as error:
            return Difference(math.nan, tolerance, missing=str(error))
        except Exception as error:  # noqa: BLE001 - training mode may want what is not there
            return Difference(math.nan, tolerance, missing=raised(error))
        return Difference(change, tolerance, self._count, blame)

    def _replaced(self, place: int, run: Callable[[Batch], Any]) -> tuple[Any, Batch]:
        """Return what comes of a batch with one example replaced, by one that the model takes.

        Another in the pool comes first. Where examples have to be sorted, a neighbour's copy fits.
        """
        spare = self._pool.size - self._count
        donors = [self._count + place % spare] if spare else []
        donors += [(place + 1) % self._count, (place - 1) % self._count]
        said = ""
        for donor in donors:
            index = torch.arange(self._count)
            index[place] = donor
            batch = self._pool.rows(index)
            try:
                return run(batch), batch
            except Exception as error:  # noqa: BLE001 - the model is the user's
                said = raised(error)
        raise _NotTakenError(said)

    def _change(self, before: Any, after: Any) -> Array:
        """Return the largest change of each example's output, as a share of the largest output."""
        one, other = numeric(before), numeric(after)
        worst = np.zeros(self._count)
        for place, axis in self._layout:
            if place >= min(len(one), len(other)):
                raise _NotTakenError("the number of outputs changes")
            pair = cropped(one[place], other[place])
            if pair is None or pair[0].shape[axis] != one[place].shape[axis]:
                raise _NotTakenError("the shape of the output changes with the examples")
            gap = apart(*pair) / (size_of(one[place]) or 1.0)
            ways = [
                way.reshape(self._count, -1).amax(1).cpu().numpy()
                for way in by_example(gap, axis, self._count)
            ]
            # Of two ways to read a dimension the right one is that in which fewer examples move.
            worst = np.maximum(worst, min(ways, key=lambda way: float(np.sort(way)[:-1].sum())))
        return worst


def stays(
    one: torch.Tensor, other: torch.Tensor, count: int, replaced: int, tolerance: float
) -> bool | None:
    """Tell whether a change is confined to the replaced example, in some dimension or other."""
    pair = cropped(one, other)
    if pair is None:
        return False
    one, other = (t if t.is_floating_point() else t.double() for t in pair)
    if one.is_complex():
        one, other = torch.view_as_real(one), torch.view_as_real(other)
    moved = apart(one, other) > tolerance * size_of(one)
    if not bool(moved.any()):
        return True
    keep = [place for place in range(count) if place != replaced]
    return any(
        not bool(way[keep].any())
        for axis in range(moved.ndim)
        if moved.shape[axis] % count == 0
        for way in by_example(moved, axis, count)
    )


def _gradient(probe: Probe, batch: Batch, layout: Layout, count: int) -> float:
    """Return the largest gradient of an output by others' inputs, as a share of that by its own.

    Of inputs that are numbers of words it is that by what the embeddings make of them.
    """
    here = probe.cast(batch)
    leaves: list[torch.Tensor] = []

    def leaf(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point() or batch.axis(tensor) is None:
            return tensor
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1]

    def embedded(module: nn.Module, args: Any, output: Any) -> Any:
        if isinstance(output, torch.Tensor) and count in output.shape[:2]:
            leaves.append(output.detach().clone().requires_grad_())
            return leaves[-1].clone()
        return None

    here = Batch(changed(here.args, leaf), changed(here.kwargs, leaf), None)
    try:
        with probe.graph() as model:
            hooks = (
                []
                if leaves
                else [
                    module.register_forward_hook(embedded)
                    for module in model.modules()
                    if isinstance(module, nn.Embedding)
                ]
            )
            try:
                outputs = derivable(model(*[_fresh(a) for a in here.args], **here.kwargs))
            finally:
                for hook in hooks:
                    hook.remove()
            place, axis = layout[0]
            shares = [
                _share(way.reshape(count, -1), leaves, count)
                for way in by_example(outputs[place], axis, count)
            ]
    except Exception as error:  # noqa: BLE001 - not every model can be differentiated
        raised(error)
        return math.nan
    return min(shares)


def _share(rows: torch.Tensor, leaves: list[torch.Tensor], count: int) -> float:
    """Return the gradient of the middle row by others' leaves, as a share of that by its own."""
    mine = count // 2
    weights = torch.linspace(1.0, 2.0, rows.shape[1], dtype=rows.dtype, device=rows.device)
    total = (rows[mine] * weights).sum()
    found = torch.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
    own = others = 0.0
    for tensor, gradient in zip(leaves, found, strict=True):
        if gradient is None:
            continue
        front = 0 if tensor.shape[0] == count else 1
        sizes = gradient.abs().movedim(front, 0).reshape(count, -1).amax(1)
        own = max(own, float(sizes[mine]))
        others = max(others, float(torch.cat([sizes[:mine], sizes[mine + 1 :]]).max()))
    return others / own if own > 0 else math.inf if others > 0 else math.nan


def _fresh(value: Any) -> Any:
    """Return a leaf as a tensor that the model may write into."""
    if isinstance(value, torch.Tensor) and value.requires_grad:
        return value.clone()
    return value
