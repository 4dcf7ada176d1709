"""Simpler models, fitted to a bounded part of the training data and tuned on another."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from auditor.core.errors import InputError
from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.experiments.lab import BUDGET, scored
from auditor.experiments.simple_models import Designs, designed
from auditor.experiments.simple_parts import Simple
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.baselines import (
    EXAMPLES,
    RATES,
    STEPS,
    SimpleModel,
    SimpleModels,
    SimpleModelsOver,
)
from auditor.observations.performance import Performance

Block = tuple[torch.Tensor, torch.Tensor]
"""Features and targets of examples whose shapes agree."""

VALUES = 16_000_000
"""Features kept in all: 64 MB."""

MINIBATCH = 64
"""Examples a step at most; a quarter of them where there are few."""

MINIBATCH_VALUES = 1_000_000
"""Features a step at most, where examples are large."""

HELD_OUT = 0.2
"""Share of the gathered examples that the learning rate and the number of steps are chosen on."""

LOOK_EVERY = 25
"""Steps between two looks at the held-out loss."""

PATIENCE = 4
"""Looks without a new least loss after which a run ends."""

FEWEST = 10
"""Training examples that something can be fitted and tuned on at least."""

NAMES = ("a linear model", "a network with one hidden layer")


def simple_models(request: SimpleModelsOver, subject: Subject) -> SimpleModels | Unavailable:
    """Fit a linear model and one with a hidden layer; score both on the first batches."""
    assert subject.model is not None
    seed = derived_seed(subject.seed, request.key)
    with seeded(seed):
        try:
            designs = designs_for(subject)
            if isinstance(designs, Unavailable):
                return designs
            return _tuned_and_scored(request, subject, designs)
        except (InputError, RuntimeError, ValueError, TypeError, IndexError) as error:
            return Unavailable(f"no simpler model could be trained: {clean_text(error, 160)}")


def designs_for(subject: Subject) -> Designs | Unavailable:
    """Return how simpler models read the subject's batches; costs one forward pass."""
    assert subject.model is not None
    batch = next(subject.batches("train", 1))
    subject.model.eval()
    with torch.no_grad():
        outputs = subject.model(*batch.args, **batch.kwargs)
    return designed(subject, batch, outputs)


def _tuned_and_scored(
    request: SimpleModelsOver, subject: Subject, designs: Designs
) -> SimpleModels | Unavailable:
    blocks = gathered(subject, designs, EXAMPLES)
    total = count(blocks)
    if total < FEWEST:
        return Unavailable(f"{total} training examples are too few to fit a simpler model to")
    if not all(bool(x.isfinite().all()) for x, _ in blocks):
        return Unavailable("the inputs hold values that are not finite")
    fitting, held = _divided(blocks)
    models = []
    for name, words, build in zip(
        NAMES, designs.words, (designs.linear, designs.hidden), strict=True
    ):
        model, runs = tuned(subject, build, fitting, held)
        model.eval()
        on: dict[Split, Performance] = {}
        for split in ("val", "train"):
            batches = subject.batches(split, request.batches)
            seen = scored(subject, model, batches, split)
            if isinstance(seen, Unavailable):
                return seen
            on[split] = seen
        models.append(
            SimpleModel(
                name=name,
                built=words,
                parameters=model.parameters_count,
                rates=RATES,
                held_out=tuple(run.loss for run in runs),
                steps=tuple(run.step for run in runs),
                rate=RATES[_best(runs)],
                scores=on["val"].scores,
                entropies=on["val"].entropies,
                train_scores=on["train"].scores,
            )
        )
    return SimpleModels(tuple(models), subject.facts.parameters, count(fitting), count(held))


def gathered(subject: Subject, designs: Designs, most: int) -> list[Block]:
    """Return features and targets of the first training batches, as few blocks as shapes allow."""
    blocks: list[list[Block]] = []
    examples, values = 0, 0
    for batch in subject.batches("train", most):
        features, target = designs.read(batch.args, batch.kwargs), batch.target
        room = min(len(features), most - examples)
        features, target = features[:room], target[:room]
        shapes = features.shape[1:], target.shape[1:]
        last = blocks[-1][-1] if blocks else None
        if last is not None and (last[0].shape[1:], last[1].shape[1:]) == shapes:
            blocks[-1].append((features, target))
        else:
            blocks.append([(features, target)])
        examples, values = examples + room, values + features.numel()
        if examples >= most or values >= VALUES:
            break
    return [
        (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])) for parts in blocks
    ]


