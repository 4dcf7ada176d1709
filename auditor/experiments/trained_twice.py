"""Two fresh models and two short runs of training from one seed: how far they come out alike."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.distances import largest_change
from auditor.experiments.hidden import GENERATORS, outside, read
from auditor.experiments.lab import affordable, cycled, halving, with_note
from auditor.experiments.probe import TOLERANCES
from auditor.experiments.read_twice import read_twice
from auditor.experiments.side_by_side import parted
from auditor.experiments.training import settled, train
from auditor.intake.batches import Batch
from auditor.intake.preserve import UncopyableError, copied
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.trained_twice import (
    RUNS,
    FreshTwice,
    ReadTwice,
    TrainedTwice,
    TrainedTwiceOver,
)

MOST_NAMED = 20
"""Parameters that are named."""


def trained_twice(request: TrainedTwiceOver, subject: Subject) -> TrainedTwice | Unavailable:
    """Build, read and train twice, each time from the same seed."""
    seed = derived_seed(subject.seed, "trained twice")
    one, other = subject.fresh(seed), subject.fresh(seed)
    if not set(one.parameters()).isdisjoint(other.parameters()) or one is other:
        return Unavailable("the factory hands out the same model each time it is called")
    factory = fresh_twice(subject, one, other)
    del one, other
    size = max(1, subject.facts.data["train"].batch_size)
    steps = affordable(subject, request.steps, size, RUNS)
    loader = read_twice(subject, steps)
    optimizer, instead = settled(subject)

    def attempt(fraction: float) -> TrainedTwice:
        lab = _Lab(subject, seed, optimizer, factory.count == 0)
        batches = list(cycled(subject, "train", steps, fraction))
        return lab.answer(batches, factory, loader, instead)

    try:
        found, note = halving(attempt)
    except RuntimeError as error:
        if "sparse" not in str(error).lower():
            raise
        return Unavailable(f"{optimizer.name} can't take this model's sparse gradients")
    return with_note(found, note)


def fresh_twice(subject: Subject, one: nn.Module, other: nn.Module) -> FreshTwice:
    """Return what is not the same in two fresh models."""
    held, again = dict(_held(one)), dict(_held(other))
    apart: dict[str, float] = {}
    for name in dict.fromkeys([*held, *again]):
        gap = _gap(held.get(name), again.get(name))
        if gap:
            apart[name] = gap
    ranked = sorted(apart, key=lambda name: -apart[name])
    build = next((subject.code[k] for k in ("model.factory", "factory") if k in subject.code), None)
    near = outside(build) if apart and build is not None else {}
    return FreshTwice(
        compared=len({*held, *again}),
        count=len(apart),
        differing=tuple(clean_text(name) for name in ranked[:MOST_NAMED]),
        apart=max(apart.values(), default=0.0),
        outside=tuple(clean_text(n, 100) for n, v in near.items() if isinstance(v, GENERATORS)),
    )


def _held(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield parameters and buffers, and tensors, arrays and generators in plain attributes."""
    yield from model.named_parameters()
    yield from model.named_buffers()
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            path = f"{name}.{key}" if name else key
            if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
                yield path, torch.from_numpy(value)
            elif isinstance(value, (torch.Tensor, *GENERATORS)):
                yield path, value


def _gap(one: Any, other: Any) -> float:
    """Return how far two of what models hold lie apart, as a share of the largest value."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return _tensors_gap(one.detach(), other.detach())
    return 0.0 if type(one) is type(other) and read(one) == read(other) else math.inf


def _tensors_gap(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.layout is not torch.strided or other.layout is not torch.strided:
        one, other = one.to_dense(), other.to_dense()
    return largest_change(one, other) if one.numel() or other.numel() else 0.0


class _Lab:
    """Makes pairs of equal models, and trains them."""

    def __init__(self, subject: Subject, seed: int, optimizer: OptimizerSpec, same: bool) -> None:
        self._subject, self._seed = subject, seed
        self._optimizer, self._same = optimizer, same

    def answer(
        self, batches: list[Batch], factory: FreshTwice, loader: ReadTwice, instead: str
    ) -> TrainedTwice:
        tolerance = TOLERANCES[torch.float32]
        one, other = self._pair()
        losses = [self._trained(model, batches) for model in (one, other)]
        reached = min(map(len, losses))
        missing = "" if reached else "the model has no trainable parameters"
        if not batches:
            missing = "no batch could be trained on"
        weights = _weights_gap(one, other) if reached else 0.0
        told = np.stack([run[:reached] for run in losses])
        parts = len(losses[0]) != len(losses[1]) or weights > 0
        parts = parts or not np.array_equal(told[0], told[1], equal_nan=True)
        del one, other
        found = None
        if reached and parts:
            pair = self._pair()
            found = parted(self._subject, pair, batches, self._optimizer, self._seed)
            tolerance = found.tolerance if found is not None else tolerance
        return TrainedTwice(
            factory=factory,
            loader=loader,
            losses=told,
            weights=weights,
            optimizer=str(self._optimizer),
            instead=instead,
            device=self._subject.device.type,
            tolerance=tolerance,
            parted=found,
            missing=missing,
        )

    def _pair(self) -> tuple[nn.Module, nn.Module]:
        """Return two equal models: of the factory where it builds them so, else a copy."""
        one = self._subject.fresh(self._seed)
        if self._same:
            return one, self._subject.fresh(self._seed)
        try:
            return one, copied(one)
        except UncopyableError:
            other = self._subject.fresh(self._seed)
            other.load_state_dict(one.state_dict())
            return one, other

    def _trained(self, model: nn.Module, batches: list[Batch]) -> Array:
        with seeded(self._seed):
            # Copies, since a model may write to what it is given.
            given = (batch.with_inputs(lambda tensor: tensor.clone()) for batch in batches)
            return train(
                self._subject, model, given, self._optimizer, clip_norm=self._subject.clip_norm
            )


def _weights_gap(one: nn.Module, other: nn.Module) -> float:
    """Return the largest difference of what two models hold as a share of the largest weight."""
    largest, apart = 0.0, 0.0
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=False)
    for a, b in pairs:
        if not isinstance(a, torch.Tensor) or a.layout is not torch.strided or not a.numel():
            continue
        gap = _tensors_gap(a, b)
        if gap:
            size = float(a.abs().double().nan_to_num(0.0, 0.0, 0.0).max())
            apart = max(apart, gap * size if size else gap)
            largest = max(largest, size)
    return apart / (largest or 1.0)
