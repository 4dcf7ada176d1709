"""A subject made anew in float64: model, loss and a few examples."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from auditor.core.text import clean_text
from auditor.experiments.decisions import Decisions
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.losses import Loss
from auditor.intake.preserve import copied
from auditor.intake.reference import blame
from auditor.intake.seeding import seeded
from auditor.intake.subject import Subject
from auditor.intake.trial import layer_of

Change = Callable[[torch.Tensor], torch.Tensor]

WIDER = {torch.complex64: torch.complex128, torch.complex32: torch.complex128}


@dataclass(frozen=True)
class Wide:
    """A private copy in float64, free to be changed.

    `calls` are the operators of one evaluation of the loss, and `elements` what they put out.
    """

    model: nn.Module
    loss: Loss
    batch: Batch
    calls: int = 0
    elements: int = 0

    @property
    def names(self) -> dict[int, str]:
        """Return each module's path, by identity."""
        return {id(module): name for name, module in self.model.named_modules()}


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float64, or complex128; whole numbers stay what they are."""
    kind = torch.float64 if tensor.is_floating_point() else WIDER.get(tensor.dtype, tensor.dtype)
    return tensor.to(kind)


def wide(model: nn.Module, loss: Loss, batch: Batch, to: Change = widened) -> Wide:
    """Return a copy of all three in float64: parameters, buffers and tensors in attributes."""
    model = copied(model)._apply(to)
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if name.startswith("_") or isinstance(value, nn.Parameter | nn.Module):
                continue
            if isinstance(value, torch.Tensor | list | tuple | dict):
                made = _widened(value, to)
                if made is not None:
                    vars(module)[name] = made

    def fresh(tensor: torch.Tensor) -> torch.Tensor:
        return to(tensor.detach()).clone()

    batch = Batch(
        changed(batch.args, fresh), changed(batch.kwargs, fresh), changed(batch.target, fresh)
    )
    return Wide(model, _loss(loss, to), batch)


def _widened(value: Any, to: Change) -> Any:
    """Return an attribute with its tensors in float64; None where there is nothing to widen."""
    held = list(tensors_in(value))
    plain = [t for t in held if not isinstance(t, nn.Parameter)]
    if not any(t.is_floating_point() or t.is_complex() for t in plain):
        return None
    return changed(value, lambda t: t if isinstance(t, nn.Parameter) else to(t.detach()).clone())


def _loss(loss: Loss, to: Change) -> Loss:
    return replace(loss, terms={name: _term(term, to) for name, term in loss.terms.items()})


def _term(term: Callable[..., Any], to: Change) -> Callable[..., Any]:
    """Return a term whose own tensors, such as the weights of classes, are in float64."""
    if isinstance(term, Loss):
        return _loss(term, to)
    if isinstance(term, nn.Module):
        module: nn.Module = copied(term)._apply(to)
        return module
    if isinstance(term, functools.partial):
        inner = _term(term.func, to)
        return functools.partial(inner, *changed(term.args, to), **changed(term.keywords, to))
    return term


class NotInFloat64Error(Exception):
    """What keeps a model from running in float64."""


def fitting(subject: Subject, batch: Batch, examples: int) -> Wide:
    """Return the subject in float64 with a few examples, or all of a batch that can't be cut.

    Raises:
        NotInFloat64Error: a layer, or the loss, has another precision written into it.
    """
    assert subject.model is not None
    assert subject.loss is not None
    said = ""
    for size in (examples, batch.size):
        try:
            made = wide(subject.model, subject.loss, batch.take(size))
        except (RuntimeError, TypeError) as error:
            raise NotInFloat64Error(
                f"the model can't be copied in float64: {clean_text(error)}"
            ) from error
        made.model.eval()
        recorder = Decisions(made.names)
        try:
            given = made.batch.with_inputs(lambda t: t.clone())
            with seeded(subject.seed), torch.enable_grad(), recorder:
                made.loss(made.model(*given.args, **given.kwargs), given.target)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - it becomes the answer
            narrow = f"{recorder.narrow}; " if recorder.narrow else ""
            said = said or f"{narrow}{layer_of(made.model, error)}{blame(error)}"
            continue
        if recorder.narrow:
            raise NotInFloat64Error(
                f"the model can't run in float64: {recorder.narrow}, and in that precision "
                "differences of the loss are nothing but rounding"
            )
        return replace(made, calls=recorder.calls, elements=recorder.elements)
    raise NotInFloat64Error(f"the model can't run in float64: {said}")
