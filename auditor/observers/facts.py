"""Answers that need no pass through the model: weights, targets and what stands beside them."""

import torch

from auditor.core.request import Split, Unavailable
from auditor.intake.environment import evidence
from auditor.intake.subject import Subject
from auditor.intake.surroundings import environment
from auditor.observations.earlier import Earlier, EarlierOf
from auditor.observations.environment import (
    Environment,
    EnvironmentEvidence,
    EnvironmentEvidenceOf,
    EnvironmentNow,
)
from auditor.observations.finite import WeightFlags, WeightFlagsOf
from auditor.observations.structure import Tensors, TensorsOf
from auditor.observations.targets import TargetsOf, TargetsSeen


def weight_flags(request: WeightFlagsOf, subject: Subject) -> WeightFlags | Unavailable:
    """Count the values that are not finite in every parameter and buffer."""
    if subject.model is not None:
        tensors = dict(subject.model.state_dict())
    elif subject.checkpoint is not None:
        tensors = subject.checkpoint.weights
    else:
        return Unavailable("there are no weights")
    counted = {
        name: (tensor.numel(), torch.isnan(tensor).sum(), torch.isinf(tensor).sum())
        for name, tensor in tensors.items()
        if isinstance(tensor, torch.Tensor) and (tensor.is_floating_point() or tensor.is_complex())
    }
    return WeightFlags(
        names=tuple(counted),
        sizes=tuple(size for size, _, _ in counted.values()),
        nan=tuple(int(nan) for _, nan, _ in counted.values()),
        infinite=tuple(int(infinite) for _, _, infinite in counted.values()),
    )


def tensors(request: TensorsOf, subject: Subject) -> Tensors | Unavailable:
    """List the tensors of the model, or of the checkpoint where there is no model."""
    if subject.model is not None:
        held = dict(subject.model.state_dict())
    elif subject.checkpoint is not None:
        held = subject.checkpoint.weights
    else:
        return Unavailable("there are no weights")
    found = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    return Tensors(
        names=tuple(found),
        shapes=tuple("×".join(map(str, value.shape)) or "scalar" for value in found.values()),
        types=tuple(str(value.dtype).removeprefix("torch.") for value in found.values()),
        sizes=tuple(value.numel() for value in found.values()),
        bytes=tuple(value.numel() * value.element_size() for value in found.values()),
    )


def targets(request: TargetsOf, subject: Subject) -> TargetsSeen | Unavailable:
    """Return the distribution of the targets that the intake saw."""
    split: Split = "train" if request.split == "train" else "val"
    seen = subject.facts.data[split]
    if seen.targets.kind == "unknown":
        return Unavailable(f"the targets of data.{split} are neither classes nor numbers")
    return TargetsSeen(seen.targets, split, seen.complete)


def environment_evidence(request: EnvironmentEvidenceOf, subject: Subject) -> EnvironmentEvidence:
    """Return what the checkpoint and the files beside it tell of the training environment."""
    held = subject.checkpoint
    if held is None:
        return EnvironmentEvidence((), ())
    return evidence(held.extras, [subject.base, held.file.parent], held.recorded)


def environment_now(request: EnvironmentNow, subject: Subject) -> Environment:
    """Return what this audit runs with."""
    return Environment(environment(str(subject.device)))


def earlier(request: EarlierOf, subject: Subject) -> Earlier | Unavailable:
    """Return the earlier audit that was named, or found in the history."""
    found = subject.earlier.get(request.which)
    return found or Unavailable(f"no {request.which} audit of this model is known")
