"""Training copies of the checkpoint on for some steps, and what they are worth afterwards."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.lab import affordable, cycled, halving, in_parts, private_copy
from auditor.experiments.training import USUAL, at_rate, settled
from auditor.experiments.updates import go_on
from auditor.experiments.yardstick import Held, Scores, Yardstick, yardstick_of
from auditor.intake import optimizer as optimizers
from auditor.intake.modes import dropout_off, keep_statistics
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.continued import (
    DECLARED_RUNS,
    FASTER,
    MUCH,
    NOTABLE,
    SCORED,
    Continued,
    ContinuedFrom,
    Progress,
    Way,
    gains,
)

LEAST_RATE = 0.1
"""Share of the first learning rate below which a schedule has all but ended training."""


def continued(request: ContinuedFrom, subject: Subject) -> Continued | Unavailable:
    """Return how copies score before and after some more training."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")
    return in_parts(subject, lambda: halving(lambda part: _continued(request, subject, part))[0])


def _continued(
    request: ContinuedFrom, subject: Subject, fraction: float
) -> Continued | Unavailable:
    size = max(1, int(subject.facts.data["train"].batch_size * fraction))
    sizes = [facts.batch_size for facts in subject.facts.data.values()]

    def within(runs: int) -> tuple[int, int]:
        # Each takes half the budget, the scores over both splits.
        steps = affordable(subject, request.steps, size, runs=2 * runs)
        passes = 4 * (runs + 1)
        return steps, affordable(subject, SCORED, max(sizes), runs=passes, training=False)

    steps, scored = within(DECLARED_RUNS + 1)
    held: Held = {split: list(subject.batches(split, scored)) for split in ("train", "val")}
    yardstick, before = yardstick_of(subject, held)
    runs: dict[Way, list[_Run]] = {"declared": [], "freed": [], "faster": []}

    def made(optimizer: str, rate: float, restored: bool, note: str) -> Continued:
        return Continued(
            yardstick.unit,
            _progress("train", before, runs, yardstick),
            _progress("val", before, runs, yardstick),
            _curves(runs["declared"]),
            _curves(runs["freed"]),
            *(optimizer, rate, restored, note),
            *(steps, request.steps, yardstick.fresh),
            faster_losses=_curves(runs["faster"]),
            faster_rate=runs["faster"][0].told[1] if runs["faster"] else math.nan,
        )

    first: _Run | None = None
    for number in range(DECLARED_RUNS):
        run = _trained(request, subject, "declared", number, steps, fraction)
        if run is None:
            return Unavailable("no gradient comes from the loss, so that no step is made")
        first = first or run
        runs["declared"].append(run.scored(yardstick))
    assert first is not None
    told = first.told
    if gains(made(*told), "declared", NOTABLE):
        return made(*told)
    run = _trained(request, subject, "freed", DECLARED_RUNS, steps, fraction)
    if run is not None:
        runs["freed"].append(run.scored(yardstick))
    found = made(*told)
    if within(request.runs) == (steps, scored) and _wants_more(found):
        for number, times in enumerate(FASTER, DECLARED_RUNS + 1):
            run = _trained(request, subject, "faster", number, steps, fraction, times)
            if run is None:
                break
            runs["faster"] = [run.scored(yardstick)]
            found = made(*told)
            if gains(found, "faster", NOTABLE):
                break
    return found


def _wants_more(found: Continued) -> bool:
    """Tell whether a higher rate is worth trying: nothing helped, and much is left to learn.

    What goes on otherwise than declared, or at no rate, tells nothing of the declared rate.
    """
    known = found.val.gain("declared") is not None and not found.note and found.rate > 0
    much = found.left is not None and found.left >= MUCH
    return known and much and not gains(found, "freed", NOTABLE)


@dataclass(frozen=True)
class _Run:
    """A copy that was trained on, its losses and how; later its scores instead of the model."""

    losses: Array
    told: tuple[str, float, bool, str]
    model: nn.Module | None = None
    scores: dict[Split, Scores] | None = None

    def scored(self, yardstick: Yardstick) -> "_Run":
        """Return the run with its scores, without the model."""
        assert self.model is not None
        scores = {split: yardstick.scores(self.model, split) for split in yardstick.held}
        return _Run(self.losses, self.told, None, scores)


