"""Gradients against differences of the loss, in float64, on a copy."""

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.text import clean_text, counted
from auditor.experiments.culprits import culprits
from auditor.experiments.differences import (
    CLEAR,
    SAME,
    Probe,
    Scalar,
    constant_factor,
    has_gradient,
    in_double,
    probed,
)
from auditor.experiments.directions import Direction, padding_rows, random_direction, size_of
from auditor.experiments.in_float64 import NotInFloat64Error, Wide, fitting, wide
from auditor.experiments.lab import private_copy
from auditor.experiments.other_modes import forward_mode, in_training
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.seeding import derived_seed, reseed, rng_kept
from auditor.intake.subject import Subject
from auditor.observations.gradient_check import Checked, GradientCheck, GradientCheckOver

BUDGET = 6e10
"""Floating-point operations that all evaluations may take: six seconds of one core, which does as
many in float64 on any device that is sure to have it."""

CALL = 1e5
"""Operations in the time of which an operator is called, however little it does: 10 µs."""

WATCHED = 3e5
"""Operations in the time of which one operator's decisions are looked at: 30 µs."""

ELEMENT = 10.0
"""Operations in the time of which a number is read from memory or written to it."""

SWIFT = 100_000
"""Elements that are moved in less time than an evaluation takes."""

ALONE = 64
"""Evaluations from which the budget is for two examples; where it has fewer, one has to do."""

FIRST = 0.6
"""Share of what is left for derivatives that their first steps may take; the rest is for those
that disagree."""

LEAST = 4
"""Derivatives that are taken in any case."""

LONG = "it would take too long"

MOST = 6e10
"""Operations of one evaluation beyond which even these would take minutes."""

ENOUGH = 2
"""Wrong derivatives of a tensor after which no more of its coordinates are tried."""

LARGEST = 500_000_000
"""Parameters of a model up to which it is copied in float64: five such copies are 20 GB."""

MOST_COMPARED = 32
"""Examples of the first batch whose losses are looked at, to take the greatest."""

WRONG = 1e-4
"""Relative error from which a tensor's gradient is traced to its module (CS231n)."""


NOT_FINITE = "the loss of the first examples is not finite, so it has no gradient"


def gradient_check(request: GradientCheckOver, subject: Subject) -> GradientCheck | Unavailable:
    """Compare the gradient of each tensor with differences of the loss.

    Where weights that are not finite leave no loss, those of a fresh model are taken, if there is a
    factory: a wrong gradient may have brought them about.
    """
    assert subject.model is not None
    answer = _compared(request, subject)
    lost = isinstance(answer, Unavailable) and answer.reason == NOT_FINITE
    if not lost or subject.factory is None or _finite(subject.model):
        return answer
    fresh = subject.fresh(derived_seed(subject.seed, "gradients of fresh weights"))
    instead = _compared(request, replace(subject, model=fresh))
    return instead if isinstance(instead, Unavailable) else replace(instead, fresh=True)


def _finite(model: nn.Module) -> bool:
    """Tell whether every parameter is finite, and no buffer holds a NaN: a mask may be infinite."""
    tensors = [parameter.isfinite().all() for parameter in model.parameters()]
    tensors += [~buffer.isnan().any() for buffer in model.buffers()]
    return all(bool(tensor) for tensor in tensors)


def _compared(request: GradientCheckOver, subject: Subject) -> GradientCheck | Unavailable:
    assert subject.model is not None
    if sum(p.numel() for p in subject.model.parameters()) > LARGEST:
        return Unavailable(
            f"a copy in float64 of a model of more than {LARGEST:,} parameters does not fit"
        )
    if request.split == "train_or_val":
        raise ValueError(f"{request.key} has not been settled with at()")
    batch = next(iter(subject.batches(request.split, 1)))
    generator = torch.Generator().manual_seed(derived_seed(subject.seed, request.key))
    examples = request.examples
    if subject.facts.flops * examples * ALONE > BUDGET:
        examples = 1
    with rng_kept(), torch.enable_grad():
        batch = _hardest(subject, batch, examples)
        with in_double():
            try:
                made = fitting(subject, batch, examples)
            except NotInFloat64Error as error:
                return Unavailable(str(error))
            answer = _checked(request, subject, made, generator)
        raised = answer.raised if isinstance(answer, GradientCheck) else ""
        if raised and not _raises_as_it_is(subject, batch.take(examples)):
            return Unavailable(f"the model's backward pass can't run in float64: {raised}")
    return answer


