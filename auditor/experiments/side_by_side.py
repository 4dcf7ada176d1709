"""Two equal models trained side by side, step by step, to see where they part."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import nn

from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text
from auditor.experiments.distances import apart, largest_change, size_of
from auditor.experiments.hidden import outside_of
from auditor.experiments.lab import every_module_called
from auditor.experiments.probe import TOLERANCES
from auditor.experiments.trace import Trace, parting
from auditor.intake import optimizer as optimizers
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import keep_statistics
from auditor.intake.seeding import RandomState
from auditor.intake.subject import Subject
from auditor.observations.trained_twice import Parted

Named = dict[str, torch.Tensor]

MOST_NAMED = 10
"""Names of what is kept outside of the model that are told."""


def parted(
    subject: Subject,
    models: tuple[nn.Module, nn.Module],
    batches: Iterable[Batch],
    optimizer: OptimizerSpec,
    seed: int,
) -> Parted | None:
    """Return where two equal models part that take the same steps with the same random numbers.

    After each step in which they differ by rounding, the second goes on as a copy of the first, so
    that rounding does not add up. The first larger difference is told, else the first of all.
    """
    one, other = (_Arm(subject, model, optimizer, seed) for model in models)
    first: Parted | None = None
    for step, batch in enumerate(batches):
        before = outside_of(one.model)
        traces = one.forward(batch), other.forward(batch)
        found = _in_forward(one, other, traces, step) or _in_gradients(one, other, step)
        one.step()
        other.step()
        found = found or _in_step(one, other, step)
        if found is None:
            continue
        after = outside_of(one.model)
        names = [name for name in after if after[name] != before.get(name)]
        found = replace(found, outside=tuple(clean_text(name, 100) for name in names[:MOST_NAMED]))
        if not found.rounding:
            return found
        first = first or found
        try:
            other.follow(one)
        except (RuntimeError, ValueError, KeyError):
            return first
    return first


class _Arm:
    """One of the two models, its optimizer, and random numbers of its own."""

    def __init__(
        self, subject: Subject, model: nn.Module, optimizer: OptimizerSpec, seed: int
    ) -> None:
        self._subject, self.model = subject, model
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._stepper = optimizers.build(optimizer, self.parameters.values())
        self._random = RandomState(seed)
        self.outputs: list[torch.Tensor] = []
        self.loss = torch.zeros(())
        model.train()

    def forward(self, batch: Batch) -> Trace:
        """Run a batch forwards and backwards; return what passed through the model."""
        assert self._subject.loss is not None
        if batch.size == 1:
            keep_statistics(self.model)
        given = batch.with_inputs(lambda tensor: tensor.clone())
        trace = Trace()
        self._stepper.zero_grad()
        with self._random, torch.enable_grad(), every_module_called():
            with trace.of(self.model):
                outputs = self.model(*given.args, **given.kwargs)
            loss = self._subject.loss(outputs, given.target)
            if loss.requires_grad:
                loss.backward()
            if self._subject.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters.values(), self._subject.clip_norm)
        self.outputs = [tensor.detach() for tensor in tensors_in(outputs)]
        self.loss = loss.detach()
        return trace

    def step(self) -> None:
        """Let the optimizer take its step."""
        with self._random:
            self._stepper.step()

    def follow(self, leader: "_Arm") -> None:
        """Go on from where another is."""
        self.model.load_state_dict(leader.model.state_dict())
        self._stepper.load_state_dict(leader._stepper.state_dict())

    @property
    def gradients(self) -> Named:
        """Return the gradient of each parameter that has one."""
        return {n: p.grad.detach() for n, p in self.parameters.items() if p.grad is not None}

    @property
    def values(self) -> Named:
        """Return the parameters."""
        return {name: p.detach() for name, p in self.parameters.items()}


def _in_forward(one: _Arm, other: _Arm, traces: tuple[Trace, Trace], step: int) -> Parted | None:
    change = largest_change(one.outputs, other.outputs)
    culprit = parting(*traces, _identical, _identical)
    tolerance = _tolerance(one.outputs)
    if change or culprit is not None:
        return Parted("forward", step, change, tolerance, culprit)
    change = largest_change(one.loss, other.loss)
    return Parted("loss", step, change, tolerance) if change else None


def _in_gradients(one: _Arm, other: _Arm, step: int) -> Parted | None:
    return _worst("gradient", one.gradients, other.gradients, step)


def _in_step(one: _Arm, other: _Arm, step: int) -> Parted | None:
    return _worst("step", one.values, other.values, step)


def _worst(
    stage: Literal["gradient", "step"], ones: Named, others: Named, step: int
) -> Parted | None:
    """Return the tensor that differs most, against the largest value of all."""
    gaps: dict[str, float] = {}
    largest = 0.0
    for name, tensor in ones.items():
        a, b = (_dense(t) for t in (tensor, others.get(name, tensor.new_full((), torch.nan))))
        if not a.numel():
            continue
        largest = max(largest, size_of(a))
        if a.shape != b.shape or not _identical(a, b):
            gaps[name] = float(apart(a, b).max()) if a.shape == b.shape else torch.inf
    if not gaps:
        return None
    name = max(gaps, key=gaps.__getitem__)
    change = gaps[name] / (largest or 1.0)
    tolerance = _tolerance(list(ones.values()))
    return Parted(stage, step, change, tolerance, parameter=clean_text(name))


def _tolerance(tensors: list[torch.Tensor]) -> float:
    """Return what counts as rounding in the coarsest of some tensors."""
    return max((TOLERANCES.get(t.dtype, 0.0) for t in tensors), default=TOLERANCES[torch.float32])


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return torch.view_as_real(dense) if dense.is_complex() else dense


def _identical(one: torch.Tensor, other: torch.Tensor) -> bool:
    same = one.shape == other.shape
    return same and bool(((one == other) | (one.isnan() & other.isnan())).all())
