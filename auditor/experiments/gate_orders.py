"""Putting the gates of recurrent layers in every other order: does one mend the checkpoint?"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.experiments.lab import affordable, in_parts, private_copy, scored
from auditor.experiments.rescaling import parted
from auditor.intake.batches import Batch
from auditor.intake.modes import evaluating
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.gate_orders import (
    EXAMPLES,
    MOST,
    TRIED,
    GateOrders,
    GateOrdersOver,
)
from auditor.observations.performance import Performance
from auditor.observations.targets import best_constant_loss, losses_of

FEWEST = 40
"""Examples below which no order is chosen."""

BLOCKS: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.LSTM, 4),
    (nn.LSTMCell, 4),
    (nn.GRU, 3),
    (nn.GRUCell, 3),
)

Try = tuple[tuple[str, ...], tuple[int, ...]]
"""Layers, and the order in which their gates are put."""


def gate_orders(request: GateOrdersOver, subject: Subject) -> GateOrders | Unavailable:
    """Choose an order on some examples, and measure it on others; nothing is trained."""
    return in_parts(subject, lambda: _tried(request, subject))


def _tried(request: GateOrdersOver, subject: Subject) -> GateOrders | Unavailable:
    assert subject.model is not None
    found = gated(subject.model)
    if not found:
        return Unavailable("no layer has gates")
    split: Split = "train" if request.split == "train" else "val"
    tries = list(_tries(found))
    wanted = affordable(subject, EXAMPLES, 1, runs=2 + len(tries), training=False)
    if wanted < FEWEST:
        return Unavailable(f"{wanted} examples could be scored in every order, {FEWEST} are needed")
    size = max(1, subject.facts.data[split].batch_size)
    most = min(request.batches, math.ceil(wanted / size))
    with seeded(derived_seed(subject.seed, request.key)), torch.no_grad():
        choosing, rest = parted(list(subject.batches(split, most)), wanted)
        model = evaluating(private_copy(subject))

        def seen(batches: list[Batch]) -> Performance | Unavailable:
            return scored(subject, model, batches, split)

        before = seen(rest) if rest and choosing else Unavailable("there are too few examples")
        if isinstance(before, Unavailable):
            return before
        if before.examples < FEWEST / 2:
            return Unavailable("there are too few examples")
        losses, constant = losses_of(before), best_constant_loss(before)
        if not np.isfinite(losses).all() or not math.isfinite(constant):
            return Unavailable("the loss is not finite, so it can't be compared")
        if losses.mean() < TRIED * constant:
            return GateOrders((), (), losses, losses, constant, split, 0)
        made: dict[Try, float] = {}
        for one in tries:
            _put(model, one)
            told = seen(choosing)
            made[one] = math.inf if isinstance(told, Unavailable) else _mean(told)
            _put(model, _undone(one))
        best = min(tries, key=lambda one: made[one])
        _put(model, best)
        after = seen(rest)
        if isinstance(after, Unavailable):
            return after
    layers, order = best
    names = tuple(clean_text(name) for name in layers)
    return GateOrders(names, order, losses, losses_of(after), constant, split, len(tries))


def gated(model: nn.Module) -> dict[str, int]:
    """Return how many gates each recurrent layer has that keeps its weights as torch does."""
    return {
        name: gates
        for name, module in model.named_modules()
        for kind, gates in BLOCKS
        if isinstance(module, kind) and list(_blocks(module))
    }


def _blocks(module: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters whose rows are the gates', one after the other."""
    for name, parameter in module.named_parameters(recurse=False):
        if name.startswith(("weight_ih", "weight_hh", "bias_ih", "bias_hh")):
            yield parameter


def _tries(found: dict[str, int]) -> Iterator[Try]:
    """Yield every other order: of all layers of a kind together, and of each of the first alone."""
    for gates in (4, 3):
        layers = tuple(name for name, own in found.items() if own == gates)
        groups = [layers] if layers else []
        groups += [(name,) for name in layers[:MOST]] if len(layers) > 1 else []
        for group in groups:
            for order in list(itertools.permutations(range(gates)))[1:]:
                yield group, order


def _undone(one: Try) -> Try:
    layers, order = one
    return layers, tuple(order.index(place) for place in range(len(order)))


def _put(model: nn.Module, one: Try) -> None:
    """Put block `order[i]` of each parameter in place i."""
    layers, order = one
    # A parameter that two layers share is put in order once.
    for parameter in {p: None for name in layers for p in _blocks(model.get_submodule(name))}:
        blocks = parameter.chunk(len(order))
        parameter.copy_(torch.cat([blocks[place] for place in order]))


def _mean(seen: Performance) -> float:
    mean = float(np.mean(losses_of(seen)))
    return mean if math.isfinite(mean) else math.inf
