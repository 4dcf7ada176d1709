"""Fresh copies as they are, and with one ReLU wherever activations are missing or too many."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.between_layers import between_layers
from auditor.experiments.lab import private_copy
from auditor.experiments.mended_copies import mended_copies
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.activation_trial import ActivationTrial, ActivationTrialOver, Doubt

LOOKED_AT = 8
"""Examples of which one pass is looked at."""

ROUNDING = 1e-9
"""Share of what outputs differ by within which a model in double precision is linear."""


def activation_trial(
    request: ActivationTrialOver, subject: Subject
) -> ActivationTrial | Unavailable:
    """Look at what stands between layers, and try what is odd on copies."""
    batch = next(iter(subject.batches("val", 1)), None)
    if batch is None:
        return Unavailable("data.val has no batch")
    batch = batch.take(min(LOOKED_AT, batch.size))
    with seeded(derived_seed(subject.seed, request.key)):
        seen = between_layers(private_copy(subject), batch)
        doubts = tuple(seen.doubts.values())
        missing = any(doubt.kind == "missing" for doubt in doubts)
        linear = missing and _is_linear(private_copy(subject), batch)
    if not doubts:
        return ActivationTrial(seen.pairs, doubts, linear)
    copies = mended_copies(subject, lambda m: mended(m, doubts), request.steps, request.seeds)
    return ActivationTrial(seen.pairs, doubts, linear, copies)


@torch.no_grad()
def _is_linear(model: nn.Module, batch: Batch) -> bool:
    """Tell whether the answer to the middle of two inputs is the middle of both answers."""
    given = list(tensors_in((batch.args, batch.kwargs)))
    if not all(tensor.is_floating_point() for tensor in given) or batch.size < 2:
        return False
    model.double().eval()
    one = batch.with_inputs(lambda tensor: tensor.double())
    two = batch.with_inputs(lambda tensor: tensor.double().roll(1, 0))
    middle = batch.with_inputs(lambda tensor: (tensor.double() + tensor.double().roll(1, 0)) / 2)
    try:
        a, b, c = (_answers(model, part) for part in (one, two, middle))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return False
    spread = float((a - b).abs().max())
    return spread > 0 and float((c - (a + b) / 2).abs().max()) <= ROUNDING * spread


def _answers(model: nn.Module, batch: Batch) -> torch.Tensor:
    outputs = tensors_in(model(*batch.args, **batch.kwargs))
    return torch.cat([tensor.flatten().double() for tensor in outputs])


@contextmanager
def mended(model: nn.Module, doubts: Sequence[Doubt]) -> Iterator[None]:
    """Let a model run with one ReLU at each of the doubts.

    Where the activations between two layers are modules, the first becomes the ReLU and the others
    pass on what they are given; else the second layer is given the ReLU of what the first puts out.
    """
    with ExitStack() as stack:
        for doubt in doubts:
            if doubt.kind != "missing" and not any(n.startswith("(") for n in doubt.between):
                first, *others = (model.get_submodule(name) for name in doubt.between)
                stack.callback(first.register_forward_hook(_rectified).remove)
                for other in others:
                    stack.callback(other.register_forward_hook(_passed).remove)
            elif doubt.kind == "missing":
                layer = model.get_submodule(doubt.layer)
                stack.callback(layer.register_forward_pre_hook(_rectifying).remove)
            else:
                _bridge(model, doubt, stack)
        yield


def _rectified(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    return torch.relu(args[0])


def _passed(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    return args[0]


def _rectifying(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (torch.relu(args[0]), *args[1:])


def _bridge(model: nn.Module, doubt: Doubt, stack: ExitStack) -> None:
    """Lead what one layer puts out to the next past all functions, where the sizes allow it."""
    held: list[torch.Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        held[:] = [output.clone()]

    def give(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not held or held[0].numel() != args[0].numel():
            return args
        return (torch.relu(held.pop()).reshape(args[0].shape), *args[1:])

    stack.callback(model.get_submodule(doubt.before).register_forward_hook(keep).remove)
    stack.callback(model.get_submodule(doubt.layer).register_forward_pre_hook(give).remove)
