"""Racing a loss against its suspected cure, on two copies of one fresh model."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, cycled, halving, in_parts, private_copy, scored
from auditor.experiments.loss_probe import probed, read
from auditor.experiments.training import USUAL, train
from auditor.intake.batches import tensors_in
from auditor.intake.losses import Loss, main_output
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.loss_cure import SCORED, LossCure, LossCureFrom
from auditor.observations.loss_fit import Rows, rows_of
from auditor.observations.loss_misfits import misfits

Cured = Callable[[Any, Any], torch.Tensor]

TINY = 1e-7
"""Least probability whose logarithm is taken, about what single precision tells from 0 and 1."""


def loss_cure(request: LossCureFrom, subject: Subject) -> LossCure | Unavailable:
    """Return what the cure of the worst misfit does; unavailable where there is none to try."""
    assert subject.loss is not None
    split: Split = "train" if request.split == "train" else "val"
    probe = in_parts(subject, lambda: probed(subject, split, request.probe.batches))
    if isinstance(probe, Unavailable):
        return probe
    rows = rows_of(probe)
    curable = [misfit for misfit in misfits(probe, rows) if misfit.cure]
    if not curable:
        return Unavailable("nothing suggests that the loss needs a cure that can be tried")
    chosen = curable[0]
    cured = _cured(subject, chosen.cure)
    scoring: Split = "val" if "val" in subject.data else split
    as_it_is, as_cured = _readings(subject, cured, scoring)
    answer = LossCure(
        kind=chosen.kind,
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
    raced, note = halving(lambda fraction: _raced(request, subject, chosen.cure, rows, fraction))
    return replace(answer, **raced, no_race=note)


def _raced(
    request: LossCureFrom, subject: Subject, cure: str, rows: Rows, fraction: float
) -> dict[str, Any]:
    """Return the fields of the answer that the race decides."""
    assert subject.loss is not None
    declared = subject.optimizer
    optimizer = USUAL if declared is None or declared.name == "LBFGS" else declared
    size = max(1, int(subject.facts.data["train"].batch_size * fraction))
    steps = affordable(subject, request.steps, size, runs=2)
    split: Split = "val" if "val" in subject.data else "train"
    cured = _cured(subject, cure)
    seed = derived_seed(subject.seed, request.key)
    curves, marks = [], []
    metric = ""
    for loss in (subject.loss, cured):
        told: list[torch.Tensor] = []

        def watched(
            outputs: Any,
            target: Any,
            loss: Cured = loss,
            told: list[torch.Tensor] = told,
        ) -> torch.Tensor:
            value = loss(outputs, target)
            told.append(value.detach() if loss is cured else cured(outputs, target).detach())
            return value

        racer = replace(subject, loss=Loss({"race": watched}, "", "race"))
        with seeded(seed):
            model = subject.fresh(seed)
            train(racer, model, cycled(subject, "train", steps, fraction), optimizer,
                  clip_norm=subject.clip_norm)  # fmt: skip
        curves.append(_numbers(told))
        metric, scores = _scored(subject, model, rows, split, cure if loss is cured else "")
        marks.append(scores)
    return {
        "as_is": curves[0],
        "cured": curves[1],
        "metric": metric,
        "scores_as_is": marks[0],
        "scores_cured": marks[1],
        "optimizer": str(optimizer),
    }


def _numbers(told: list[torch.Tensor]) -> Array:
    values = torch.stack(told).double().cpu().numpy() if told else np.zeros(0)
    return np.asarray(values)


@torch.no_grad()
def _readings(subject: Subject, cured: Cured, split: Split) -> tuple[float, float]:
    """Return the checkpoint's mean loss as it is and cured, each batch by its examples."""
    assert subject.loss is not None
    model = private_copy(subject)
    model.eval()
    sizes, as_is, by_cure = [], [], []
    for batch in subject.batches(split, SCORED):
        outputs = model(*batch.args, **batch.kwargs)
        sizes.append(batch.size)
        as_is.append(float(subject.loss(outputs, batch.target)))
        by_cure.append(float(cured(outputs, batch.target)))
    if not sizes:
        return math.nan, math.nan
    return float(np.average(as_is, weights=sizes)), float(np.average(by_cure, weights=sizes))


def _cured(subject: Subject, cure: str) -> Cured:
    """Return the cured loss as a function of the model's outputs as they are, and the target."""
    assert subject.loss is not None
    loss = subject.loss

    def mean(outputs: Any, target: Any) -> torch.Tensor:
        first = next(tensors_in(target))
        return loss(outputs, target) / max(1, len(first) if first.ndim else 1)

    def paired(outputs: Any, target: Any) -> torch.Tensor:
        main = main_output(outputs)
        return loss(main, target.reshape(main.shape))

    def rewritten(outputs: Any, target: Any) -> torch.Tensor:
        reading = read(loss, main_output(outputs), target)
        assert reading is not None
        rows, targets, classes = reading
        if cure in ("bce", "bce_logits"):
            targets = targets.to(rows.dtype)
            if cure == "bce_logits":
                return functional.binary_cross_entropy_with_logits(rows, targets)
            return functional.binary_cross_entropy(rows.clamp(TINY, 1 - TINY), targets)
        logs = functional.log_softmax(_LOGITS[cure](rows), dim=1)
        if classes:
            return functional.nll_loss(logs, targets, ignore_index=loss.ignored)
        return -(targets.to(logs.dtype) * logs).sum(dim=1).mean()

    return {"mean": mean, "paired": paired}.get(cure, rewritten)


_LOGITS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "log": lambda rows: rows.clamp(min=TINY).log(),
    "logit": lambda rows: torch.logit(rows, eps=TINY),
    "atanh": lambda rows: rows.clamp(TINY - 1, 1 - TINY).atanh(),
    "cross_entropy": lambda rows: rows,
}
"""From what the model puts out to the logits that it must have had."""


@torch.no_grad()
def _scored(
    subject: Subject, model: nn.Module, rows: Rows, split: Split, cure: str
) -> tuple[str, Array]:
    """Return a metric and what a copy scores by it, target by target."""
    assert subject.loss is not None
    truth = rows.task.truth
    choice = truth in ("classes", "exclusive", "shares") and rows.width > 1
    numbers = truth in ("numbers", "whole numbers")
    if not (choice or numbers or truth == "binary"):
        result = scored(subject, model, subject.batches(split, SCORED), split)
        if isinstance(result, Unavailable):
            return "", np.zeros(0)
        return result.metric, result.scores
    model.eval()
    bounded = rows.reach.within_one or "mse_loss" in subject.loss.known
    limit = 0.0 if cure == "bce_logits" else 0.5 if bounded else 0.0
    marks = []
    for batch in subject.batches(split, SCORED):
        reading = read(subject.loss, main_output(model(*batch.args, **batch.kwargs)), batch.target)
        assert reading is not None
        outputs, targets, classes = reading
        if choice:
            right = targets if classes else targets.argmax(dim=1)
            marks.append((outputs.argmax(dim=1) == right)[right != subject.loss.ignored].double())
        elif numbers:
            marks.append((outputs - targets).double().square().mean(dim=1))
        else:
            marks.append(((outputs > limit) == (targets > 0.5)).double().mean(dim=1))
    metric = "squared error" if numbers else "accuracy"
    return metric, torch.cat(marks).cpu().numpy() if marks else np.zeros(0)
