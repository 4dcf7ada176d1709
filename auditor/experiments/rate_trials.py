"""Range tests and short races of learning rates, on copies of the model."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, cycled, halving, private_copy
from auditor.experiments.steppers import NoStepperError, Stepper, stepper_for
from auditor.intake.batches import Batch
from auditor.intake.modes import dropout_off, keep_statistics
from auditor.intake.norms import norms
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.rate_trials import (
    ARMS,
    PROBES,
    RACE,
    RANGE,
    SCAN,
    Arm,
    Kind,
    RateRange,
    RateTrials,
    RateTrialsOver,
)

BEYOND = 4.0
"""Times its best beyond which a loss has blown up; fastai's learning-rate finder stops there."""
TOP, BOTTOM = 3.0, 1e-3
"""The range, in units of the longest single step that does no harm: longer ones do harm at once,
and those a thousand times shorter do nothing in a few steps."""
FAR = 10.0
"""Times the recommended interval beyond which the race is between it and the declared rate."""
GATHER = 3
"""Steps of a race from a checkpoint that only gather the optimizer's moments, where none are saved:
the first step of Adam would move every weight by the whole rate, that of momentum by a tenth."""
NEAR = 5.0
"""Times the edge up to which a ramp may bring the weights to where a rate does no harm."""
JUMP = 1.05
"""Times the first loss above which the first steps have made a loss jump."""
SHARE = 3
"""Part of an experiment's budget that trials take, one of three."""
LEAST_EXAMPLES = 8
"""Examples below which no batch is cut to afford the steps."""


class _NoGradientError(Exception):
    """The loss does not depend on anything that is trained."""