def _trained(
    request: ContinuedFrom,
    subject: Subject,
    way: Way,
    number: int,
    steps: int,
    fraction: float,
    times: float = 1.0,
) -> _Run | None:
    """Train a copy on the batches of its own; None where the loss has no gradient."""
    assert subject.loss is not None
    size = int(subject.facts.data["train"].batch_size * fraction)
    with seeded(derived_seed(subject.seed, f"{request.key} {number}")), torch.enable_grad():
        model = private_copy(subject)
        parameters = [p for p in model.parameters() if p.requires_grad]
        if way == "freed":
            stepper, told = optimizers.build(USUAL, parameters), ("", USUAL.lr, False, "")
            dropout_off(model, size)
        else:
            stepper, told = _declared(subject, model)
            for group in stepper.param_groups if times != 1 else ():
                group["lr"] = times * group["lr"]
            told = (told[0], times * told[1], *told[2:])
            model.train()
        start = SCORED + number * steps
        losses: list[torch.Tensor] = []
        for batch in itertools.islice(
            cycled(subject, "train", start + steps, fraction), start, None
        ):
            if batch.size == 1:
                keep_statistics(model)
            stepper.zero_grad()
            loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
            if not loss.requires_grad:
                return None
            loss.backward()
            for parameter in parameters:
                if parameter.grad is not None and parameter.grad.layout is not torch.strided:
                    parameter.grad = parameter.grad.to_dense()
            if subject.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(parameters, subject.clip_norm)
            stepper.step()
            losses.append(loss.detach().reshape(()))
    values = torch.stack(losses).double().cpu().numpy() if losses else np.zeros(0)
    return _Run(np.asarray(values), told, model)


def _declared(
    subject: Subject, model: nn.Module
) -> tuple[torch.optim.Optimizer, tuple[str, float, bool, str]]:
    """Return the declared optimizer over a copy, going on from its moments at its last rate."""
    live = subject.live_optimizer
    if live is not None and _plain(live.optimizer):
        made = live.twin(model)
        lasts = [float(group["lr"]) for group in live.optimizer.param_groups]
        for group, last in zip(made.param_groups, lasts, strict=True):
            group["lr"], note = _going(float(group["lr"]), last)
        name = f"{type(made).__name__} as handed in"
        return made, (name, max(lasts), bool(made.state), note)
    spec, note = settled(subject)
    if spec.name == "SparseAdam":
        spec, note = USUAL, "SparseAdam takes sparse gradients alone"
    if not note:
        rate, note = _going(spec.lr, _last_rate(subject))
        spec = at_rate(spec, rate)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    made = optimizers.build(spec, [p for _, p in named])
    return made, (str(spec), spec.lr, go_on(made, named, subject), note)


def _plain(optimizer: torch.optim.Optimizer) -> bool:
    """Tell whether an optimizer is one of torch's that takes one pass a step, dense or sparse."""
    kind = type(optimizer)
    known = getattr(torch.optim, kind.__name__, None) is kind
    return known and kind not in (torch.optim.LBFGS, torch.optim.SparseAdam)


def _last_rate(subject: Subject) -> float:
    """Return the learning rate that the saved state ends with, NaN where there is none."""
    saved: Any = subject.checkpoint.optimizer if subject.checkpoint is not None else None
    groups = saved.get("param_groups", ()) if saved is not None else ()
    try:
        return max((float(group["lr"]) for group in groups), default=math.nan)
    except (TypeError, ValueError, KeyError, RuntimeError):
        return math.nan


def _going(first: float, last: float) -> tuple[float, str]:
    """Return the rate to go on at, and why it is not the last one."""
    if not math.isfinite(last) or last < 0:
        return first, ""
    if last >= LEAST_RATE * first:
        return last, ""
    rate = float(f"{LEAST_RATE * first:.6g}")
    return rate, f"the schedule has come down to {last:.3g}, at which nothing moves"


def _curves(runs: list[_Run]) -> Array:
    """Return the losses of training, [runs, steps], NaN after the end of a shorter run."""
    longest = max((len(run.losses) for run in runs), default=0)
    table = np.full((len(runs), longest), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run.losses)] = run.losses
    return table


def _progress(
    split: Split,
    before: dict[Split, Scores],
    runs: dict[Way, list[_Run]],
    yardstick: Yardstick,
) -> Progress:
    losses, right = before[split]

    def after(way: Way, place: int) -> Array:
        rows = [run.scores[split][place] for run in runs[way] if run.scores is not None]
        return np.stack(rows) if rows else np.zeros((0, len(before[split][place])))

    return Progress(
        losses,
        after("declared", 0),
        after("freed", 0),
        right,
        after("declared", 1),
        after("freed", 1),
        yardstick.scales[split],
        after("faster", 0),
        after("faster", 1),
    )
