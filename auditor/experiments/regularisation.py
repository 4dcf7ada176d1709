"""How hard regularisation pulls at each parameter, and what the data pull with."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.request import Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.data_slope import data_slope
from auditor.experiments.decays import decays_of, decoupled
from auditor.experiments.lab import affordable
from auditor.experiments.penalties import (
    Pull,
    Scalars,
    constant_scalars,
    form_of,
    gradients,
    pull,
    ready,
    sizes,
    slopes,
)
from auditor.experiments.probe import raised
from auditor.experiments.released import released
from auditor.intake.batches import Batch
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.regularisation import (
    LIGHT,
    Form,
    Regularisation,
    RegularisationOver,
    Released,
)

BATCHES = 2
"""Batches on which gradients are taken."""

COLLAPSED = 0.95
"""Share of a fresh model's loss from which a checkpoint has learnt nothing that could be lost."""

FREE = 1e-3
"""Cosine between a weight and its gradient up to which its scale is looked at as doing nothing."""


@dataclass
class _Pulls:
    """What was measured at one set of weights; all but `loss` by parameter."""

    weights: Array
    data: Array
    penalty: Array
    free: Array
    alike: Array
    form: Form
    loss: float
    worth: float
    terms: tuple[str, ...]


def regularisation(request: RegularisationOver, subject: Subject) -> Regularisation | Unavailable:
    """Weigh the penalties on the weights against the data; free copies of them where they weigh."""
    assert subject.model is not None
    assert subject.loss is not None
    if request.split == "train_or_val":
        raise ValueError(f"{request.key} has not been settled with at()")
    named = [(name, p) for name, p in subject.model.named_parameters() if p.requires_grad]
    if not named:
        return Unavailable("the model has no trainable parameters")
    seed = derived_seed(subject.seed, request.key)
    size = subject.facts.data[request.split].batch_size
    batches = list(subject.batches(request.split, affordable(subject, BATCHES, size)))
    untold = ""
    try:
        with preserved(subject.model), seeded(seed), torch.enable_grad():
            scalars = _scalars(subject.model, batches)
            try:
                here = _pulls(subject, subject.model, batches, scalars, told=True)
            except InputError as error:
                scalars = Scalars()
                untold = f"the loss does not take outputs without their graph: {error}"
                here = _pulls(subject, subject.model, batches, scalars, told=False)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the model and the loss are the user's
        return Unavailable(f"no gradient could be taken: {raised(error)}")
    if not np.isfinite(here.loss) or not np.isfinite(here.data).all():
        return Unavailable("the loss or its gradient is not finite, so nothing can be weighed")
    fresh = None
    if subject.factory is not None:
        with seeded(seed), torch.enable_grad():
            model = subject.fresh(seed)
            fresh = _pulls(subject, model, batches, scalars, told=not untold)
        if len(fresh.weights) != len(named):
            fresh = None
        elif here.terms and not fresh.terms:
            # A penalty bound to the audited model is a constant in a fresh one's loss.
            fresh = replace(fresh, loss=fresh.loss - here.worth)
    decays, unknown = decays_of(subject, [name for name, _ in named])
    nothing = np.zeros(0)
    found = Regularisation(
        parameters=tuple(clean_text(name) for name, _ in named),
        elements=np.asarray([float(p.numel()) for _, p in named]),
        decays=decays,
        decoupled=decoupled(subject),
        unknown=unknown,
        hidden=here.penalty,
        alike=here.alike,
        form=here.form,
        terms=here.terms,
        worth=here.worth,
        weights=here.weights,
        data=here.data,
        fresh_weights=fresh.weights if fresh else nothing,
        fresh_data=fresh.data if fresh else nothing,
        free=fresh.free if fresh else here.free,
        data_loss=here.loss,
        fresh_loss=fresh.loss if fresh else math.nan,
        released=None,
        no_release="",
        slope=data_slope(subject, batches[0], scalars, seed),
        untold=untold,
        batches=len(batches),
        split=request.split,
    )
    freed = _freed(request, subject, found, [name for name, _ in named], scalars, seed)
    if isinstance(freed, Unavailable):
        return replace(found, no_release=freed.reason)
    return replace(found, released=freed)