def rate_trials(request: RateTrialsOver, subject: Subject) -> RateTrials | Unavailable:
    """Return a range test from a start, and the race that it calls for."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")
    run = RANGE[request.start] + ARMS[request.start] * RACE[request.start]
    size = full = max(1, subject.facts.data["train"].batch_size)
    seeds = request.seeds
    while seeds > 1 and affordable(subject, run, size, seeds * SHARE) < run:
        seeds -= 1
    while size > LEAST_EXAMPLES and affordable(subject, run, size, seeds * SHARE) < run:
        size = max(LEAST_EXAMPLES, size // 2)
    if affordable(subject, run, size, seeds * SHARE) < run:
        return Unavailable("the model is so large that a few steps of training can't be afforded")
    notes = [f"each batch was cut to {size} examples"] if size < full else []
    cheaper = replace(request, seeds=seeds)

    def attempt(fraction: float) -> RateTrials | Unavailable:
        try:
            return _Trials(cheaper, subject, derived_seed(subject.seed, request.key),
                           fraction * size / full).answer()  # fmt: skip
        except _NoGradientError:
            return Unavailable("no gradient comes from the loss, so that no step is made")
        except NoStepperError as error:
            return Unavailable(str(error))
        except RuntimeError as error:
            if "sparse" not in str(error).lower():
                raise
            return Unavailable("the optimizer can't take this model's sparse gradients")

    made, note = halving(attempt)
    if isinstance(made, Unavailable):
        return made
    return replace(made, note="; ".join([*notes, *([note] if note else [])]))


class _Trials:
    """Makes the trials of one request."""

    def __init__(
        self, request: RateTrialsOver, subject: Subject, seed: int, fraction: float
    ) -> None:
        self._request, self._subject = request, subject
        self._seed, self._fraction = seed, fraction
        self._fresh = request.start == "fresh"
        self._instead = ""

    def answer(self) -> RateTrials | Unavailable:
        request = self._request
        model, stepper = self._begun(0)
        self._instead = stepper.instead
        longest = self._scanned(model, stepper)
        if isinstance(longest, str):
            return Unavailable(longest)
        start = request.start
        count = max(RANGE[start], RACE[start])
        models = range(request.seeds if self._fresh else 1)
        self._base = [self._plain_losses(count, number) for number in models]
        found = self._ranged(longest)
        before = self._before()
        arms = () if self._instead else tuple(self._raced(found, stepper, before))
        return RateTrials(
            start=request.start,
            optimizer=stepper.shown,
            declared=math.nan if self._instead else stepper.rate,
            instead=self._instead,
            groups=len(stepper.bases),
            adaptive=stepper.adaptive,
            momentum=stepper.momentum,
            restored=stepper.restored,
            range=found,
            before=before,
            arms=arms,
            steps=RACE[request.start],
        )

    def _begun(self, number: int) -> tuple[nn.Module, Stepper]:
        """Return a model to train and its optimizer, both new."""
        subject = self._subject
        assert subject.model is not None
        seed = derived_seed(self._seed, str(number))
        with seeded(seed):
            model = subject.fresh(seed) if self._fresh else private_copy(subject)
        if self._fresh:
            theirs = dict(subject.model.named_parameters())
            for name, parameter in model.named_parameters():
                if name in theirs:
                    parameter.requires_grad_(theirs[name].requires_grad)
        return model, stepper_for(subject, model, fresh=self._fresh)

    def _turned(self, steps: int, number: int) -> Iterator[Batch]:
        """Yield the first batches, each run's beginning with another of them."""
        shift = number * steps // max(1, self._request.seeds)
        for first, last in ((shift, None), (0, shift)):
            whole = cycled(self._subject, "train", steps, self._fraction)
            yield from itertools.islice(whole, first, last)

    def _probing(self) -> Iterator[Batch]:
        steps = RACE[self._request.start]
        count = steps + PROBES[self._request.start]
        whole = cycled(self._subject, "train", count, self._fraction)
        return itertools.islice(whole, steps, None)

    def _scanned(self, model: nn.Module, stepper: Stepper) -> float | str:
        """Return the longest first step that does no harm, in learning rate, or why there is none.

        Lengths a decade apart are tried, up to one that moves the weights by their whole norm.
        """
        parameters = [p for p in model.parameters() if p.requires_grad]
        batch = next(iter(cycled(self._subject, "train", 1, self._fraction)), None)
        if batch is None:
            return "no batch could be trained on"
        model.train()
        with seeded(self._seed), torch.enable_grad():
            loss = self._loss(model, batch)
            before = [p.detach().clone() for p in parameters]
            level = float(loss.detach())
            if not math.isfinite(level):
                return "the loss is not finite before any step is made"
            loss.backward()
            self._clip(parameters)
            stepper.at(stepper.rate)
            stepper.optimizer.step()
        moved = torch._foreach_sub([p.detach() for p in parameters], before)
        far = float(norms(moved).norm()) / max(float(norms(before).norm()), 1e-12)
        if not math.isfinite(far):
            return "the first gradient is not finite, so that no step can be made"
        if not far:
            return "the first step moves no weight: its gradient is zero"
        unit = stepper.rate / far
        quiet = (BEYOND - 1) * max(abs(level), 1e-12)
        longest = unit * 10.0 ** (1 - SCAN)
        with torch.no_grad():
            for place in range(SCAN):
                length = 10.0 ** (place - SCAN + 1)
                for p, start, step in zip(parameters, before, moved, strict=True):
                    p.copy_(start + step * (length / far))
                with seeded(self._seed):
                    model.train()
                    after = float(self._loss(model, batch))
                if not after < level + quiet:
                    break
                longest = unit * length
        return longest

    def _ranged(self, longest: float) -> RateRange:
        steps = RANGE[self._request.start]
        rates = longest * np.geomspace(BOTTOM, TOP, steps)
        rows, firsts, stops = [], [], []
        for number in range(self._request.seeds):
            model, stepper = self._begun(number)
            offset = self._offset(steps, number)
            best, stop = math.inf, "end"
            losses: list[float] = []

            def watch(place: int, loss: torch.Tensor) -> bool:
                nonlocal best, stop
                value = float(loss) - offset[place]  # noqa: B023 - used within this turn alone
                losses.append(value)  # noqa: B023
                best = min(best, value)
                if not math.isfinite(value):
                    stop = "not finite"
                elif value > best + (BEYOND - 1) * max(abs(best), abs(losses[0]) / BEYOND):  # noqa: B023
                    stop = "loss"
                return stop != "end"

            with seeded(derived_seed(self._seed, f"range {number}")):
                batches = self._turned(steps, number)
                self._trained(model, stepper, batches, lambda place: rates[place], watch)
            row = np.full(steps, np.nan)
            row[: len(losses)] = losses
            if stop != "end":
                row[len(losses) - 1 :] = np.nan
            rows.append(row)
            firsts.append(losses[0] if losses else math.nan)
            stops.append(stop)
        table = np.asarray(rows)
        return RateRange(rates[:-1], table[:, 1:], np.asarray(firsts), tuple(stops))  # type: ignore[arg-type]

    def _offset(self, steps: int, number: int) -> Array:
        """Return by how much the batches of a run differ before any step."""
        base = self._base[number if self._fresh else 0][:steps]
        if base.size < steps or not np.isfinite(base).all():
            return np.zeros(steps)
        return np.roll(base - base.mean(), -(number * steps // max(1, self._request.seeds)))

    @torch.no_grad()
    def _plain_losses(self, steps: int, number: int) -> Array:
        """Return what each of the first batches costs before any step, in training mode."""
        model, _ = self._begun(number)
        model.train()
        losses = []
        with seeded(self._seed):
            for batch in cycled(self._subject, "train", steps, self._fraction):
                if batch.size == 1:
                    keep_statistics(model)
                losses.append(self._loss(model, batch))
        return torch.stack(losses).double().cpu().numpy() if losses else np.zeros(0)

    def _before(self) -> Array:
        """Return the probes' losses before any step, [seeds, batches]."""
        if not self._fresh:
            row = self._probed(self._begun(0)[0])
            return np.asarray([row] * self._request.seeds)
        return np.asarray([self._probed(self._begun(n)[0]) for n in range(self._request.seeds)])

    @torch.no_grad()
    def _probed(self, model: nn.Module) -> list[float]:
        losses = []
        with seeded(self._seed):
            for batch in self._probing():
                dropout_off(model, batch.size)
                losses.append(self._loss(model, batch))
        return torch.stack(losses).tolist() if losses else []

    def _raced(self, found: RateRange, stepper: Stepper, before: Array) -> Iterator[Arm]:
        """Yield the copies at the declared rate, and those that answer what these leave open."""
        rate, edge = stepper.rate if self._fresh else stepper.last, found.edge
        if not rate > 0:
            return
        usual = self._arm("declared", rate)
        yield usual
        short = found.falls and rate < interval_of(found)[0] / FAR
        if not self._fresh:
            if short:
                yield self._arm("recommended", recommended(found))
            else:
                yield self._arm("tenth", rate / 10)
            return
        helped = False
        if not short and not rate > NEAR * edge and _jumps(usual):
            ramp = self._arm("ramp", rate)
            yield ramp
            helped = float(np.mean(ramp.probes)) < float(np.mean(before)) - found.noise
        if short or (found.falls and rate > edge and not helped):
            yield self._arm("recommended", recommended(found))

    def _arm(self, kind: Kind, rate: float) -> Arm:
        steps = RACE[self._request.start]
        grown = max(1, steps // 2)
        losses, probes = [], []
        for number in range(self._request.seeds):
            model, stepper = self._begun(number)

            remembers = stepper.adaptive or stepper.momentum > 0
            bare = not self._fresh and remembers and not stepper.restored

            def at(place: int, bare: bool = bare) -> float:
                if bare and place < GATHER:
                    return 0.0
                return rate * min(1.0, (place + 1) / grown) if kind == "ramp" else rate

            seen: list[torch.Tensor] = []

            def watch(place: int, loss: torch.Tensor) -> bool:
                seen.append(loss)  # noqa: B023 - used within this turn alone
                return False

            with seeded(derived_seed(self._seed, f"race {number}")):
                self._trained(model, stepper, self._turned(steps, number), at, watch)
            row = torch.stack(seen).double().cpu().numpy() if seen else np.zeros(0)
            row = row - self._offset(steps, number)[: row.size]
            losses.append(np.where(np.isfinite(row), row, np.nan))
            probes.append(self._probed(model))
        return Arm(kind, rate, np.asarray(losses), np.asarray(probes, float))

    def _trained(
        self,
        model: nn.Module,
        stepper: Stepper,
        batches: Iterator[Batch],
        rate: Callable[[int], float],
        watch: Callable[[int, torch.Tensor], bool],
    ) -> None:
        """Train at a rate of its own each step, until `watch` has seen enough of the loss."""
        parameters = [p for p in model.parameters() if p.requires_grad]
        model.train()
        with torch.enable_grad():
            for place, batch in enumerate(batches):
                if batch.size == 1:
                    keep_statistics(model)
                stepper.optimizer.zero_grad()
                loss = self._loss(model, batch)
                if not loss.requires_grad:
                    raise _NoGradientError
                if watch(place, loss.detach()):
                    return
                loss.backward()
                self._clip(parameters)
                stepper.at(rate(place))
                stepper.optimizer.step()

    def _clip(self, parameters: list[nn.Parameter]) -> None:
        if self._subject.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, self._subject.clip_norm)

    def _loss(self, model: nn.Module, batch: Batch) -> Any:
        assert self._subject.loss is not None
        return self._subject.loss(model(*batch.args, **batch.kwargs), batch.target)


def interval_of(found: RateRange) -> tuple[float, float]:
    """Return the interval of rates that a range test recommends."""
    return found.edge / 100, found.edge / 3


def recommended(found: RateRange) -> float:
    """Return the rate within the interval that is tried: a tenth of the edge."""
    return found.edge / 10


def _jumps(usual: Arm) -> bool:
    """Tell whether the first steps made the loss jump, or lost it."""
    if usual.lost:
        return True
    mean = np.asarray(usual.losses, float).mean(axis=0)
    return bool(mean.max() > JUMP * mean[0])
