"""The gradient of the loss by each step of a recurrent layer, on a copy.

A layer of torch (`nn.RNN`, `nn.LSTM`, `nn.GRU`) runs a whole sequence in one call: there the
gradient by its input at each step is read. A module with weights that is called eight times or
more in a pass, such as a cell in a loop, is read call by call, at its outputs.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from auditor.core.request import Split, Unavailable
from auditor.experiments.fresh_copies import unregularised
from auditor.experiments.lab import affordable, private_copy
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.through_time import Reach, ThroughTime, ThroughTimeOver

FEWEST_STEPS = 8
"""Steps from which on a quarter of a sequence is more than one."""

EXAMPLES = 32
"""Examples of a batch that are looked at: medians over so many are steady."""

BINS = 40
FLOOR = -45.0
"""log10 of the smallest number of float32."""

NONE = "no layer of the model is recurrent: none takes in a sequence step by step"


def through_time(request: ThroughTimeOver, subject: Subject) -> ThroughTime | Unavailable:
    """Return how far back the gradient reaches through each recurrent layer."""
    assert subject.model is not None
    assert subject.loss is not None
    split: Split = "train" if request.split == "train" else "val"
    seed = derived_seed(subject.seed, request.key)
    whole = subject.facts.task == "custom"
    with seeded(seed), torch.enable_grad():
        model = subject.fresh(seed) if request.start == "fresh" else private_copy(subject)
        unregularised(model)
        rows: dict[str, list[Sequence]] = {}
        losses: list[float] = []
        most = affordable(subject, request.batches, EXAMPLES)
        for batch in subject.batches(split, most):
            part = batch if whole else batch.take(EXAMPLES)
            if not losses and not _recurrent(model, part if whole else part.take(2)):
                return Unavailable(NONE)
            found, loss = _seen(subject, model, part)
            losses.append(loss)
            for name, sequence in found.items():
                rows.setdefault(name, []).append(sequence)
    modules = dict(model.named_modules())
    reaches = [
        reach
        for name, sequences in rows.items()
        if (reach := _reach(name, modules[name], sequences)) is not None
    ]
    if not reaches:
        return Unavailable(
            f"no recurrent layer got a gradient over sequences of {FEWEST_STEPS} steps or more"
        )
    return ThroughTime(
        tuple(reaches), len(losses), EXAMPLES, float(np.median(losses)) if losses else math.nan
    )


@dataclass
class Sequence:
    """Norms of the gradient, [examples, steps], NaN where an example has no such step."""

    norms: np.ndarray[Any, Any]


@dataclass
class _Watched:
    """What one pass showed: the inputs of recurrent layers, and the outputs of every call."""

    inputs: dict[str, list[tuple[nn.Module, torch.Tensor, Any]]] = field(default_factory=dict)
    outputs: dict[str, list[list[torch.Tensor]]] = field(default_factory=dict)


@contextmanager
def _watching(model: nn.Module, *, keep: bool) -> Iterator[_Watched]:
    watched, handles = _Watched(), []

    def entering(name: str, module: nn.Module, args: tuple[Any, ...], kwargs: Any) -> Any:
        given = args[0] if args else kwargs.get("input")
        data = given.data if isinstance(given, PackedSequence) else given
        if not isinstance(data, torch.Tensor) or not data.is_floating_point():
            return None
        added = torch.zeros_like(data, requires_grad=True)
        watched.inputs.setdefault(name, []).append((module, added, given))
        if isinstance(given, PackedSequence):
            new: Any = given._replace(data=data + added)
        else:
            new = data + added
        return ((new, *args[1:]), kwargs) if args else (args, {**kwargs, "input": new})

    def leaving(name: str, module: nn.Module, args: Any, output: Any) -> None:
        calls = watched.outputs.setdefault(name, [])
        calls.append([t for t in tensors_in(output) if t.requires_grad] if keep else [])

    try:
        for name, module in model.named_modules():
            if isinstance(module, nn.RNNBase) and keep:
                handles.append(
                    module.register_forward_pre_hook(
                        lambda m, args, kwargs, name=name: entering(name, m, args, kwargs),
                        with_kwargs=True,
                    )
                )
            if next(module.parameters(), None) is not None:
                handles.append(
                    module.register_forward_hook(
                        lambda m, args, output, name=name: leaving(name, m, args, output)
                    )
                )
        yield watched
    finally:
        for handle in handles:
            handle.remove()


def _recurrent(model: nn.Module, batch: Batch) -> bool:
    """Tell whether anything in the model runs step by step."""
    if any(isinstance(module, nn.RNNBase) for module in model.modules()):
        return True
    with _watching(model, keep=False) as watched, torch.no_grad():
        model.eval()
        model(*batch.args, **batch.kwargs)
        unregularised(model)
    return bool(_repeated(watched))


def _repeated(watched: _Watched) -> list[str]:
    """Return the outermost modules that were called again and again."""
    often = [name for name, calls in watched.outputs.items() if len(calls) >= FEWEST_STEPS]
    return [name for name in often if not any(_inside(name, other) for other in often)]


def _inside(name: str, other: str) -> bool:
    return name != other and (not other or name.startswith(f"{other}."))


def _seen(subject: Subject, model: nn.Module, batch: Batch) -> tuple[dict[str, Sequence], float]:
    assert subject.loss is not None
    with _watching(model, keep=True) as watched:
        loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
    whole = {name: calls[0] for name, calls in watched.inputs.items() if len(calls) == 1}
    cells = {
        name: [call[:2] for call in watched.outputs[name]]
        for name in _repeated(watched)
        if all(watched.outputs[name])
    }
    wanted = [added for _, added, _ in whole.values()]
    wanted += [tensor for calls in cells.values() for call in calls for tensor in call]
    if not wanted or not loss.requires_grad:
        return {}, float(loss.detach())
    gradients = iter(torch.autograd.grad(loss, wanted, allow_unused=True))
    found: dict[str, Sequence] = {}
    for name, (module, _, given) in whole.items():
        gradient = next(gradients)
        if gradient is not None:
            found[name] = Sequence(_by_step(module, gradient, given))
    for name, calls in cells.items():
        rows: list[list[torch.Tensor | None]] = [[next(gradients) for _ in call] for call in calls]
        norms = _by_call(rows, batch.size)
        if norms is not None:
            found[name] = Sequence(norms)
    return found, float(loss.detach())


def _by_step(module: nn.Module, gradient: torch.Tensor, given: Any) -> np.ndarray[Any, Any]:
    """Return the norm for each example and step, NaN in the padding at either end."""
    if isinstance(given, PackedSequence):
        gradient, lengths = pad_packed_sequence(given._replace(data=gradient), batch_first=True)
        inside = torch.arange(gradient.shape[1])[None] < lengths[:, None]
    else:
        values = given
        if gradient.ndim == 2:
            gradient, values = gradient[None], values[None]
        elif not module.batch_first:
            gradient, values = gradient.transpose(0, 1), values.transpose(0, 1)
        inside = _not_padding(values.detach()).cpu()
    norms = torch.linalg.vector_norm(gradient, dim=2, dtype=torch.float64).cpu()
    return np.asarray(norms.masked_fill(~inside, math.nan).numpy())


def _not_padding(values: torch.Tensor) -> torch.Tensor:
    """Return where a sequence [examples, steps, features] is more than a run of one value."""
    same = (values[:, 1:] == values[:, :-1]).all(dim=2)
    still = torch.ones_like(same[:, :1])
    front = torch.cat([still, same], dim=1).long().cumprod(dim=1).bool()
    back = torch.cat([same, still], dim=1).long().flip(1).cumprod(dim=1).flip(1).bool()
    front = front & front.roll(-1, dims=1)  # The last of a run at the front may be the first step.
    back = back & back.roll(1, dims=1)
    return ~(front | back)


def _by_call(rows: list[list[torch.Tensor | None]], examples: int) -> np.ndarray[Any, Any] | None:
    """Return the norm for each example and call, None where the calls don't follow one another."""
    steps = []
    for row in rows:
        squares = torch.zeros(examples, dtype=torch.float64)
        for gradient in row:
            if gradient is None or not gradient.ndim or gradient.shape[0] != examples:
                continue
            flat = gradient.detach().reshape(examples, -1)
            squares += torch.linalg.vector_norm(flat, dim=1, dtype=torch.float64).cpu() ** 2
        steps.append(squares.sqrt())
    given = [any(gradient is not None for gradient in row) for row in rows]
    if sum(given) < len(given):
        return None
    return torch.stack(steps, dim=1).numpy()


