"""The subject put together out of its live pieces, once each has been tried."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from auditor.core.request import SCALE, Capability, Split, Unavailable
from auditor.core.spec import AuditSpec, OptimizerSpec, Task
from auditor.core.spec_file import from_home
from auditor.core.subject import SplitFacts, SubjectFacts
from auditor.core.text import clean_text
from auditor.intake import optimizer as optimizers
from auditor.intake.batch_reading import Adapter
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.devices import chosen_device
from auditor.intake.loaders import Batches, Survey, opened, surveyed
from auditor.intake.losses import IGNORED, Loss
from auditor.intake.modules import parameters_of
from auditor.intake.optimizer import LiveOptimizer
from auditor.intake.running_statistics import keepers
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import ABSENT, Subject
from auditor.intake.training_logs.found import log_of
from auditor.intake.trial import flops_of, recurrent_steps, tried
from auditor.observations.earlier import Earlier, Which
from auditor.observations.training_log import TrainingLog

SURVEYED = 64
"""Batches of each split that are looked through at the standard profile; no request asks more."""


@dataclass(frozen=True)
class Parts:
    """The live pieces of a subject, as the spec's references or a caller's objects give them."""

    name: str
    shown_factory: str = ""
    model: nn.Module | None = None
    factory: Callable[[], nn.Module] | None = None
    checkpoint: Checkpoint | None = None
    loss: Loss | None = None
    loaders: tuple[tuple[Split, Any], ...] = ()
    adapter: Adapter | None = None
    warnings: tuple[str, ...] = ()
    optimizer: LiveOptimizer | None = None
    configured: OptimizerSpec | None = None
    earlier: Mapping[Which, Earlier] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    loader_of: Mapping[Split, Callable[[], Any]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)


def assemble(parts: Parts, spec: AuditSpec) -> Subject:
    """Return the subject made of `parts`, once each has been tried.

    Raises:
        InputError: a part can't be used: a loader, a batch, the loss, the optimizer, the device.
    """
    device = chosen_device(spec.audit.device)
    log = _log(spec, parts.checkpoint)
    model = parts.model.to(device) if parts.model is not None else None
    data: dict[Split, Batches] = {
        split: opened(loader, split, parts.adapter, derived_seed(spec.audit.seed, f"data.{split}"))
        for split, loader in parts.loaders
    }
    most = max(1, round(SURVEYED * SCALE[spec.audit.profile]))
    surveys = {split: surveyed(batches, most) for split, batches in data.items()}
    task, outputs, flops, steps = spec.task, None, 0.0, 0
    if model is not None:
        for split, batches in data.items():
            inferred, outputs = tried(
                model,
                batches,
                surveys[split],
                parts.loss,
                task,
                device,
                spec.audit.seed,
                parts.factory,
            )
            task = task or inferred
            flops = max(flops, flops_of(model, batches, device, spec.audit.seed))
            steps = max(steps, recurrent_steps(model, next(iter(batches.first(1)))))
    optimizer = spec.training.optimizer
    if optimizer is not None:
        optimizer = optimizers.validated(optimizer)
    elif parts.checkpoint is not None and parts.checkpoint.optimizer is not None:
        optimizer = optimizers.read_from(parts.checkpoint.optimizer)
    optimizer = optimizer or parts.configured
    present: dict[Capability, object] = {
        "model": model,
        "weights": parts.checkpoint or model,
        "train": data.get("train"),
        "val": data.get("val"),
        "loss": parts.loss,
        "factory": parts.factory,
        "optimizer": optimizer,
        "batch_norm": True if model is not None and any(keepers(model)) else None,
        "earlier": parts.earlier or None,
    }
    facts = SubjectFacts(
        name=clean_text(parts.name, 120),
        factory=parts.shown_factory,
        checkpoint=parts.checkpoint.facts if parts.checkpoint else None,
        parameters=_count(model, parts.checkpoint, trainable=False),
        trainable=_count(model, parts.checkpoint, trainable=True),
        device=str(device),
        task=task,
        loss=parts.loss.shown if parts.loss else "",
        outputs=outputs,
        flops=flops,
        recurrent_steps=steps,
        data={split: _facts(survey, task, parts.loss) for split, survey in surveys.items()},
        has=frozenset(name for name, part in present.items() if part is not None),
        lacks={name: ABSENT[name] for name, part in present.items() if part is None},
        warnings=(
            *parts.warnings,
            *(_cut(split, s, most) for split, s in surveys.items() if not s.complete),
        ),
    )
    return Subject(
        model=model,
        factory=parts.factory,
        loss=parts.loss,
        data=data,
        optimizer=optimizer,
        clip_norm=spec.training.clip_norm,
        checkpoint=parts.checkpoint,
        device=device,
        seed=spec.audit.seed,
        base=spec.base,
        facts=facts,
        training=spec.training,
        live_optimizer=parts.optimizer,
        earlier=parts.earlier,
        claims=spec.claims,
        hashes={split: survey.hashes for split, survey in surveys.items()},
        code=parts.code,
        loader_of=parts.loader_of,
        arguments=parts.arguments,
        include_samples=spec.output.include_samples,
        log=log,
    )


def _log(spec: AuditSpec, checkpoint: Checkpoint | None) -> TrainingLog | Unavailable:
    """Return the log of training that the spec names, or that lies beside the checkpoint."""
    named = spec.training.log
    path = None if named is None else spec.base / from_home(named, "training.log")
    return log_of(path, named or "", checkpoint)


def _facts(survey: Survey, task: Task | None, loss: Loss | None) -> SplitFacts:
    targets = survey.targets.facts(task, loss.ignored if loss else IGNORED)
    return SplitFacts(
        batches=survey.batches,
        batches_read=survey.batches_read,
        examples=survey.examples,
        batch_size=survey.batch_size,
        complete=survey.complete,
        input_shapes=survey.input_shapes,
        target_shape=survey.target_shape,
        targets=targets,
        fingerprint=survey.fingerprint,
        features=survey.features.facts(with_targets=targets.kind == "numbers"),
    )


def _count(model: nn.Module | None, checkpoint: Checkpoint | None, *, trainable: bool) -> int:
    if model is not None:
        held = parameters_of(model)
        return sum(p.numel() for p in held if p.requires_grad or not trainable)
    tensors = checkpoint.weights.values() if checkpoint else ()
    return sum(tensor.numel() for tensor in tensors)


def _cut(split: Split, survey: Survey, most: int) -> str:
    return (
        f"Of data.{split} at most the first {most:,} of {survey.batches:,} batches are looked at; "
        "if the loader does not shuffle, they may not stand for the rest."
    )
