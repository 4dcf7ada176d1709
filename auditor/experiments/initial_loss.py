"""The loss of freshly initialised models, before any training, and what would mend it."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.text import clean_text
from auditor.experiments.neutral import constant_cost, growth, knows_nothing, stand_in
from auditor.experiments.rescaling_ways import layouts_of, standardised
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import Loss, main_output
from auditor.intake.modes import dropout_off
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.intake.targets import TargetSurvey
from auditor.observations.initial_loss import (
    LEFT,
    PAIRS,
    FreshLosses,
    FreshLossesOver,
    Remedy,
)

OFF = 1.5
"""From how many times the neutral loss on remedies are tried: well inside every limit."""

LEANS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
"""Factors on the logarithms of the shares of classes with which a constant may suit a loss best: a
focal loss wants less than one."""

REGULARISES = re.compile(r"(^|_)(l1|l2|reg|regulari[sz]\w*|penalty|weight_decay|kl|kld)($|_)")
"""Names of terms that do not depend on the targets but hold the model back."""


Standard = Callable[[torch.Tensor], torch.Tensor]
Remedies = tuple[Remedy, ...]


@dataclass
class Measured:
    """A fresh model's losses by batch, and what it puts out.

    `outputs` stand for what it put out on each batch, the first as it is; `remedied` is the mean
    loss with each remedy that needs no other pass applied to the outputs.
    """

    losses: list[float]
    deviation: float
    outputs: list[torch.Tensor | None]
    remedied: dict[Remedies, float]


def fresh_losses(request: FreshLossesOver, subject: Subject) -> FreshLosses:
    """Measure the loss of `seeds` fresh models on the same batches, and of the checkpoint."""
    assert subject.loss is not None
    assert subject.model is not None
    split: Split = "train" if request.split == "train" else "val"
    batches = [batch.to(subject.device) for batch in subject.data[split].first(request.batches)]
    loss, left_out = _without_regularisation(subject.loss)
    seeds = [derived_seed(subject.seed, f"fresh {number}") for number in range(request.seeds)]
    task = subject.facts.task or ""
    standard = _standard(batches) if task == "regression" else None
    measured = []
    for seed in seeds:
        model = subject.fresh(seed)
        with seeded(seed):
            measured.append(_measured(loss, model, batches, standard))
    with preserved(subject.model), seeded(subject.seed), torch.no_grad():
        subject.model.eval()
        trained = [loss(subject.model(*b.args, **b.kwargs), b.target) for b in batches]
    mean, spread = _inputs(batches)
    losses = np.asarray([row.losses for row in measured])
    outputs = measured[0].outputs
    neutral, words = knows_nothing(loss, task, outputs, batches)
    here = TargetSurvey()
    for number, batch in enumerate(batches):
        here.add(batch.target, number)
    every = subject.facts.data[split].targets
    constant = neutral
    if task != "regression":
        own = here.facts(subject.facts.task, loss.ignored)
        leans = (1.0,) if loss.plain and loss.known else LEANS
        constant = constant_cost(loss, task, outputs, batches, own, leans)
    remedies: dict[Remedies, list[float]] = {}
    if neutral > 0 and losses.mean() > OFF * neutral:
        remedies = _remedies(subject, loss, batches, seeds, measured, neutral, standard)
    return FreshLosses(
        loss=loss.known if loss.plain else "",
        outputs=subject.facts.outputs,
        losses=losses,
        output_deviation=np.asarray([row.deviation for row in measured]),
        input_mean=mean,
        input_deviation=spread,
        checkpoint_loss=float(torch.stack(trained).mean()),
        targets=every,
        split=split,
        task=task,
        neutral=words,
        neutral_loss=neutral,
        growth=growth(loss, task, outputs, batches),
        examples=batches[0].size,
        left_out=left_out,
        constant_loss=constant,
        prior_loss=constant_cost(loss, task, outputs, batches, every),
        handed_on_loss=_handed_on(loss, batches) if task == "regression" else math.nan,
        remedies=tuple(remedies),
        remedied=np.asarray(list(remedies.values())).reshape(len(remedies), len(seeds)),
    )


def _without_regularisation(loss: Loss) -> tuple[Loss, tuple[str, ...]]:
    """Return the loss without the terms whose names say that they regularise, and their names."""
    out = [name for name in loss.terms if REGULARISES.search(name.lower())]
    if not out or len(out) == len(loss.terms):
        return loss, ()
    kept = {name: term for name, term in loss.terms.items() if name not in out}
    return replace(loss, terms=kept), tuple(clean_text(name, 60) for name in out)


@torch.no_grad()
def _measured(
    loss: Loss, model: nn.Module, batches: list[Batch], standard: Standard | None = None
) -> Measured:
    """Return the loss on each batch, and the standard deviation of all outputs."""
    last: list[tuple[nn.Module, torch.Tensor]] = []

    def look(module: nn.Module, given: Any, put_out: Any) -> None:
        if isinstance(put_out, torch.Tensor):
            last[:] = [(module, put_out)]

    handles = [
        module.register_forward_hook(look)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
    ]
    losses, deviations = [], []
    kept: list[torch.Tensor | None] = []
    changed: dict[Remedies, list[float]] = {}
    for number, batch in enumerate(batches):
        dropout_off(model, batch.size)
        outputs = model(*batch.args, **batch.kwargs)
        losses.append(loss(outputs, batch.target))
        main = main_output(outputs)
        deviations.append(_deviation(main))
        kept.append(stand_in(loss, outputs, whole=number == 0))
        if kept[-1] is not None:
            head = last[0][0] if last and last[0][1] is main else None
            for name, (other, target) in _changes(head, main, batch.target, standard).items():
                changed.setdefault(name, []).append(_cost(loss, other, target))
    for handle in handles:
        handle.remove()
    remedied = {name: float(np.mean(costs)) for name, costs in changed.items()}
    deviation = float(torch.stack(deviations).mean())
    return Measured(torch.stack(losses).tolist(), deviation, kept, remedied)


def _changes(
    head: nn.Module | None, outputs: torch.Tensor, target: Any, standard: Standard | None
) -> dict[Remedies, tuple[torch.Tensor, Any]]:
    """Return outputs and targets with the remedies applied that need no other pass."""
    found: dict[Remedies, tuple[torch.Tensor, Any]] = {}
    if head is not None:
        bias = head.bias
        if isinstance(bias, torch.Tensor):
            trailing = 0 if isinstance(head, nn.Linear) else outputs.ndim - 2
            found["bias",] = outputs - bias.reshape(-1, *[1] * trailing), target
        found["head",] = outputs / _deviation(outputs).clamp(min=1.0).to(outputs.dtype), target
    if standard is not None:
        found["targets",] = outputs, standard(target)
        if ("bias",) in found:
            found["targets", "bias"] = found["bias",][0], standard(target)
    return found


def _cost(loss: Loss, outputs: torch.Tensor, target: Any) -> float:
    try:
        return float(loss(outputs, target))
    except InputError:
        return math.nan


@torch.no_grad()
def _handed_on(loss: Loss, batches: list[Batch]) -> float:
    """Return what the first input of the targets' shape costs in the place of the output."""
    costs = []
    for batch in batches:
        shape = batch.target.shape if isinstance(batch.target, torch.Tensor) else None
        given = tensors_in((batch.args, batch.kwargs))
        same = next((t for t in given if t.is_floating_point() and t.shape == shape), None)
        costs.append(math.nan if same is None else _cost(loss, same, batch.target))
    return float(np.mean(costs))


