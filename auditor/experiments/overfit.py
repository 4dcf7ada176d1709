"""Attempts to learn a few examples by heart."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.examples import by_turns, distinct, gathered, labels_of
from auditor.experiments.floor import Floor, floor_of
from auditor.experiments.knowledge import examination, untrained
from auditor.experiments.lab import BUDGET, CUDA_TIMES, TRAINING_PASSES, forward_cost, halving
from auditor.experiments.silence import cut_off, quiet, silent
from auditor.experiments.training import at_rate, settled, train
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.overfit import (
    BATCH,
    FEW,
    LONG,
    RATES,
    RESCUES,
    Fit,
    OverfitTrials,
    OverfitTrialsOver,
)
from auditor.observations.performance import Performance

READ = 16
"""Batches among which examples are chosen."""
MOST_VALUES = 2048
"""Target values in the large set; of examples with many targets there are fewer."""
LEAST_STEPS = 30
"""Steps below which an attempt says nothing."""
HALVED = 0.5
"""Share of its start below which a loss of unknown floor counts as near it."""
LITTLE = 0.05
"""The same where nothing is classified, so that the loss alone tells."""


@dataclass(frozen=True)
class Recipe:
    """How to train; `factor` of the declared learning rate, NaN for another optimizer."""

    optimizer: OptimizerSpec
    factor: float
    clip_norm: float | None
    steps: int


def overfit_trials(request: OverfitTrialsOver, subject: Subject) -> OverfitTrials | Unavailable:
    """Train fresh models on a few examples until they know them, or no step is left."""
    split: Split = "train" if request.split == "train" else "val"
    first = subject.fresh(_seed(subject, 0))
    if not any(p.requires_grad for p in first.parameters()):
        return Unavailable("the model has no trainable parameters")
    pool = max(gathered(subject, split, READ), key=lambda batch: batch.size)
    targets = list(tensors_in(pool.target))
    if pool.size < FEW or not targets or any(pool.axis(target) is None for target in targets):
        return Unavailable("single examples can't be told apart in the batches")
    made, _ = halving(lambda fraction: _Trials(request, subject, split, pool).answer())
    return made


def _seed(subject: Subject, number: int) -> int:
    return derived_seed(subject.seed, f"overfit {number}")


class _Trials:
    """Makes the attempts of one request within one budget of operations."""

    def __init__(
        self, request: OverfitTrialsOver, subject: Subject, split: Split, pool: Batch
    ) -> None:
        self._request, self._subject, self._split, self._pool = request, subject, split, pool
        self._left = BUDGET * (CUDA_TIMES if subject.device.type == "cuda" else 1)
        self._fits: list[Fit] = []
        self._labels = labels_of(pool)
        self._different = distinct(pool)
        self._usual, self._instead = settled(subject)

    def answer(self) -> OverfitTrials | Unavailable:
        subject, request = self._subject, self._request
        assert subject.loss is not None
        per_example = sum(t.numel() for t in tensors_in(self._pool.target)) // self._pool.size
        most = min(BATCH, max(FEW, MOST_VALUES // max(1, per_example)))
        many, few = self._set(most), self._set(FEW)
        mute: tuple[tuple[str, ...], tuple[str, ...]] = (), ()
        cut: tuple[str, ...] = ()
        probabilities, scores, shown = False, list[float](), math.nan
        exam = examination(subject)
        floor = floor_of(subject, many)
        if len(self._different) >= FEW:
            model, recipes = self._search(many, floor)
            if not self._fits:
                return Unavailable(
                    f"the model is so large that not even {LEAST_STEPS} steps on {many.size} "
                    "examples could be afforded"
                )
            fresh, seed = subject.fresh(_seed(subject, 0)), _seed(subject, 0)
            mute = (
                silent(subject, fresh, many, seed),
                silent(subject, model, many, seed) if model is not None else (),
            )
            if not any(fit.reached for fit in self._fits):
                probabilities = self._probabilities(fresh, many)
            cut = cut_off(subject, fresh, many, mute[0], seed)
            small = floor_of(subject, few)
            for number in range(request.seeds):
                knows = self._until(number, few, small, recipes)
                if knows is not None and self._fits[-1].reached and exam is not None:
                    scores += exam.scores(knows)
                    shown = exam.shown(few) if scores else math.nan
            for number in range(1, request.seeds):
                self._until(number, many, floor, recipes)
        named = subject.fresh(_seed(subject, 0)).named_parameters()
        sizes = {name: p.numel() for name, p in named if p.requires_grad}
        return OverfitTrials(
            fits=tuple(self._fits),
            floor=floor.words,
            floor_known=not math.isnan(floor.near),
            few=few.size,
            many=many.size,
            values=per_example * many.size,
            parameters=sum(sizes.values()),
            tensors=len(sizes),
            silent=mute[0],
            silent_after=mute[1],
            silent_share=sum(sizes[n] for n in mute[0] if n in mute[1]) / sum(sizes.values()),
            cut_off=cut,
            probabilities=probabilities,
            outputs=subject.facts.outputs,
            loss=subject.loss.known,
            optimizer=str(self._usual),
            learning_rate=self._usual.lr,
            instead=self._instead,
            clipped=subject.clip_norm is not None,
            read=self._pool.size,
            different=len(self._different),
            labels=len(set(self._labels)),
            validation=np.asarray(scores, float),
            shown=shown,
            unshown=untrained(exam) if exam is not None and self._fits else None,
            split=self._split,
        )

    def _set(self, most: int) -> Batch:
        """Return up to `most` examples with inputs of their own, their targets taking turns."""
        chosen = by_turns(self._labels, self._different, most)
        return self._pool.rows(torch.tensor(chosen)).to(self._subject.device)

    def _recipes(self) -> Iterator[Recipe]:
        steps, usual = self._request.steps, self._usual
        yield Recipe(usual, math.nan if self._instead else 1.0, self._subject.clip_norm, steps)
        for rate in RATES:
            adam = OptimizerSpec(name="Adam", lr=rate)
            if adam != usual:
                yield Recipe(adam, math.nan, None, steps)

    def _search(self, many: Batch, floor: Floor) -> tuple[nn.Module | None, list[Recipe]]:
        """Return the model of the last attempt, and the recipes for all others, best first."""
        recipes = list(self._recipes())
        for recipe in recipes:
            model = self._attempt(0, many, floor, recipe)
            if model is not None and self._fits[-1].reached:
                self._rescued(many, floor, recipe)
                return model, [recipe, *(other for other in recipes if other is not recipe)]
        if not self._fits:
            return None, recipes
        ways = [(fit.way, fit.fall, -number) for number, fit in enumerate(self._fits)]
        best = recipes[-max(ways)[-1]]
        patient = Recipe(best.optimizer, best.factor, best.clip_norm, LONG * best.steps)
        model = self._attempt(0, many, floor, patient)
        if self._fits[-1].reached:
            self._rescued(many, floor, patient)
        return model, [patient if self._fits[-1].reached else best]

    def _rescued(self, many: Batch, floor: Floor, winner: Recipe) -> None:
        """Try smaller rates where another optimizer succeeds and the declared one gets nowhere."""
        declared = self._fits[0]
        if winner.factor == 1.0 or not declared.declared:
            return
        if declared.steady and declared.falling:
            return
        for factor in RESCUES:
            optimizer = at_rate(self._usual, self._usual.lr * factor)
            recipe = Recipe(optimizer, factor, self._subject.clip_norm, self._request.steps)
            self._attempt(0, many, floor, recipe)
            if self._fits[-1].reached:
                return

    def _until(
        self, number: int, batch: Batch, floor: Floor, recipes: list[Recipe]
    ) -> nn.Module | None:
        """Return the model of the first attempt that succeeds, else of the last one."""
        model = None
        for recipe in recipes:
            model = self._attempt(number, batch, floor, recipe)
            if model is not None and self._fits[-1].reached:
                break
        return model

    def _attempt(self, number: int, batch: Batch, floor: Floor, recipe: Recipe) -> nn.Module | None:
        """Return the model trained, None where that can't be afforded or done."""
        subject = self._subject
        price = forward_cost(subject, batch.size) * TRAINING_PASSES
        steps = min(recipe.steps, int(self._left / price))
        if steps < LEAST_STEPS:
            return None
        watch = _Watch(self, batch, floor)
        seed = _seed(subject, number)
        with seeded(seed):
            model = subject.fresh(seed)
            try:
                losses = train(
                    subject,
                    model,
                    itertools.repeat(batch, steps),
                    recipe.optimizer,
                    clip_norm=recipe.clip_norm,
                    mode=lambda model: quiet(model, batch.size),
                    watch=watch,
                )
            except RuntimeError as error:
                if "sparse" not in str(error).lower():
                    raise
                return None
        self._left -= price * len(losses)
        self._fits.append(
            Fit(
                seed=number,
                examples=batch.size,
                optimizer=str(recipe.optimizer),
                factor=recipe.factor,
                losses=losses,
                floor=floor.value,
                near=watch.near,
                constant=floor.constant,
                accuracy=self.accuracy(watch.outputs, batch),
                best_accuracy=floor.best_accuracy,
                reached=watch.reached,
            )
        )
        return model

    def accuracy(self, outputs: Any, batch: Batch) -> float:
        """Return the share of targets predicted right, NaN where nothing is classified."""
        scorer = Scorer(self._subject, self._split)
        scorer.add(outputs, batch.target, None)
        found = scorer.result()
        classified = isinstance(found, Performance) and found.metric == "accuracy"
        return found.score if classified else math.nan  # type: ignore[union-attr]

    @torch.no_grad()
    def _probabilities(self, model: nn.Module, batch: Batch) -> bool:
        """Tell whether the outputs of each example are positive and sum to one."""
        quiet(model, batch.size)
        outputs = main_output(model(*batch.args, **batch.kwargs))
        if not isinstance(outputs, torch.Tensor) or outputs.ndim < 2 or outputs.is_complex():
            return False
        sums = [outputs.double().sum(dim) for dim in {1, outputs.ndim - 1}]
        ones = any(bool((total - 1).abs().max() < 1e-3) for total in sums)
        return ones and bool((outputs >= 0).all())


class _Watch:
    """Ends an attempt once its loss is near the floor and all targets are predicted right."""

    def __init__(self, trials: _Trials, batch: Batch, floor: Floor) -> None:
        self._trials, self._batch, self._floor = trials, batch, floor
        self.near = floor.near
        self.reached = False
        self.outputs: Any = None

    def __call__(self, taken: int, loss: torch.Tensor, outputs: Any) -> bool:
        """Tell whether the loss before step `taken` is near enough."""
        value, self.outputs = float(loss), outputs
        if math.isnan(self.near):
            self.near = self._own(value)
        if value <= self.near:
            accuracy = self._trials.accuracy(outputs, self._batch)
            self.reached = not accuracy < self._floor.best_accuracy - 1e-6
        return self.reached

    def _own(self, start: float) -> float:
        """Return what counts as near where the floor is not known."""
        classified = not math.isnan(self._trials.accuracy(self.outputs, self._batch))
        if start > 0:
            return start * (HALVED if classified else LITTLE)
        return math.inf if classified else -math.inf