def _reach(name: str, module: nn.Module, sequences: list[Sequence]) -> Reach | None:
    """Return what several batches tell of one layer."""
    batches = [told for one in sequences if (told := _told(one.norms)) is not None]
    if not batches:
        return None
    profile, early, late, least, apart, steps = (
        np.array(part) for part in zip(*batches, strict=True)
    )
    both_ways = bool(getattr(module, "bidirectional", False))
    kind, length = type(module).__name__, int(np.median(steps))
    return Reach(name, kind, length, profile, early, late, least, apart, both_ways)


def _told(norms: np.ndarray[Any, Any]) -> tuple[Any, ...] | None:
    """Return the profile and the quarters of one batch, medians over its examples."""
    rows = []
    for row in norms:
        known = np.trim_zeros(row[~np.isnan(row)], "b")  # Steps after all that the loss reads.
        if len(known) >= FEWEST_STEPS and np.isfinite(known).all() and known.max() > 0:
            rows.append(_of_example(known))
    if not rows:
        return None
    return tuple(np.median(np.array(part), axis=0) for part in zip(*rows, strict=True))


def _of_example(norms: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    count = len(norms)
    edges = np.linspace(0, count, min(BINS, count) + 1).round().astype(int)
    bins = np.maximum.reduceat(norms, edges[:-1])
    # Sequences of a batch differ in length: each is spread over the same number of bins.
    spread = bins[(np.arange(BINS) * len(bins)) // BINS]
    width = max(1, count // 4)
    starts = np.unique(np.linspace(0, count - width, BINS).round().astype(int))
    quarters = np.array([norms[start : start + width].max() for start in starts])
    small, large = int(quarters.argmin()), int(quarters.argmax())
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log10(quarters / quarters.max()), FLOOR)
        profile = np.maximum(np.log10(spread / spread.max()), FLOOR)
    apart = abs(int(starts[large]) - int(starts[small]))
    return profile, logs[0], logs[-1], logs[small], apart, count