def _freed(
    request: RegularisationOver,
    subject: Subject,
    found: Regularisation,
    names: list[str],
    scalars: Scalars,
    seed: int,
) -> Released | Unavailable:
    """Race copies where what is known of regularisation could overwhelm the data."""
    assert subject.loss is not None
    if not found.penalised.any():
        return Unavailable("no regularisation is known of which copies could be freed")
    if found.form == "other" and not (np.nan_to_num(found.decays) > 0).any():
        return Unavailable("the penalty is neither a square nor an absolute value of the weights")
    if found.weight <= LIGHT:
        return Unavailable("regularisation is too light to hold anything back")
    if "train" not in subject.data:
        return Unavailable("no training data is given (`data: train`)")
    learnt_nothing = found.data_loss > COLLAPSED * found.fresh_loss
    start: Literal["checkpoint", "fresh"] = "fresh" if learnt_nothing else "checkpoint"
    inside = np.nan_to_num(found.alike) if found.form in ("square", "absolute") else None
    return released(
        subject,
        start,
        request.steps,
        request.scored,
        seed,
        decays=dict(zip(names, np.nan_to_num(found.decays).tolist(), strict=True)),
        inside={} if inside is None else dict(zip(names, inside.tolist(), strict=True)),
        form=found.form,
        bare=scalars.bare(subject.loss),
    )


def _scalars(model: nn.Module, batches: list[Batch]) -> Scalars:
    """Return which outputs are penalties; of a single batch it can't be told."""
    if len(batches) < 2:
        return Scalars()
    ready(model, batches[0])
    first = model(*batches[0].args, **batches[0].kwargs)
    with torch.no_grad():
        ready(model, batches[1])
        second = model(*batches[1].args, **batches[1].kwargs)
    return constant_scalars(first, second)


def _pulls(
    subject: Subject, model: nn.Module, batches: list[Batch], scalars: Scalars, *, told: bool
) -> _Pulls:
    """Measure a model's weights and the gradients of some batches, dropout off."""
    assert subject.loss is not None
    parameters = [p for p in model.parameters() if p.requires_grad]
    data, losses, along = [], [], []
    penalty: list[torch.Tensor | None] = [None] * len(parameters)
    worth = 0.0
    terms: tuple[str, ...] = ()
    # The fused recurrent layers of CUDA can't be differentiated in evaluation mode.
    with torch.backends.cudnn.flags(enabled=False):
        for batch in batches:
            ready(model, batch)
            outputs = model(*batch.args, **batch.kwargs)
            found = _pull(model, subject, batch, outputs, scalars, told)
            data.append(sizes(found.data))
            along.append(slopes(parameters, found.data))
            value = float(found.worth)
            losses.append(float(found.loss) - value)
            if found.terms:
                penalty, worth, terms = found.penalty, value, found.terms
    form, alike = form_of(parameters, penalty)
    weights = sizes([p.detach() for p in parameters])
    strengths = torch.stack(data).square().mean(0).sqrt()
    return _Pulls(
        weights.numpy(),
        strengths.numpy(),
        sizes(penalty).numpy(),
        _free(weights, strengths, torch.stack(along).abs().amax(0)),
        np.asarray(alike),
        form,
        float(np.mean(losses)),
        worth,
        terms,
    )


def _pull(
    model: nn.Module, subject: Subject, batch: Batch, outputs: Any, scalars: Scalars, told: bool
) -> Pull:
    assert subject.loss is not None
    if told:
        return pull(model, subject.loss, batch, outputs, scalars)
    parameters = [p for p in model.parameters() if p.requires_grad]
    total = subject.loss(outputs, batch.target)
    nothing: list[torch.Tensor | None] = [None] * len(parameters)
    whole = gradients(total, parameters) if total.requires_grad else nothing
    return Pull(total.detach(), whole, nothing, torch.zeros(()), ())


def _free(weights: torch.Tensor, data: torch.Tensor, along: torch.Tensor) -> Array:
    """Tell which parameters' scale does nothing: their gradients are at right angles to them.

    Another such angle is by chance, so that the slope along them also has to be small beside that
    along the others.
    """
    bound = weights * data
    flat = (along <= FREE * bound) & (along <= 1e-2 * along.max()) & (bound > 0)
    return np.asarray(flat.numpy())
