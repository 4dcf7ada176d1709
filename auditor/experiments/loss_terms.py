"""The gradient of each term of a loss for itself."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.text import clean_text
from auditor.core.values import Array
from auditor.experiments.lab import affordable, halving, private_copy
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss
from auditor.intake.modes import dropout_off
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.loss_terms import MOST_TERMS, LossTerms, LossTermsOver, TermsAt

Gradients = list[list[torch.Tensor | None]]


def loss_terms(request: LossTermsOver, subject: Subject) -> LossTerms | Unavailable:
    """Measure each term's value and gradient, of the checkpoint and of a fresh model."""
    assert subject.loss is not None
    assert subject.model is not None
    if len(subject.loss.terms) < 2:
        return Unavailable(
            "the loss is one callable, which can't be taken apart; name its terms, for instance "
            "`loss: {reconstruction: loss:reconstruction, divergence: loss:divergence}`, and the "
            "audit weighs them against each other"
        )
    if not any(p.requires_grad for p in subject.model.parameters()):
        return Unavailable("the model has no trainable parameters")
    answer, note = halving(lambda fraction: _measured(request, subject, fraction))
    return replace(answer, note=note)


def _measured(request: LossTermsOver, subject: Subject, fraction: float) -> LossTerms:
    assert subject.loss is not None
    split: Split = "train" if request.split == "train" else "val"
    names = list(subject.loss.terms)[:MOST_TERMS]
    chosen = {name: subject.loss.terms[name] for name in names}
    loss = Loss(chosen, "", subject.loss.shown)
    size = max(1, int(subject.facts.data[split].batch_size * fraction))
    count = affordable(subject, request.batches, size, runs=2 * len(names))
    batches = [batch.share(fraction) for batch in subject.batches(split, count)]
    seed = derived_seed(subject.seed, request.key)
    with seeded(seed):
        checkpoint = _at(private_copy(subject), loss, batches)
        fresh = None if subject.factory is None else _at(subject.fresh(seed), loss, batches)
    return LossTerms(
        terms=tuple(clean_text(name, 40) for name in names),
        left_out=len(subject.loss.terms) - len(names),
        checkpoint=checkpoint,
        fresh=fresh,
        split=split,
    )


def _at(model: nn.Module, loss: Loss, batches: list[Batch]) -> TermsAt:
    """Return the terms at a model's weights, dropout off and batch norm on its batch."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    count = len(loss.terms)
    values, products, norms = [], [], []
    reached: list[set[int]] = [set() for _ in range(count)]
    common: set[int] = set()
    with torch.enable_grad():
        for batch in batches:
            dropout_off(model, batch.size)
            terms = loss.values(model(*batch.args, **batch.kwargs), batch.target)
            gradients = [_gradient(value, parameters) for value in terms.values()]
            here = [{i for i, g in enumerate(one) if g is not None} for one in gradients]
            live = [indices for indices in here if indices]
            shared = sorted(set.intersection(*live)) if live else []
            reached = [before | now for before, now in zip(reached, here, strict=True)]
            common.update(shared)
            values.append([float(value.detach()) for value in terms.values()])
            products.append(_products(gradients, shared))
            norms.append([_norm(gradient) for gradient in gradients])
    table = np.asarray(values, float).reshape(-1, count)
    return TermsAt(
        values=np.where(np.isfinite(table), table, np.nan),
        products=np.asarray(products, float).reshape(-1, count, count),
        norms=np.asarray(norms, float).reshape(-1, count),
        own=tuple(len(indices) for indices in reached),
        shared=len(common),
    )


def _gradient(value: torch.Tensor, parameters: list[nn.Parameter]) -> list[torch.Tensor | None]:
    if not value.requires_grad:
        return [None] * len(parameters)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return [None if g is None else g.to_dense() if g.is_sparse else g for g in found]


def _products(gradients: Gradients, shared: list[int]) -> Array:
    """Return the inner products of all pairs of terms, over the parameters that all share."""
    rows = [
        torch.cat([_flat(g) for i in shared if (g := gradient[i]) is not None])
        if shared and all(gradient[i] is not None for i in shared)
        else None
        for gradient in gradients
    ]
    table = np.zeros((len(rows), len(rows)))
    for i, one in enumerate(rows):
        for j, other in enumerate(rows[: i + 1]):
            if one is not None and other is not None:
                table[i, j] = table[j, i] = float(torch.dot(one, other))
    return table


def _flat(gradient: torch.Tensor) -> torch.Tensor:
    real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
    return real.reshape(-1).double()


def _norm(gradient: list[torch.Tensor | None]) -> float:
    squares = [_flat(g).square().sum() for g in gradient if g is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
