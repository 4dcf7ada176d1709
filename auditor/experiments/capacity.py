"""What fresh copies of the model fit: true targets, and the same targets dealt at random."""

import itertools
import math
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.baselines import Block, designs_for, tuned
from auditor.experiments.examples import joined, moved
from auditor.experiments.lab import affordable, halving
from auditor.experiments.training import train
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.scoring import Scorer
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.capacity import (
    BATCHES,
    LINEAR_STEPS,
    LONGER,
    RATES,
    TRIED,
    Capacity,
    CapacityOver,
)
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_score

FEWEST = 8
"""Examples that there must be for dealing their targets anew to mean anything."""

SHORTEST = 60
"""Steps that a run must be allowed at least for its losses to tell anything."""

LINEAR_RATES = (1e-2, 1e-1)
"""Learning rates of Adam that the linear model is fitted with."""

MANY = 10
"""Parameters a target from which on random targets are tried with all seeds."""

FEW_SEEDS = 3
"""Seeds for models of fewer parameters, and for costly ones."""

BEHIND = 0.02
"""Share of the constant's error that the linear model must be ahead for copies to be trained on."""

CUTS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.RNNBase | nn.Embedding


def capacity(request: CapacityOver, subject: Subject) -> Capacity | Unavailable:
    """Train fresh copies on a few training examples, with their own and with others' targets."""
    assert subject.model is not None
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")

    def attempt(fraction: float) -> Capacity | Unavailable:
        with seeded(derived_seed(subject.seed, request.key)):
            batches = _gathered(subject, max(FEWEST, int(request.examples * fraction)))
            if sum(batch.size for batch in batches) < FEWEST or not _finite(batches):
                return Unavailable(
                    f"fewer than {FEWEST} training examples whose inputs are finite were found"
                )
            return _measured(request, subject, batches)

    found, note = halving(attempt)
    return replace(found, note=note) if isinstance(found, Capacity) else found