@torch.no_grad()
def _hardest(subject: Subject, batch: Batch, examples: int) -> Batch:
    """Return the batch with the examples of the greatest loss first: a loss of nearly nothing, as
    a converged model has on most, leaves nothing but rounding to compare.
    """
    count = min(batch.size, MOST_COMPARED)
    if count <= examples or subject.facts.flops * count > BUDGET / 10:
        return batch
    assert subject.loss is not None
    model = evaluating(private_copy(subject))
    losses = []
    for number in range(count):
        one = batch.rows(torch.tensor([number])).to(subject.device)
        reseed(subject.seed)
        try:
            losses.append(float(subject.loss(model(*one.args, **one.kwargs), one.target)))
        except (InputError, RuntimeError, ValueError, TypeError, IndexError):
            return batch
    order = sorted(range(count), key=lambda number: (-losses[number], number))
    if not all(map(math.isfinite, losses)):
        return batch
    return batch.rows(torch.tensor(order))


@dataclass
class Followed:
    """What may yet be spent on following disagreements up by smaller steps, and how many may be
    followed at any price; others stay undecided.
    """

    left: float
    free: int = 4


def _scalar(made: Wide, seed: int) -> Scalar:
    """Return the loss as a function of trainable parameters and inputs."""
    trainable = ((n, p) for n, p in made.model.named_parameters() if p.requires_grad)
    leaves = {name: p for name, p in trainable if p.numel()}
    every = tensors_in((made.batch.args, made.batch.kwargs))
    given = [tensor for tensor in every if has_gradient(tensor) and tensor.numel()]
    inputs = {
        "input" if len(given) == 1 else f"input {number}": tensor.requires_grad_(True)
        for number, tensor in enumerate(given, 1)
    }

    def value() -> torch.Tensor:
        # Copies, since a layer may write to what it is given.
        batch = made.batch.with_inputs(lambda t: t.clone())
        return made.loss(made.model(*batch.args, **batch.kwargs), batch.target)

    return Scalar(
        value,
        {**leaves, **inputs},
        list(made.model.buffers()),
        seed,
        frozenset(inputs),
        padding_rows(made.model),
    )


