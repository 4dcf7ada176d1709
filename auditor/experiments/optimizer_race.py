"""A short race from fresh weights between the declared optimizer and others, at tuned rates."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.experiments.declared_optimizer import Declared, RefusedError, declared_of, held_by
from auditor.experiments.lab import (
    BUDGET,
    CALL,
    CUDA_TIMES,
    TRAINING_PASSES,
    cycled,
    forward_cost,
    halving,
    in_parts,
)
from auditor.experiments.optimizer_entries import Entry, entries_of, finalists
from auditor.intake.batches import Batch
from auditor.intake.modes import dropout_off, keep_statistics
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.optimizer_race import (
    Heat,
    OptimizerRace,
    OptimizerRaceOver,
    Racer,
)
from auditor.observations.optimizer_rules import mended

TENSOR = 4 * CALL
"""What an update costs each tensor beside, however small, with its share of building models."""

LEAST_STEPS = 10
"""Steps below which a race tells nothing."""

LEAST_EXAMPLES = 8
"""Examples below which no batch is cut to afford more steps."""

UPDATE = 150.0
"""Floating-point operations that go by while an optimizer updates one weight, and a fresh model is
built now and then: it reads and writes the weight and its moments in main memory."""


def optimizer_race(request: OptimizerRaceOver, subject: Subject) -> OptimizerRace | Unavailable:
    """Choose a rate for each optimizer in a few steps, then let them race from several starts."""
    first = subject.fresh(derived_seed(subject.seed, "optimizer race 0"))
    sizes = [p.numel() for p in first.parameters() if p.requires_grad]
    if not sizes:
        return Unavailable("the model has no trainable parameters")
    del first
    facts = subject.facts.data["train"]
    whole = size = max(1, facts.batch_size)

    def share(examples: int) -> float:
        return min(1.0, _share(request, subject, examples, sum(sizes), len(sizes)))

    while size > LEAST_EXAMPLES and share(size) < 1:
        size = max(LEAST_EXAMPLES, size // 2)
    if share(size) < 1.1 * share(whole):  # it is not the examples that cost
        size = whole
    total = int(request.total * share(size))
    if total // (3 * request.seeds) < min(LEAST_STEPS, request.total // (3 * request.seeds)):
        return Unavailable("the model is so large that too few steps could be afforded to tell")
    request = replace(request, total=total)
    notes = [f"each batch was cut to {size:,} examples"] if size < whole else []

    def attempt(fraction: float) -> OptimizerRace | Unavailable:
        cut = size if fraction == 1.0 else max(1, int(size * fraction))
        return _Race(request, subject, cut).answer()

    def tried() -> tuple[OptimizerRace | Unavailable, str]:
        return halving(attempt)

    found = in_parts(subject, tried) if size < whole else tried()
    if isinstance(found, Unavailable):
        return found
    made, note = found
    if isinstance(made, Unavailable):
        return made
    notes += [note] if note else []
    return replace(made, note="; ".join([*notes, *([made.note] if made.note else [])]))


def _share(
    request: OptimizerRaceOver, subject: Subject, size: int, weights: int, tensors: int
) -> float:
    """Return what share of the race the budget allows."""
    budget = BUDGET * (CUDA_TIMES if subject.device.type == "cuda" else 1)
    step = TRAINING_PASSES * forward_cost(subject, size) + UPDATE * weights + TENSOR * tensors
    return budget / (step * request.cost({"train": 1}).backwards)


class _Race:
    """One race, all of it on the same batches."""

    def __init__(self, request: OptimizerRaceOver, subject: Subject, size: int) -> None:
        self._request, self._subject = request, subject
        wanted = request.looked_at({})["train"]
        batches = subject.facts.data["train"].batches
        # What may be the last, smaller batch of a split is taken as it is.
        pool = list(cycled(subject, "train", min(wanted, max(batches, 1))))
        pool = [batch if batch.size <= size else batch.take(size) for batch in pool]
        held = request.held
        self._apart = len(pool) >= 4 * held
        self._held = pool[:held]
        self._pool = pool[held:] if self._apart else pool
        self._size = max((batch.size for batch in pool), default=0)
        self._notes: list[str] = []

    def answer(self) -> OptimizerRace | Unavailable:
        subject, request = self._subject, self._request
        if not self._pool:
            return Unavailable("no batch could be trained on")
        declared = declared_of(subject)
        own = declared if isinstance(declared, Declared) else None
        absent = declared if isinstance(declared, str) else ""
        entries = entries_of(own, half=any(p.dtype == torch.float16 for p in _parameters(subject)))
        chosen: list[tuple[Entry, float]] = []
        heats: list[Heat] = []
        for entry in entries:
            try:
                heat = self._heat(entry)
            except RefusedError as refused:
                if entry.kind in ("declared", "mended"):
                    absent = str(refused)
                self._notes.append(f"{entry.name} could not be tried: {refused}")
                continue
            if heat is None:
                return Unavailable("no gradient comes from the loss, so that no step is made")
            heats.append(heat)
            chosen.append((entry, heat.rates[heat.chosen]))
        racers = finalists(chosen, heats)
        steps = min(request.steps, request.total // (max(2, len(racers)) * request.seeds))
        seeds = range(1, request.seeds + 1)
        before = [self._before(seed) for seed in seeds]
        ran = []
        for entry, rate in racers:
            try:
                runs = [self._run(entry, rate, seed, steps, look=True) for seed in seeds]
            except RefusedError as refused:
                self._notes.append(f"{entry.name} broke off: {refused}")
                continue
            losses = torch.stack([losses for losses, _ in runs])
            after = torch.stack([after for _, after in runs])
            ran.append(Racer(entry.kind, entry.name, rate, _numbers(losses), _numbers(after)))
        return OptimizerRace(
            own.name if own and not absent else "",
            own.rate if own and not absent else math.nan,
            absent,
            tuple(mended(own.hits)) if own and any(e.kind == "mended" for e, _ in racers) else (),
            tuple(heats),
            tuple(ran),
            _numbers(torch.stack(before)),
            steps,
            request.trial,
            self._size,
            len(self._held),
            self._apart,
            "; ".join(self._notes),
        )

    def _heat(self, entry: Entry) -> Heat | None:
        """Return how the rates of an optimizer did in a few steps; None without any gradient."""
        if len(entry.rates) == 1:
            # Nothing to choose; a step shows whether it can be made at all.
            if not len(self._run(entry, entry.rates[0], 0, 1)[0]):
                return None
            return Heat(entry.kind, entry.name, entry.rates, (math.nan,), 0)
        losses = []
        for rate in entry.rates:
            run, _ = self._run(entry, rate, 0, self._request.trial)
            if not len(run):
                return None
            last = run[-max(1, self._request.trial // 3) :]
            losses.append(float(last.mean()) if bool(run.isfinite().all()) else math.nan)
        known = [loss if math.isfinite(loss) else math.inf for loss in losses]
        return Heat(entry.kind, entry.name, entry.rates, tuple(losses), known.index(min(known)))

    def _run(
        self, entry: Entry, rate: float, seed: int, steps: int, *, look: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Train a fresh model; return the loss before each step, and that of the held batches.

        Without any step where no gradient comes from the loss. Raises `RefusedError` where the
        optimizer can't make one.
        """
        subject = self._subject
        assert subject.loss is not None
        with seeded(self._seed(seed)), torch.enable_grad():
            model = subject.fresh(self._seed(seed))
            try:
                stepper = entry.build(model, rate)
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                raise RefusedError(clean_text(error, 160)) from error
            held = held_by(stepper)
            model.train()
            losses = []
            for batch in self._batches(seed, steps):
                if batch.size == 1:
                    keep_statistics(model)
                model.zero_grad(set_to_none=True)
                loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
                if not loss.requires_grad:
                    return torch.zeros(0), torch.full((), math.nan)
                loss.backward()
                if subject.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(held, subject.clip_norm)
                _step(stepper)
                losses.append(loss.detach().double())
            after = self._looked(model) if look else torch.full((), math.nan)
        return torch.stack(losses), after

    def _seed(self, seed: int) -> int:
        return derived_seed(self._subject.seed, f"optimizer race {seed}")

    def _batches(self, seed: int, steps: int) -> Sequence[Batch]:
        """Return the batches of a run; each start begins elsewhere among them."""
        start = seed * max(1, len(self._pool) // (self._request.seeds + 1))
        return [self._pool[(start + step) % len(self._pool)] for step in range(steps)]

    def _before(self, seed: int) -> torch.Tensor:
        with seeded(self._seed(seed)):
            return self._looked(self._subject.fresh(self._seed(seed)))

    @torch.no_grad()
    def _looked(self, model: nn.Module) -> torch.Tensor:
        """Return the mean loss of the held batches, dropout off."""
        subject = self._subject
        assert subject.loss is not None
        found = []
        for batch in self._held:
            dropout_off(model, batch.size)
            loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
            found.append(loss.detach().double())
        return torch.stack(found).mean()


def _step(stepper: torch.optim.Optimizer) -> None:
    try:
        stepper.step()
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if "memory" in str(error):
            raise
        raise RefusedError(clean_text(f"{type(error).__name__}: {error}", 160)) from error


def _parameters(subject: Subject) -> list[nn.Parameter]:
    assert subject.model is not None
    return [p for p in subject.model.parameters() if p.requires_grad]


def _numbers(values: torch.Tensor) -> Any:
    return torch.where(values.isfinite(), values, math.nan).cpu().numpy()
