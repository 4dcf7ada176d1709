"""Short training runs from fresh weights, on real inputs or on blank ones."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.subject import TargetFacts
from auditor.experiments.examples import distinct, gathered, mixed
from auditor.experiments.lab import affordable, cycled, halving
from auditor.experiments.training import at_rate, settled, train
from auditor.intake.batches import Batch
from auditor.intake.modes import dropout_off
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.intake.targets import TargetSurvey
from auditor.observations.short_run import (
    FACTORS,
    LOOKS,
    PROBES,
    WIDER,
    Run,
    ShortRuns,
    ShortRunsOver,
)

LEAST_STEPS = 30
"""Steps below which nothing could be said of a run."""
LEAST_EXAMPLES = 8
"""Examples below which no batch is cut to afford more steps."""
SHARERS = 3
"""Runs that share a budget; the same for every request, so that their runs can be compared."""
KEPT = ("mask", "length", "lens")
"""Inputs whose names hold one of these say which others count; they are never blanked."""
STUCK = 0.01
"""Share of the loss that no rate near the usual one takes off where others are tried."""
FOUND = 0.1
"""Share of the loss that a rate has to take off to end the search."""


def short_runs(request: ShortRunsOver, subject: Subject) -> ShortRuns | Unavailable:
    """Train fresh models for some steps on the first batches of a split, over and over."""
    split: Split = "train" if request.split == "train" else "val"
    first = subject.fresh(derived_seed(subject.seed, "short run 0"))
    if not any(p.requires_grad for p in first.parameters()):
        return Unavailable("the model has no trainable parameters")
    facts = subject.facts.data[split]
    size = max(1, facts.batch_size)
    while size > LEAST_EXAMPLES and _steps(subject, request, size) < request.steps:
        size = max(LEAST_EXAMPLES, size // 2)
    steps = _steps(subject, request, size)
    if steps < min(LEAST_STEPS, request.steps):
        return Unavailable(
            f"the model is so large that only {steps} steps of training could be afforded"
        )
    notes = [f"each batch was cut to {size} examples"] if size < facts.batch_size else []

    def attempt(fraction: float) -> ShortRuns | Unavailable:
        cut = size if fraction == 1.0 else max(1, int(size * fraction))
        return _Runner(request, subject, split, steps, cut).answer()

    made, note = halving(attempt)
    if isinstance(made, Unavailable):
        return made
    return replace(made, note="; ".join([*notes, *([note] if note else [])]))


def _steps(subject: Subject, request: ShortRunsOver, size: int) -> int:
    return affordable(subject, request.steps, size, SHARERS)


class _Runner:
    """Makes the runs of one request, all on the same batches."""

    def __init__(
        self, request: ShortRunsOver, subject: Subject, split: Split, steps: int, size: int
    ) -> None:
        self._request, self._subject, self._split = request, subject, split
        self._steps, self._size = steps, size
        self._optimizer, self._instead = settled(subject)
        self._mixed: list[Batch] = []
        if split == "val":
            # Validation data may come sorted, since nobody trains on it: mix it first.
            with seeded(derived_seed(subject.seed, "short run, order")):
                self._mixed = mixed(gathered(subject, split, steps), size)
        known = len(self._mixed) or subject.facts.data[split].batches
        self._probes = list(itertools.islice(self._batches(), min(PROBES, known)))

    def _source(self) -> Iterator[Batch]:
        if not self._mixed:
            return cycled(self._subject, self._split, self._steps)
        again = itertools.islice(itertools.cycle(self._mixed), self._steps)
        return (batch.to(self._subject.device) for batch in again)

    def _batches(self) -> Iterator[Batch]:
        for batch in self._source():
            cut = batch if batch.size <= self._size else batch.take(self._size)
            yield cut if self._request.inputs == "real" else blank(cut)

    def answer(self) -> ShortRuns | Unavailable:
        subject = self._subject
        try:
            runs = [self._run(number, 1.0) for number in range(self._request.seeds)]
        except RuntimeError as error:
            if "sparse" not in str(error).lower():
                raise
            return Unavailable(f"{self._optimizer.name} can't take this model's sparse gradients")
        if not len(runs[0].losses):
            return Unavailable("no batch could be trained on")
        assert subject.loss is not None
        return ShortRuns(
            runs=tuple(runs),
            others=tuple(self._others(runs[0])) if self._request.inputs == "real" else (),
            steps=self._steps,
            examples=max(batch.size for batch in self._probes),
            batches=subject.facts.data[self._split].batches,
            optimizer=str(self._optimizer),
            learning_rate=self._optimizer.lr,
            instead=self._instead,
            loss=subject.loss.known if subject.loss.plain else "",
            targets=self._targets(),
            inputs=self._request.inputs,
            alike=all(len(distinct(batch)) == 1 for batch in self._probes),
            split=self._split,
        )

    def _targets(self) -> TargetFacts:
        """Return the distribution of the targets of the probes."""
        assert self._subject.loss is not None
        survey = TargetSurvey()
        for number, batch in enumerate(self._probes):
            survey.add(batch.target, number)
        return survey.facts(self._subject.facts.task, self._subject.loss.ignored)

    def _others(self, usual: Run) -> Iterator[Run]:
        """Yield runs at other rates: near ones always, far ones until one of them gets on."""
        near = [self._run(0, factor) for factor in FACTORS]
        yield from near
        if any(_gains(run, STUCK) for run in (usual, *near)):
            return
        lower = not usual.finite or usual.probes[-1].mean() > usual.probes[0].mean()
        for factor in (factor for factor in WIDER if (factor < 1) == lower):
            run = self._run(0, factor)
            yield run
            if _gains(run, FOUND):
                return

    def _run(self, number: int, factor: float) -> Run:
        subject = self._subject
        seed = derived_seed(subject.seed, f"short run {number}")
        optimizer: OptimizerSpec = at_rate(self._optimizer, self._optimizer.lr * factor)
        with seeded(seed):
            model = subject.fresh(seed)
            looks = [self._look(model)]

            def watch(taken: int, loss: torch.Tensor, outputs: Any) -> bool:
                if taken == self._steps // 2:
                    looks.append(self._look(model))
                return False

            losses = train(
                subject,
                model,
                self._batches(),
                optimizer,
                clip_norm=subject.clip_norm,
                watch=watch,
            )
            looks.append(self._look(model))
        probes = np.asarray([looks[0], *looks[-2:]] if len(looks) == LOOKS else [*looks, looks[-1]])
        return Run(factor, losses, probes)

    @torch.no_grad()
    def _look(self, model: nn.Module) -> list[float]:
        """Return the loss of each probe, dropout off; the model's modes stay as they are."""
        subject = self._subject
        assert subject.loss is not None
        was = [(module, module.training) for module in model.modules()]
        losses = []
        for batch in self._probes:
            dropout_off(model, batch.size)
            losses.append(subject.loss(model(*batch.args, **batch.kwargs), batch.target))
        for module, training in was:
            module.training = training
        return torch.stack(losses).tolist()


def _gains(run: Run, share: float) -> bool:
    before, _, after = np.asarray(run.probes, float).mean(axis=1)
    return run.finite and bool(before - after > share * abs(before))


def blank(batch: Batch) -> Batch:
    """Return the batch with every input zero, apart from masks and lengths."""

    def zeroed(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if tensor.dtype == torch.bool else torch.zeros_like(tensor)

    done = batch.with_inputs(zeroed)
    kept = {
        name: value
        for name, value in batch.kwargs.items()
        if any(word in name.lower() for word in KEPT)
    }
    return Batch(done.args, {**done.kwargs, **kept}, done.target)
