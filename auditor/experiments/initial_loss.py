"""The loss of freshly initialised models, before any training."""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split
from auditor.experiments.lab import dropout_off
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.initial_loss import FreshLosses, FreshLossesOver


def fresh_losses(request: FreshLossesOver, subject: Subject) -> FreshLosses:
    """Measure the loss of `seeds` fresh models on the same batches, and of the checkpoint."""
    assert subject.loss is not None
    assert subject.model is not None
    split: Split = "train" if request.split == "train" else "val"
    batches = list(subject.data[split].first(request.batches))
    losses, deviations = [], []
    for number in range(request.seeds):
        seed = derived_seed(subject.seed, f"fresh {number}")
        model = subject.fresh(seed)
        with seeded(seed):
            row, deviation = _measured(subject, model, batches)
        losses.append(row)
        deviations.append(deviation)
    with preserved(subject.model), seeded(subject.seed), torch.no_grad():
        subject.model.eval()
        trained = []
        for batch in batches:
            here = batch.to(subject.device)
            outputs = subject.model(*here.args, **here.kwargs)
            trained.append(subject.loss(outputs, here.target))
    mean, spread = _inputs(batches)
    return FreshLosses(
        loss=subject.loss.known if subject.loss.plain else "",
        outputs=subject.facts.outputs,
        losses=np.asarray(losses),
        output_deviation=np.asarray(deviations),
        input_mean=mean,
        input_deviation=spread,
        checkpoint_loss=float(torch.stack(trained).mean()),
        targets=subject.facts.data[split].targets,
        split=split,
    )


@torch.no_grad()
def _measured(
    subject: Subject, model: nn.Module, batches: list[Batch]
) -> tuple[list[float], float]:
    """Return the loss on each batch, and the standard deviation of all outputs."""
    assert subject.loss is not None
    losses, deviations = [], []
    for batch in batches:
        here = batch.to(subject.device)
        dropout_off(model, here.size)
        outputs = model(*here.args, **here.kwargs)
        losses.append(subject.loss(outputs, here.target))
        deviations.append(_deviation(main_output(outputs)))
    return torch.stack(losses).tolist(), float(torch.stack(deviations).mean())


def _deviation(outputs: Any) -> torch.Tensor:
    """Return the standard deviation of the outputs, NaN where they are no tensor."""
    if not isinstance(outputs, torch.Tensor):
        return torch.tensor(math.nan)
    single = torch.zeros((), device=outputs.device)
    return outputs.float().std() if outputs.numel() > 1 else single


def _inputs(batches: list[Batch]) -> tuple[float, float]:
    """Return mean and standard deviation of the floating-point inputs, NaN where there are none."""
    values = [
        tensor.double().flatten()
        for batch in batches
        for tensor in tensors_in((batch.args, batch.kwargs))
        if tensor.is_floating_point()
    ]
    if not values:
        return math.nan, math.nan
    whole = torch.cat(values)
    return float(whole.mean()), float(whole.std(correction=0))
