"""Penalties on the weights inside a loss, told from what the loss asks of the outputs."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.losses import Loss, main_output
from auditor.intake.modes import dropout_off
from auditor.intake.norms import norms
from auditor.observations.regularisation import Form

LIKE = 0.999
"""Cosine from which a penalty's gradient counts as that of a square, or of absolute values."""

Gradients = list[torch.Tensor | None]


@dataclass(frozen=True)
class Scalars:
    """Which outputs are penalties: numbers that are the same for every batch, by their place."""

    places: frozenset[int] = frozenset()

    def cut(self, outputs: Any, *, others: bool = False) -> Any:
        """Return the outputs with the penalties cut off from the weights, or all `others`."""
        place = -1

        def put(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal place
            place += 1
            return tensor.detach() if (place in self.places) != others else tensor

        return _rebuilt(outputs, put) if self.places or others else outputs

    def bare(self, loss: Loss) -> Loss:
        """Return the loss with these outputs held at what they are when it is first computed."""
        if not self.places:
            return loss
        terms = {
            name: _holding(replace(loss, terms={name: function}), self)
            for name, function in loss.terms.items()
        }
        return Loss(terms, "", loss.shown)


def _holding(term: Loss, scalars: Scalars) -> Callable[[Any, Any], torch.Tensor]:
    held: dict[int, torch.Tensor] = {}

    def value(outputs: Any, target: Any) -> torch.Tensor:
        place = -1

        def put(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal place
            place += 1
            return held.setdefault(place, tensor.detach()) if place in scalars.places else tensor

        return term(_rebuilt(outputs, put), target)

    return value


def _rebuilt(outputs: Any, put: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Return outputs of the same kind with `put` applied to every tensor."""
    if not dataclasses.is_dataclass(outputs) or isinstance(outputs, type):
        return changed(outputs, put)
    held = {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    return dataclasses.replace(outputs, **changed(held, put))


def constant_scalars(first: Any, second: Any) -> Scalars:
    """Return which outputs of two batches are one number that has a gradient and is the same."""
    main = main_output(first)
    pairs = zip(tensors_in(first), tensors_in(second), strict=False)
    return Scalars(
        frozenset(
            place
            for place, (a, b) in enumerate(pairs)
            if a is not main and a.numel() == b.numel() == 1 and a.requires_grad
            and bool((a.detach().reshape(()) == b.detach().reshape(())).all())
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Pull:
    """One batch's loss and gradient, less any penalty; and the penalties, by the loss's terms."""

    loss: torch.Tensor
    data: Gradients
    penalty: Gradients
    worth: torch.Tensor
    terms: tuple[str, ...]


def pull(model: nn.Module, loss: Loss, batch: Batch, outputs: Any, scalars: Scalars) -> Pull:
    """Return the pull of a batch on a model, given what the model puts out for it.

    A term's penalty is what is left of its gradient where all outputs but the penalties among them
    are cut off from the weights: a function of the parameters alone.

    Raises:
        InputError: a term of the loss does not take such outputs.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    cut = scalars.cut(outputs, others=True)
    kept = [t for place, t in enumerate(tensors_in(cut)) if place not in scalars.places]
    if any(t.requires_grad for t in kept):
        raise InputError("loss: the outputs can't be cut off from the weights")
    nothing: Gradients = [None] * len(parameters)
    terms: list[str] = []
    penalty, worth = nothing, torch.zeros(())
    for name in loss.terms:
        value = replace(loss, terms={name: loss.terms[name]})(cut, batch.target)
        if not value.requires_grad:
            continue
        found = gradients(value, parameters, keep=True)
        if any(g is not None and bool((g != 0).any()) for g in found):
            terms.append(clean_text(name, 60))
            penalty = added(penalty, found)
            worth = worth + _half(parameters, found).cpu()
    total = loss(outputs, batch.target)
    whole = gradients(total, parameters) if total.requires_grad else nothing
    data = added(whole, penalty, -1.0) if terms else whole
    return Pull(total.detach(), data, penalty, worth, tuple(terms))


def gradients(
    value: torch.Tensor, parameters: Sequence[torch.Tensor], *, keep: bool = False
) -> Gradients:
    """Return dense gradients, None where there is none."""
    found = torch.autograd.grad(value, parameters, retain_graph=keep, allow_unused=True)
    return [None if g is None else g.to_dense() if g.is_sparse else g for g in found]


def added(one: Gradients, other: Gradients, times: float = 1.0) -> Gradients:
    """Return the sum of gradients, the second ones multiplied."""
    return [
        a if b is None else times * b if a is None else a + times * b
        for a, b in zip(one, other, strict=True)
    ]


def sizes(found: Gradients) -> torch.Tensor:
    """Return the 2-norm of each gradient, 0 where there is none; on the CPU."""
    row = torch.zeros(len(found), dtype=torch.float64)
    places = [place for place, g in enumerate(found) if g is not None]
    row[places] = norms([g for g in found if g is not None]).cpu()
    return row


def slopes(parameters: Sequence[torch.Tensor], found: Gradients) -> torch.Tensor:
    """Return how much each gradient points along its own parameter, <g, w>; on the CPU."""
    return torch.stack(
        [
            torch.zeros((), dtype=torch.float64) if g is None else _dot(g, p).cpu()
            for g, p in zip(found, parameters, strict=True)
        ]
    )


def form_of(parameters: Sequence[torch.Tensor], penalty: Gradients) -> tuple[Form, list[float]]:
    """Return what a penalty is of the weights, and by parameter its factor, 0 where it has none.

    The gradient of λ/2 |w|² is λ w, that of c Σ|w| is c sign(w).
    """
    pulled = [g is not None and bool((g != 0).any()) for g in penalty]
    if not any(pulled):
        return "", [0.0] * len(pulled)
    forms: tuple[Form, Form] = ("square", "absolute")
    for form in forms:
        factors: list[float] = []
        for p, g, live in zip(parameters, penalty, pulled, strict=True):
            like = p.detach() if form == "square" else p.detach().sign()
            factors.append(_factor(g, like) if live and g is not None else 0.0)
        if not any(math.isnan(factor) for factor in factors):
            return form, factors
    return "other", [math.nan if live else 0.0 for live in pulled]


def _factor(gradient: torch.Tensor, like: torch.Tensor) -> float:
    """Return how many times `like` a gradient is, NaN where it is another thing."""
    along, own, size = (float(_dot(*pair)) for pair in ((gradient, like), (like, like),
                                                         (gradient, gradient)))  # fmt: skip
    alike = own > 0 and along >= LIKE * math.sqrt(size * own)
    return along / own if alike else math.nan


def ready(model: nn.Module, batch: Batch) -> None:
    """Put a model into the state in which its pulls are measured: dropout off, batch norm on the
    batch's statistics.
    """
    dropout_off(model, batch.size)


def _half(parameters: Sequence[torch.Tensor], found: Gradients) -> torch.Tensor:
    """Return <g, w> / k, the value of a penalty that grows as the k-th power of the weights."""
    form, _ = form_of(parameters, found)
    return slopes(parameters, found).sum() / (1.0 if form == "absolute" else 2.0)


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    real = [torch.view_as_real(t) if t.is_complex() else t for t in (one.detach(), other.detach())]
    return torch.dot(real[0].double().reshape(-1), real[1].double().reshape(-1))