def _checked(
    request: GradientCheckOver, subject: Subject, made: Wide, generator: torch.Generator
) -> GradientCheck | Unavailable:
    scalar = _scalar(made, subject.seed)
    frozen = tuple(clean_text(n) for n, p in made.model.named_parameters() if not p.requires_grad)
    if not scalar.leaves:
        return Unavailable("nothing is trainable, and no input is a number that has a gradient")
    scalar.cost, scalar.watching = _costs(subject, made, scalar)
    if scalar.cost > MOST:
        return Unavailable(
            f"the loss of {counted(made.batch.size, 'example')} takes about {scalar.cost:.0e} "
            "operations, and differences of it would take minutes"
        )
    first, second = scalar.number(), scalar.number()
    if not math.isfinite(first):
        return Unavailable(NOT_FINITE)
    if abs(first - second) > SAME * abs(first):
        return Unavailable(
            "the loss is not the same twice, though dropout is off and the random generators are "
            "set: something in the model or the loss is random beyond them, or changes by its use"
        )
    found = GradientCheck(
        tensors=(),
        frozen=frozen,
        training=None,
        no_training="",
        forward=math.nan,
        no_forward="",
        culprits=(),
        loss=first,
        noise=math.nan,
        examples=made.batch.size,
        passes=0,
    )
    try:
        gradients = scalar.gradients()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - it becomes the answer
        said = clean_text(f"{type(error).__name__}: {str(error).partition('. Hint')[0]}")
        return replace(found, culprits=culprits(made, subject.seed), raised=said)
    joint = Direction(random_direction(scalar.leaves, generator, scalar.still))
    scalar.measure_noise(_small(joint), _largest_output(made))
    tensors = _tensors(request, scalar, gradients, generator)
    forward, no_forward = math.nan, LONG
    if scalar.spent + 4 * scalar.cost < BUDGET:
        forward, no_forward = forward_mode(made, scalar, joint, gradients)
    probe, no_training = None, LONG
    if scalar.spent + 8 * scalar.cost < 2 * BUDGET:
        probe, no_training = in_training(made, scalar, joint)
    training = None
    if probe is not None:
        training = _summed(scalar, "all tensors, in training mode", [], probe, len(scalar.leaves))
    wrong = any(t.decided and t.error > WRONG for t in tensors)
    if wrong or (training is not None and training.decided and training.error > WRONG):
        made.model.train(not wrong)
        found = replace(found, culprits=culprits(made, subject.seed))
    return replace(
        found,
        tensors=tensors,
        training=training,
        no_training=no_training,
        forward=forward,
        no_forward=no_forward,
        noise=scalar.noise,
        passes=scalar.passes,
    )


@torch.no_grad()
def _largest_output(made: Wide) -> float:
    """Return the largest finite absolute value that the model puts out on the batch."""
    batch = made.batch.with_inputs(lambda t: t.clone())
    sizes = [
        float(tensor.abs().nan_to_num(0, 0, 0).max())
        for tensor in tensors_in(made.model(*batch.args, **batch.kwargs))
        if has_gradient(tensor)
    ]
    return max(sizes, default=0.0)


def _costs(subject: Subject, made: Wide, scalar: Scalar) -> tuple[float, float]:
    """Return what an evaluation takes, and what looking at its decisions adds to that."""
    held = sum(leaf.numel() for leaf in scalar.leaves.values())
    touched = made.elements + held
    cost = subject.facts.flops * made.batch.size + CALL * made.calls + ELEMENT * touched
    return cost, WATCHED * made.calls + ELEMENT * made.elements


def _small(joint: Direction) -> Direction:
    """Return the part of a direction that moves tensors which are moved in no time."""
    sizes = {name: values.numel() for name, values in joint.values.items()}
    least = max(min(sizes.values()), SWIFT)
    return Direction({n: v for n, v in joint.values.items() if sizes[n] <= least})


def _raises_as_it_is(subject: Subject, batch: Batch) -> bool:
    """Tell whether the backward pass raises in the model's own precision too."""
    assert subject.model is not None
    assert subject.loss is not None
    twin = wide(subject.model, subject.loss, batch, lambda t: t)
    twin.model.eval()
    try:
        _scalar(twin, subject.seed).gradients()
    except Exception:  # noqa: BLE001 - it is the answer
        return True
    return False


def _tensors(
    request: GradientCheckOver,
    scalar: Scalar,
    gradients: dict[str, torch.Tensor | None],
    generator: torch.Generator,
) -> tuple[Checked, ...]:
    """Return what is found of each tensor, alone where that is affordable, else of groups."""
    room = (BUDGET - scalar.spent) * FIRST
    pairs = max(LEAST, int(room / scalar.cost / 2))
    per = pairs // len(scalar.leaves)
    followed = Followed(BUDGET - scalar.spent - room)
    names = list(scalar.leaves)
    if per >= 1:
        wanted = min(request.coordinates, per - 1)
        return tuple(_one(scalar, name, gradients, wanted, generator, followed) for name in names)
    size = math.ceil(len(names) / pairs)
    found: list[Checked] = []
    for start in range(0, len(names), size):
        found += _group(scalar, names[start : start + size], gradients, generator, followed)
    return tuple(found)