def count(blocks: list[Block]) -> int:
    """Return the number of examples."""
    return sum(len(x) for x, _ in blocks)


def _divided(blocks: list[Block]) -> tuple[list[Block], list[Block]]:
    """Return the examples to fit to and those held out, drawn at random."""
    if len(blocks) == 1:
        x, y = blocks[0]
        order = torch.randperm(len(x), device=x.device)
        cut = len(x) - max(2, round(HELD_OUT * len(x)))
        fitting, held = order[:cut], order[cut:]
        return [(x[fitting], y[fitting])], [(x[held], y[held])]
    places = torch.randperm(len(blocks)).tolist()
    cut = len(blocks) - max(1, round(HELD_OUT * len(blocks)))
    return [blocks[k] for k in places[:cut]], [blocks[k] for k in places[cut:]]


@dataclass(frozen=True)
class Run:
    """The least held-out loss of one run, and the step that it was reached at."""

    loss: float
    step: int


def _best(runs: list[Run]) -> int:
    return min(
        range(len(runs)), key=lambda k: runs[k].loss if runs[k].loss == runs[k].loss else math.inf
    )


def tuned(
    subject: Subject,
    build: Callable[[torch.Tensor, torch.Tensor], Simple],
    fitting: list[Block],
    held: list[Block],
    rates: tuple[float, ...] = RATES,
    most: int = STEPS,
) -> tuple[Simple, list[Run]]:
    """Return the model of least held-out loss over the learning rates, and each rate's run."""
    x, y = max(fitting, key=lambda block: len(block[0]))
    seed = int(torch.randint(2**31, ()))
    best, least, runs = None, math.inf, []
    for rate in rates:
        with seeded(seed):
            model = build(x, y).to(x.device)
            run = _run(subject, model, fitting, held, rate, most)
        runs.append(run)
        if best is None or run.loss < least:
            best, least = model, run.loss
    assert best is not None
    return best, runs


def _run(
    subject: Subject,
    model: Simple,
    fitting: list[Block],
    held: list[Block],
    rate: float,
    most: int,
) -> Run:
    """Train `model` by Adam, and leave it as it was at its least held-out loss."""
    assert subject.loss is not None
    x = fitting[0][0]
    size = max(4, min(MINIBATCH, count(fitting) // 4, MINIBATCH_VALUES // max(1, x[0].numel())))
    places = max(1, x[0].numel() // max(x.shape[1] if x.ndim > 1 else 1, 1))
    step_cost = 6.0 * model.parameters_count * size * places
    steps = max(LOOK_EVERY, min(most, int(BUDGET / (2 * len(RATES) * step_cost))))
    stepper = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    best, kept, waited = Run(math.nan, 0), copy.deepcopy(model.state_dict()), 0
    with torch.enable_grad():
        for number, (features, target) in enumerate(_minibatches(fitting, size, steps), start=1):
            stepper.zero_grad()
            subject.loss(model.answer(features), target).backward()
            stepper.step()
            if number % LOOK_EVERY and number != steps:
                continue
            loss = loss_over(subject, model, held, 4 * size)
            if loss < best.loss or best.loss != best.loss:
                best, waited = Run(loss, number), 0
                kept = copy.deepcopy(model.state_dict())
            else:
                waited += 1
            if waited >= PATIENCE or not math.isfinite(loss):
                break
    model.load_state_dict(kept)
    return best


def _minibatches(blocks: list[Block], size: int, steps: int) -> Iterator[Block]:
    """Yield `steps` random minibatches, every example once before any comes again."""
    left = steps
    while True:
        for place in torch.randperm(len(blocks)).tolist():
            x, y = blocks[place]
            for rows in torch.randperm(len(x), device=x.device).split(size):
                yield x[rows], y[rows]
                left -= 1
                if not left:
                    return


@torch.no_grad()
def loss_over(subject: Subject, model: Simple, blocks: list[Block], size: int) -> float:
    """Return the mean loss over all examples, `size` of them at a time."""
    assert subject.loss is not None
    total = 0.0
    for x, y in blocks:
        for features, target in zip(x.split(size), y.split(size), strict=True):
            loss = subject.loss(model.answer(features), target)
            total += float(loss) * len(features)
    return total / max(count(blocks), 1)
