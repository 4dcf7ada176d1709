"""Racing a loss against its suspected cure, on two copies of one fresh model."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, cycled, halving, in_parts, private_copy, scored
from auditor.experiments.last_activation import Bare, instead
from auditor.experiments.loss_probe import probed, read
from auditor.experiments.training import USUAL, train
from auditor.intake.batches import tensors_in
from auditor.intake.losses import Loss, main_output, matched
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.loss_cure import SCORED, LossCure, LossCureFrom
from auditor.observations.loss_fit import CLASS_LOSSES, NUMBER_LOSSES, Cure, Rows, rows_of
from auditor.observations.loss_misfits import misfits
from auditor.observations.loss_probe import LossProbe

TINY = 1e-7
"""Least probability whose logarithm is taken, about what single precision tells from 0 and 1."""


def loss_cure(request: LossCureFrom, subject: Subject) -> LossCure | Unavailable:
    """Return what the cure of the worst misfit does; unavailable where there is none to try."""
    split: Split = "train" if request.split == "train" else "val"
    probe = in_parts(subject, lambda: probed(subject, split, request.probe.batches))
    if isinstance(probe, Unavailable):
        return probe
    rows = _suspected(rows_of(probe))
    curable = [(one.kind, one.cure) for one in misfits(probe, rows) if one.cure]
    if not curable:
        return Unavailable("nothing suggests that the loss needs a cure that can be tried")
    scoring: Split = "val" if "val" in subject.data else split
    refused = ""
    for kind, cure in curable:
        race = _Race(subject, kind, cure, probe, rows)
        try:
            readings = race.readings(scoring)
        except InputError as error:
            refused, *_ = str(error).splitlines()
        else:
            break
    else:
        return Unavailable(refused)
    as_it_is, as_cured = readings
    answer = LossCure(
        kind=race.kind,
        same_loss=race.cure.loss == "own",
        as_is=np.zeros(0),
        cured=np.zeros(0),
        metric="",
        scores_as_is=np.zeros(0),
        scores_cured=np.zeros(0),
        checkpoint_as_is=as_it_is,
        checkpoint_cured=as_cured,
        optimizer="",
        split=scoring,
    )
    if subject.factory is None or "train" not in subject.data:
        missing = "a factory" if subject.factory is None else "training data"
        return replace(answer, no_race=f"without {missing} the cure can't be tried")
    if not any(p.requires_grad for p in subject.fresh(subject.seed).parameters()):
        return replace(answer, no_race="the model has no trainable parameters")
    raced, note = halving(lambda fraction: race.run(request, fraction))
    return replace(answer, **raced, no_race=note)


def _suspected(rows: Rows) -> Rows:
    """Return rows whose task is taken for certain: the check may have seen more of them."""
    likely = rows.task.truth in ("exclusive", "binary") and rows.task.sure == "likely"
    return replace(rows, task=replace(rows.task, sure="certain")) if likely else rows


@dataclass(frozen=True)
class _Race:
    """A loss and its cure, on models of one subject."""

    subject: Subject
    kind: str
    cure: Cure
    probe: LossProbe
    rows: Rows

    def run(self, request: LossCureFrom, fraction: float) -> dict[str, Any]:
        """Return the fields of the answer that the race decides."""
        subject = self.subject
        declared = subject.optimizer
        optimizer = USUAL if declared is None or declared.name == "LBFGS" else declared
        size = max(1, int(subject.facts.data["train"].batch_size * fraction))
        steps = affordable(subject, request.steps, size, runs=2)
        split: Split = "val" if "val" in subject.data else "train"
        seed = derived_seed(subject.seed, request.key)
        curves, marks, metric = [], [], ""
        for curing in (False, True):
            told: list[torch.Tensor] = []
            with seeded(seed):
                model = Bare(subject.fresh(seed))
                watched = partial(self._watched, model, told, curing)
                racer = replace(subject, loss=Loss({"race": watched}, "", "race"))
                train(racer, model, cycled(subject, "train", steps, fraction), optimizer,
                      clip_norm=subject.clip_norm)  # fmt: skip
            curves.append(_numbers(told))
            metric, scores = self._scored(model, split, curing)
            marks.append(scores)
        return {
            "as_is": curves[0],
            "cured": curves[1],
            "metric": metric,
            "scores_as_is": marks[0],
            "scores_cured": marks[1],
            "optimizer": str(optimizer),
        }

    def _watched(
        self, model: Bare, told: list[torch.Tensor], curing: bool, outputs: Any, target: Any
    ) -> torch.Tensor:
        assert self.subject.loss is not None
        cured = self._cured(model, outputs, target)
        told.append(cured.detach())
        return cured if curing else self.subject.loss(outputs, target)

    @torch.no_grad()
    def readings(self, split: Split) -> tuple[float, float]:
        """Return the checkpoint's mean loss as it is and cured, each batch by its examples.

        Raises:
            InputError: the model has no activation to leave out, or the loss takes no such outputs.
        """
        loss = self.subject.loss
        assert loss is not None
        model = Bare(private_copy(self.subject))
        model.eval()
        sizes, as_is, by_cure = [], [], []
        for batch in self.subject.batches(split, SCORED):
            outputs = model(*batch.args, **batch.kwargs)
            if self.cure.outputs == "bare" and model.logits is None:
                raise InputError(
                    "what ends the model is no activation that can be left out on a copy"
                )
            sizes.append(batch.size)
            as_is.append(float(loss(outputs, batch.target)))
            by_cure.append(float(self._cured(model, outputs, batch.target)))
        if not sizes:
            return math.nan, math.nan
        return float(np.average(as_is, weights=sizes)), float(np.average(by_cure, weights=sizes))

    def _cured(self, model: Bare, outputs: Any, target: Any) -> torch.Tensor:
        """Return the cured loss of the outputs that the model has just given."""
        loss = self.subject.loss
        assert loss is not None
        made = self._made(model, outputs, target)
        if self.cure.loss == "own":
            return loss(made, target)
        if self.cure.loss == "mean":
            first = next(tensors_in(target))
            return loss(made, target) / max(1, len(first) if first.ndim else 1)
        if self.cure.loss == "paired":
            main = main_output(made)
            return loss(main, target.reshape(main.shape))
        reading = read(loss, main_output(made), target)
        assert reading is not None
        rows, targets, classes = reading
        if self.cure.loss == "bce_logits":
            low, high = float(self.rows.targets.min()), float(self.rows.targets.max())
            shares = (targets.to(rows.dtype) - low) / ((high - low) or 1.0)
            return functional.binary_cross_entropy_with_logits(rows, shares)
        if classes:
            return functional.cross_entropy(rows, targets, ignore_index=self.probe.ignored_label)
        return functional.cross_entropy(rows, targets.to(rows.dtype))

    def _made(self, model: Bare, outputs: Any, target: Any) -> Any:
        """Return what the cure makes of the outputs, in their place."""
        if self.cure.outputs == "as they are":
            return outputs
        if self.cure.outputs == "bare":
            return outputs if model.logits is None else model.logits
        main = main_output(outputs)
        if self.cure.outputs == "log_softmax":
            scores, _ = matched(main, target, "nll_loss")
            return instead(outputs, functional.log_softmax(main, dim=1 if scores is main else -1))
        return instead(outputs, _INVERSES[self.cure.outputs](main))

    @torch.no_grad()
    def _scored(self, model: Bare, split: Split, curing: bool) -> tuple[str, Array]:
        """Return a metric and what a copy scores by it, target by target."""
        loss, rows, truth = self.subject.loss, self.rows, self.rows.task.truth
        assert loss is not None
        choice = truth in ("classes", "exclusive", "shares") and rows.width > 1
        numbers = truth in ("numbers", "whole numbers")
        if not (choice or numbers or truth in ("binary", "labels")):
            result = scored(self.subject, model, self.subject.batches(split, SCORED), split)
            return ("", np.zeros(0)) if isinstance(result, Unavailable) else (
                result.metric, result.scores)  # fmt: skip
        model.eval()
        marks = []
        for batch in self.subject.batches(split, SCORED):
            put = model(*batch.args, **batch.kwargs)
            put = self._made(model, put, batch.target) if curing else put
            reading = read(loss, main_output(put), batch.target)
            assert reading is not None
            outputs, targets, classes = reading
            if choice:
                right = targets if classes else targets.argmax(dim=1)
                counted = right != self.probe.ignored_label
                marks.append((outputs.argmax(dim=1) == right)[counted].double())
            elif numbers:
                missed = (outputs - targets).double().cpu() / self._units()
                marks.append(missed.square().mean(dim=1))
            else:
                middle = (float(rows.targets.min()) + float(rows.targets.max())) / 2
                said = self._yes(outputs, middle, curing) == (targets > middle)
                marks.append(said.double().mean(dim=1))
        metric = "squared error" if numbers else "accuracy"
        return metric, torch.cat(marks).cpu().numpy() if marks else np.zeros(0)

    def _units(self) -> torch.Tensor:
        """Return what errors are measured in: of several targets, each in its own deviations."""
        targets = torch.as_tensor(self.rows.targets)
        if self.rows.width == 1:
            return torch.ones(1, dtype=torch.float64)
        spread = targets.std(dim=0, correction=0)
        return torch.where(spread > 0, spread, 1.0)

    def _yes(self, outputs: torch.Tensor, middle: float, curing: bool) -> torch.Tensor:
        """Tell which labels the outputs say yes to, as one reads them who wrote such a loss."""
        cure, names = self.cure, set(self.probe.acts_like)
        if curing and (cure.loss == "bce_logits" or cure.outputs != "as they are"):
            return outputs > 0
        if self.rows.form != "probabilities" and names & {*CLASS_LOSSES}:
            return outputs.softmax(dim=1) > middle
        bounded = self.rows.reach.within_one or self.rows.form in ("probabilities", "one")
        return outputs > (middle if bounded or names & {*NUMBER_LOSSES} else 0.0)


def _numbers(told: list[torch.Tensor]) -> Array:
    values = torch.stack(told).double().cpu().numpy() if told else np.zeros(0)
    return np.asarray(values)


_INVERSES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "log": lambda main: main.clamp(min=TINY).log(),
    "logit": lambda main: torch.logit(main, eps=TINY),
    "atanh": lambda main: main.clamp(TINY - 1, 1 - TINY).atanh(),
}
"""From what the model puts out to the logits that it must have had."""
