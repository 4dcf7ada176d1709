"""Which examples are run together, and whether the rows of a batch are examples at all."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from auditor.core.request import Unavailable
from auditor.experiments.examples import distinct, gathered
from auditor.experiments.lab import BUDGET, CALL, CUDA_TIMES, affordable
from auditor.experiments.shifted import runs_first, unsettled
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.subject import Subject

SIZES = (5, 7, 6, 4, 3, 2)
"""Numbers of examples that are tried together, the ones that seldom divide a width first."""

DEAR = 8
"""Times the budget beyond which a model is not probed at all, even with the fewest examples."""


SLOW = 1
"""The same where it is the steps of recurrent layers that cost, one after the other."""


@dataclass(frozen=True)
class TimeFirst(Batch):
    """A batch whose inputs count time in their first dimension, and examples in the second."""

    @property
    def size(self) -> int:
        """Return the number of examples."""
        return int(next(tensors_in((self.args, self.kwargs))).shape[1])

    def axis(self, tensor: torch.Tensor) -> int | None:
        """Return the dimension of one of the batch's tensors that counts its examples."""
        axes = (axis for axis in (1, 0) if axis < tensor.ndim and tensor.shape[axis] == self.size)
        return next(axes, None)

    def _with(self, change: Any) -> "TimeFirst":
        return TimeFirst(
            changed(self.args, change), changed(self.kwargs, change), changed(self.target, change)
        )

    def with_inputs(self, change: Any) -> "TimeFirst":
        """Return the batch with `change` applied to every input tensor, the target as it is."""
        return TimeFirst(changed(self.args, change), changed(self.kwargs, change), self.target)


def too_dear(subject: Subject, passes: int) -> str:
    """Return why not even two examples can be run so many times; empty where they can."""
    budget = BUDGET * (CUDA_TIMES if subject.device.type == "cuda" else 1)
    if 2 * subject.facts.flops * passes > DEAR * budget:
        return (
            f"a forward pass takes {subject.facts.flops:.2g} operations an example, which is too "
            f"dear for {passes} of them"
        )
    steps = subject.facts.recurrent_steps
    if CALL * steps * passes > SLOW * budget:
        return (
            f"a forward pass takes {steps:,} steps of recurrent layers, one after the other, which "
            f"is too slow for {passes} of them"
        )
    return ""


def first_batch(subject: Subject) -> Batch:
    """Return the first validation batch, on the CPU; it knows where its examples stand."""
    first = next(iter(subject.data["val"].first(1)))
    if runs_first(first, getattr(subject.data["val"].loader, "batch_size", None)):
        return TimeFirst(first.args, first.kwargs, first.target)
    return first


def ambiguous(subject: Subject) -> bool:
    """Tell whether the first dimension of the inputs may as well be time as count examples."""
    first = first_batch(subject)
    loaded = getattr(subject.data["val"].loader, "batch_size", None)
    return not isinstance(first, TimeFirst) and unsettled(first, loaded)


def chosen(
    subject: Subject, passes: int, most: int = max(SIZES)
) -> tuple[Batch, int] | Unavailable:
    """Return a pool of validation examples with unlike inputs, and how many to run together.

    There are up to twice as many in the pool, so that each of those has another that can stand in
    for it. So many `passes` over them stay within the budget, as far as two examples allow.
    """
    reason = too_dear(subject, passes)
    if reason:
        return Unavailable(reason)
    size = max(1, subject.facts.data["val"].batch_size)
    wanted = 2 * most + 2
    pool = first_batch(subject)
    # Batches that run in time can't be joined: one goes on where the other ends.
    if not isinstance(pool, TimeFirst):
        pools = gathered(subject, "val", max(1, min(16, -(-wanted // size))))
        pool = max(pools, key=lambda one: one.size)
    reason = _transductive(pool)
    if reason:
        return Unavailable(reason)
    pool = pool.rows(torch.tensor(distinct(pool)[:wanted]))
    fits = max(2, affordable(subject, most, 2, passes, training=False))
    enough = [n for n in SIZES if n <= min(fits, pool.size - 1, most)] or [pool.size]
    widths = {
        n
        for tensor in tensors_in((pool.args, pool.kwargs))
        for axis, n in enumerate(tensor.shape)
        if axis != pool.axis(tensor)
    }
    count = next((n for n in enough if not any(w % n == 0 for w in widths)), enough[0])
    return pool, count


def _transductive(batch: Batch) -> str:
    """Return why the rows of a batch are no examples by themselves; empty where they may be."""
    inputs = batch.args, batch.kwargs
    if any(isinstance(value, PackedSequence) for value in (*batch.args, *batch.kwargs.values())):
        return "the inputs are a packed sequence, in which examples lie interleaved"
    for tensor in tensors_in(inputs):
        if tensor.layout is not torch.strided:
            return "an input is a sparse matrix, as graphs have: its rows are no examples"
        pairs = tensor.ndim == 2 and tensor.shape[0] == 2 and batch.size > 2 and tensor.numel()
        whole = pairs and not tensor.is_floating_point()
        if whole and int(tensor.min()) >= 0 and int(tensor.max()) < batch.size:
            return (
                "the inputs hold a list of edges: the rows are nodes of a graph, which are there "
                "to inform one another"
            )
    return ""