def _group(
    scalar: Scalar,
    names: list[str],
    gradients: dict[str, torch.Tensor | None],
    generator: torch.Generator,
    followed: Followed,
) -> list[Checked]:
    """Return what is found of tensors moved together; where they disagree, halves are tried.

    Where those can't be decided any more, what they say together stands.
    """
    leaves = {name: scalar.leaves[name] for name in names}
    direction = Direction(random_direction(leaves, generator, scalar.still))
    probe = _probe(scalar, direction, gradients, followed)
    if len(names) > 1 and probe.state == "decided" and probe.error > CLEAR:
        middle = len(names) // 2
        found = [
            checked
            for half in (names[:middle], names[middle:])
            for checked in _group(scalar, half, gradients, generator, followed)
        ]
        if any(checked.decided and checked.error > CLEAR for checked in found):
            return found
    return [_summed(scalar, name, [], probe, len(names)) for name in names]


def _one(
    scalar: Scalar,
    name: str,
    gradients: dict[str, torch.Tensor | None],
    coordinates: int,
    generator: torch.Generator,
    followed: Followed,
) -> Checked:
    leaf = scalar.leaves[name]
    size = size_of(leaf)
    along = Direction(random_direction({name: leaf}, generator, scalar.still))
    probes = [_probe(scalar, along, gradients, followed)]
    for at in _places(leaf, gradients[name], coordinates, generator):
        if name in scalar.still and at // max(1, leaf[0].numel()) == scalar.still[name]:
            continue
        if sum(probe.state == "decided" and probe.error > CLEAR for probe in probes) >= ENOUGH:
            break
        element = leaf.detach()[torch.unravel_index(torch.tensor(at), leaf.shape)]
        reach = torch.maximum(element.abs(), size).to(leaf.dtype)
        probes.append(_probe(scalar, Direction({name: reach}, at), gradients, followed))
    return _summed(scalar, name, probes[1:], probes[0], 1)


def _places(
    leaf: torch.Tensor, gradient: torch.Tensor | None, most: int, generator: torch.Generator
) -> list[int]:
    """Return the elements of the largest gradient, and as many at random."""
    most = min(most, leaf.numel())
    largest: list[int] = []
    if gradient is not None and most:
        largest = gradient.abs().reshape(-1).topk((most + 1) // 2).indices.tolist()
    drawn = torch.randint(leaf.numel(), (4 * most,), generator=generator).tolist()
    return list(dict.fromkeys([*largest, *drawn]))[:most]


def _probe(
    scalar: Scalar,
    direction: Direction,
    gradients: dict[str, torch.Tensor | None],
    followed: Followed,
) -> Probe:
    analytic = direction.slope(gradients)
    first = scalar.spent + 2 * scalar.cost
    probe = probed(scalar, direction, analytic, follow=followed.left > 0 or followed.free > 0)
    followed.left -= scalar.spent - first
    followed.free -= probe.followed
    return probe


def _summed(
    scalar: Scalar,
    name: str,
    coordinates: list[Probe],
    along: Probe,
    group: int,
) -> Checked:
    probes = [*coordinates, along]
    decided = [probe for probe in probes if probe.state == "decided"]
    worst = max(decided, key=lambda probe: probe.error, default=None)
    return Checked(
        name=clean_text(name),
        kind="input" if name in scalar.inputs else "parameter",
        elements=scalar.leaves[name].numel() if name in scalar.leaves else 0,
        coordinates=len(coordinates),
        probes=len(probes),
        decided=len(decided),
        kinks=sum(probe.state == "kink" for probe in probes),
        error=worst.error if worst else math.nan,
        analytic=worst.analytic if worst else math.nan,
        numeric=worst.numeric if worst else math.nan,
        factor=constant_factor(decided),
        along=along.error if along.state == "decided" else math.nan,
        group=group,
    )