def _deviation(outputs: Any) -> torch.Tensor:
    """Return the standard deviation of the outputs, NaN where they are no tensor."""
    if not isinstance(outputs, torch.Tensor):
        return torch.tensor(math.nan)
    single = torch.zeros((), device=outputs.device)
    return outputs.float().std() if outputs.numel() > 1 else single


def _inputs(batches: list[Batch]) -> tuple[float, float]:
    """Return mean and standard deviation of the floating-point inputs, NaN where there are none."""
    values = [
        tensor.double().flatten()
        for batch in batches
        for tensor in tensors_in((batch.args, batch.kwargs))
        if tensor.is_floating_point()
    ]
    if not values:
        return math.nan, math.nan
    whole = torch.cat(values)
    return float(whole.mean()), float(whole.std(correction=0))


def _remedies(
    subject: Subject,
    loss: Loss,
    batches: list[Batch],
    seeds: list[int],
    measured: list[Measured],
    neutral: float,
    standard: Standard | None,
) -> dict[Remedies, list[float]]:
    """Return the mean loss of each fresh model, over the neutral loss, by the remedies applied.

    Two at once are tried only where none mends it alone.
    """
    over = neutral
    if standard is not None:
        changed = [Batch(b.args, b.kwargs, standard(b.target)) for b in batches]
        over, _ = knows_nothing(loss, "regression", measured[0].outputs, changed)
    found = _among(measured)

    def tried(done: Remedies, build: Callable[[int], nn.Module], given: list[Batch]) -> None:
        rows = [_again(loss, build(seed), given, seed, standard) for seed in seeds]
        found[done] = [float(np.mean(row.losses)) for row in rows]
        found.update({(*done, *more): losses for more, losses in _among(rows).items()})

    def ratios(names: Iterable[Remedies]) -> dict[Remedies, list[float]]:
        level = {name: over if "targets" in name else neutral for name in names}
        rows = {name: [loss / level[name] for loss in found[name]] for name in level}
        return {name: row for name, row in rows.items() if np.isfinite(row).all()}

    with torch.no_grad():
        layouts, _ = layouts_of(subject, batches)
        scaled = batches
        if layouts:
            way = standardised(layouts)
            scaled = [way.applied(batch, layouts) for batch in batches]
            tried(("inputs",), subject.fresh, scaled)
        tried(("reset",), lambda seed: _reset(subject, seed), batches)
        alone = ratios((name,) for name in get_args(Remedy) if (name,) in found)
        excess = float(np.mean([row.losses for row in measured])) / neutral - 1
        enough = 1 + min(LEFT * excess, OFF - 1)
        if any(np.mean(row) <= enough for row in alone.values()):
            return alone
        if layouts:
            tried(("inputs", "reset"), lambda seed: _reset(subject, seed), scaled)
    return alone | ratios(pair for pair in PAIRS if pair in found)


def _among(rows: list[Measured]) -> dict[Remedies, list[float]]:
    """Return the loss of each model by the remedies that needed no other pass."""
    return {name: [row.remedied[name] for row in rows] for name in rows[0].remedied}


def _again(
    loss: Loss, model: nn.Module, batches: list[Batch], seed: int, standard: Standard | None
) -> Measured:
    with seeded(seed):
        return _measured(loss, model, batches, standard)


def _reset(subject: Subject, seed: int) -> nn.Module:
    """Return a fresh model with each layer's weights drawn as PyTorch draws them."""
    model = subject.fresh(seed)
    with seeded(seed):
        for module in model.modules():
            redraw = getattr(module, "reset_parameters", None)
            if callable(redraw):
                redraw()
    return model


def _standard(batches: list[Batch]) -> Standard | None:
    """Return what standardises each output's targets; None where they are no numbers in rows."""
    targets = [batch.target for batch in batches]
    if not all(isinstance(target, torch.Tensor) and target.ndim for target in targets):
        return None
    whole = torch.cat(targets).double()
    mean, deviation = whole.mean(0), whole.std(0, correction=0).clamp(min=1e-12)
    return lambda target: ((target - mean) / deviation).to(torch.float32)