def _measured(
    request: CapacityOver, subject: Subject, batches: list[Batch]
) -> Capacity | Unavailable:
    largest = max(batch.size for batch in batches)
    known = subject.facts.data["train"]
    share = known.batches_read / known.batches
    targets = max(1, round(known.targets.values / share))
    many = subject.facts.trainable >= MANY * targets
    seeds = request.seeds
    runs = 2 * seeds + len(RATES)
    steps = affordable(subject, request.steps, largest, runs)
    if not many or steps < request.steps:
        seeds = min(seeds, FEW_SEEDS)
        runs = 2 * seeds + len(RATES)
        steps = affordable(subject, request.steps, largest, runs)
    if steps < min(SHORTEST, request.steps):
        return Unavailable(
            f"a step of this model is too costly: only {steps} of {SHORTEST} steps could be spent"
        )
    wanted = runs * request.steps + len(RATES) * LONGER
    longer = affordable(subject, wanted, largest) - runs * steps
    longer = min(LONGER, max(0, longer // len(RATES)))
    first = derived_seed(subject.seed, "capacity 0")
    rate = min(RATES, key=lambda each: _tail(_copy(subject, batches, first, each, TRIED)[1]))
    true: list[Array] = []
    random: list[Array] = []
    true_scores: list[Array] = []
    random_scores: list[Array] = []
    metric, constant = "", math.nan
    for number in range(seeds):
        seed = derived_seed(subject.seed, f"capacity {number}")
        with seeded(seed):
            dealt = [batch.with_inputs_of(moved(batch.size)) for batch in batches]
        for data, curves, scores in (
            (batches, true, true_scores),
            (dealt, random, random_scores),
        ):
            model, losses = _copy(subject, data, seed, rate, steps)
            curves.append(losses)
            seen = _scored(subject, model, data)
            if seen is not None:
                metric = seen.metric
                scores.append(seen.scores)
                if data is batches:
                    best = best_constant_score(seen)
                    constant = 1 - best if metric == "accuracy" else best
    answer = Capacity(
        parameters=subject.facts.trainable,
        frozen=subject.facts.parameters - subject.facts.trainable,
        examples=round(known.examples / share),
        targets=targets,
        all_counted=known.complete or share < 1,
        subset=sum(batch.size for batch in batches),
        rate=rate,
        metric=metric,
        true=_table(true),
        random=_table(random),
        true_scores=np.asarray(true_scores) if true_scores else np.zeros((0, 0)),
        random_scores=np.asarray(random_scores) if random_scores else np.zeros((0, 0)),
        linear_scores=np.zeros(0),
        linear_parameters=0,
        linear_missing="",
        constant_error=constant,
        longer_scores=np.zeros(0),
        longer=np.zeros(0),
        out_of_reach=False,
        layers=(),
        widths=(),
        outputs=subject.facts.outputs,
    )
    return _beside_linear(subject, batches, answer, longer)


def _beside_linear(
    subject: Subject, batches: list[Batch], answer: Capacity, longer: int
) -> Capacity:
    """Return the answer with what a linear model fits, and longer runs where that is more."""
    names, widths = _widths(subject)
    answer = replace(answer, layers=names, widths=widths)
    fitted = _linear(subject, batches)
    if isinstance(fitted, Unavailable):
        return replace(answer, linear_missing=fitted.reason)
    scores, least, parameters = fitted
    answer = replace(answer, linear_scores=scores, linear_parameters=parameters)
    if not len(answer.true_scores) or len(scores) != answer.true_scores.shape[1]:
        return replace(answer, linear_missing="its scores can't be set beside the copies'")
    sign = 1.0 if answer.metric == "accuracy" else -1.0
    reached = (sign * answer.true_scores.mean(axis=1)).max()
    ahead = sign * float(scores.mean()) - reached
    if not ahead > BEHIND * answer.constant_error or not longer:
        return answer
    runs = []
    for number, rate in enumerate(RATES):
        seed = derived_seed(subject.seed, f"capacity longer {number}")
        model, losses = _copy(subject, batches, seed, rate, longer)
        seen = _scored(subject, model, batches)
        if seen is not None and len(losses) == longer:
            runs.append((losses, seen.scores))
    if not runs:
        return answer
    losses, best = min(runs, key=lambda run: _tail(run[0]))
    out_of_reach = _after_as_many_again(losses) > least
    return replace(answer, longer_scores=best, longer=losses, out_of_reach=out_of_reach)


def _linear(subject: Subject, batches: list[Batch]) -> tuple[Array, float, int] | Unavailable:
    """Return a linear model's scores on the same examples, its loss, and its parameters."""
    try:
        designs = designs_for(subject)
        if isinstance(designs, Unavailable):
            return designs
        read = [(designs.read(b.args, b.kwargs), b.target) for b in batches]
        alike = all((x.shape[1:], y.shape[1:]) == _shapes(read[0]) for x, y in read)
        blocks: list[Block] = read
        if alike:
            blocks = [(torch.cat([x for x, _ in read]), torch.cat([y for _, y in read]))]
        model, runs = tuned(subject, designs.linear, blocks, blocks, LINEAR_RATES, LINEAR_STEPS)
        seen = _scored(subject, model, batches)
        if seen is None:
            return Unavailable("no standard metric applies")
        return seen.scores, min(run.loss for run in runs), model.parameters_count
    except (InputError, RuntimeError, ValueError, TypeError, IndexError) as error:
        return Unavailable(f"no linear model could be trained: {clean_text(error, 160)}")


def _shapes(block: Block) -> tuple[torch.Size, torch.Size]:
    return block[0].shape[1:], block[1].shape[1:]


def _gathered(subject: Subject, most: int) -> list[Batch]:
    """Return the first training examples, in at most `BATCHES` batches of two or more each."""
    batches: list[Batch] = []
    left = most
    for batch in subject.batches("train", most):
        batches.append(batch.take(left))
        left -= batches[-1].size
        if left <= 0:
            break
    usual = subject.facts.data["train"].batch_size
    size = max(4, min(usual, 64), math.ceil(sum(batch.size for batch in batches) / BATCHES))
    whole = joined(batches)
    pieces = batches if whole is None else [whole]
    pieces = [b.rows(rows) for b in pieces for rows in torch.arange(b.size).split(size)]
    return [batch for batch in pieces if batch.size > 1][:BATCHES]


def _finite(batches: list[Batch]) -> bool:
    return all(
        bool(t.isfinite().all())
        for batch in batches
        for t in tensors_in((batch.args, batch.kwargs))
        if t.is_floating_point() and t.layout is torch.strided
    )


def _copy(
    subject: Subject, batches: list[Batch], seed: int, rate: float, steps: int
) -> tuple[nn.Module, Array]:
    """Return a fresh copy trained for so many steps, and the loss before each."""
    assert subject.model is not None
    model = subject.fresh(seed)
    for mine, theirs in zip(model.parameters(), subject.model.parameters(), strict=True):
        mine.requires_grad_(theirs.requires_grad)
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False  # Adam takes dense gradients
    with seeded(seed):
        endless = itertools.islice(itertools.cycle(batches), steps)
        losses = train(
            subject, model, endless, OptimizerSpec(name="Adam", lr=rate), mode=unregularised
        )
    return model, losses


def unregularised(model: nn.Module) -> None:
    """Put a model into training mode without its dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
        elif isinstance(module, nn.RNNBase | nn.MultiheadAttention):
            module.dropout = 0.0


@torch.no_grad()
def _scored(subject: Subject, model: nn.Module, batches: list[Batch]) -> Performance | None:
    """Return the scores of a copy in the mode it was trained in, None where no metric applies."""
    unregularised(model)
    scorer = Scorer(subject, "train")
    for batch in batches:
        scorer.add(model(*batch.args, **batch.kwargs), batch.target, None)
    seen = scorer.result()
    return None if isinstance(seen, Unavailable) else seen


def _tail(losses: Array) -> float:
    """Return the mean of the last tenth of the losses, infinite where the run was lost."""
    last = losses[-max(1, len(losses) // 10) :]
    return float(last.mean()) if len(last) and np.isfinite(last).all() else math.inf


def _after_as_many_again(losses: Array) -> float:
    """Return what the loss would come to after as many steps again, at the pace of the end.

    The pace is the fall from the third quarter of the steps to the last; losses fall ever more
    slowly, so this is the least that can be expected.
    """
    quarter = max(1, len(losses) // 4)
    before, after = losses[-2 * quarter : -quarter].mean(), losses[-quarter:].mean()
    return float(after - 4 * max(0.0, before - after))


def _table(rows: list[Array]) -> Array:
    """Return the curves as one table, NaN where a run was lost."""
    longest = max(len(row) for row in rows)
    table = np.full((len(rows), longest), np.nan)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def _widths(subject: Subject) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the names of all layers but the last, and how many numbers each passes on."""
    assert subject.model is not None
    found = [(n, m) for n, m in subject.model.named_modules() if isinstance(m, CUTS)][:-1]
    widths = []
    for _, module in found:
        if isinstance(module, nn.Linear):
            widths.append(module.out_features)
        elif isinstance(module, nn.RNNBase):
            widths.append(module.hidden_size * (2 if module.bidirectional else 1))
        elif isinstance(module, nn.Embedding):
            widths.append(module.embedding_dim)
        else:
            widths.append(int(module.out_channels))
    return tuple(name for name, _ in found), tuple(widths)
