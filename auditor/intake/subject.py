"""The subject: everything live that an audit works on, brought in and checked."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from auditor.core.addresses import is_address, without_credentials
from auditor.core.errors import InputError
from auditor.core.request import SCALE, Capability, Split, Unavailable
from auditor.core.spec import AuditSpec, BatchSpec, OptimizerSpec, Task, TrainingSpec
from auditor.core.spec_file import from_home
from auditor.core.subject import SplitFacts, SubjectFacts
from auditor.core.text import clean_text, kind_of, listed
from auditor.core.values import Array
from auditor.intake import optimizer as optimizers
from auditor.intake.batch_paths import adapter_of
from auditor.intake.batch_reading import Adapter
from auditor.intake.batches import Batch
from auditor.intake.checkpoint import Checkpoint, open_checkpoint
from auditor.intake.devices import chosen_device
from auditor.intake.frameworks.choose import (
    loader_maker,
    model_in,
    optimizer_of,
    source_of,
    told_of,
)
from auditor.intake.frameworks.source import Told
from auditor.intake.loaders import Batches, Survey, first_raw, opened, surveyed
from auditor.intake.losses import IGNORED, Loss, callable_loss, named_loss, summed
from auditor.intake.optimizer import LiveOptimizer
from auditor.intake.reference import blame, call, first_on_path, resolve
from auditor.intake.running_statistics import keepers
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.sources import named_code
from auditor.intake.spectral import begun
from auditor.intake.training_logs.found import log_of
from auditor.intake.trial import flops_of, recurrent_steps, tried
from auditor.intake.weights import fit
from auditor.intake.wrapped import bare
from auditor.observations.earlier import Earlier, Which
from auditor.observations.training_log import TrainingLog
from auditor.opening.hub_config import implied_factory
from auditor.opening.located import located, told_by_name

SURVEYED = 64
"""Batches of each split that are looked through at the standard profile; no request asks more."""

ABSENT: dict[Capability, str] = {
    "model": "no model factory is named, so only the weights can be looked at",
    "weights": "no checkpoint is named",
    "train": "no training data is given (`data: train`)",
    "val": "no validation data is given (`data: val`)",
    "loss": "no loss is named (`loss`)",
    "factory": "no factory is given that builds the model afresh (`model: factory`)",
    "optimizer": "no optimizer of one learning rate is declared (`training: optimizer`) or in the "
    "checkpoint",
    "batch_norm": "the model has no batch normalisation that keeps running statistics",
    "earlier": "there is no earlier audit to compare with (`--baseline last`, or a record)",
}


BATCH_NORM = nn.modules.batchnorm._BatchNorm


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


@dataclass(frozen=True)
class Subject:
    """The live bundle; the only thing in an audit that holds torch objects.

    `fresh` builds the model anew, with other weights for another seed. `code` are the callables
    that were named or handed in, by what they make ("model.factory"); `loader_of` builds the
    loader of a split anew, where a spec says how; `arguments` are those that the spec gives the
    factory.
    """

    model: nn.Module | None
    factory: Callable[[], nn.Module] | None
    loss: Loss | None
    data: dict[Split, Batches]
    optimizer: OptimizerSpec | None
    clip_norm: float | None
    checkpoint: Checkpoint | None
    device: torch.device
    seed: int
    base: Path
    facts: SubjectFacts
    training: TrainingSpec = field(default_factory=TrainingSpec)
    live_optimizer: LiveOptimizer | None = None
    earlier: Mapping[Which, Earlier] = field(default_factory=dict)
    claims: Mapping[str, float] = field(default_factory=dict)
    hashes: Mapping[Split, Array] = field(default_factory=dict)
    code: Mapping[str, Any] = field(default_factory=dict)
    loader_of: Mapping[Split, Callable[[], Any]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    include_samples: bool = False
    """Whether answers may hold the inputs of single examples."""
    log: TrainingLog | Unavailable = field(default_factory=lambda: Unavailable("no log was read"))

    def fresh(self, seed: int) -> nn.Module:
        """Return a freshly initialised model on the subject's device, ready to be evaluated.

        Raises:
            InputError: the factory hands out the audited model itself, or no model.
        """
        if self.factory is None:
            raise ValueError("this subject has no factory")
        with seeded(seed):
            built = _module(self.factory(), self.facts.factory)
        audited = set(self.model.parameters()) if self.model is not None else set()
        if built is self.model or not audited.isdisjoint(built.parameters()):
            raise InputError(
                "model.factory: it hands out the audited model, or parts of it, instead of "
                "building a new one"
            )
        return begun(built.to(self.device))

    def batches(self, split: Split, most: int) -> Generator[Batch]:
        """Yield the first `most` batches of a split, on the subject's device."""
        for batch in self.data[split].first(most):
            yield batch.to(self.device)


def load(spec: AuditSpec, earlier: Mapping[Which, Earlier] | None = None) -> Subject:
    """Return the subject that a spec names, with the earlier audits of it to compare with.

    Raises:
        InputError: something that it names is missing, broken or does not fit.
    """
    base = spec.base
    checkpoint = None
    if spec.model.checkpoint is not None:
        checkpoint = _opened(spec, spec.model.checkpoint)
    source = source_of(spec, checkpoint)
    named = implied_factory(spec) or ""
    built, model, factory = None, None, None
    if source is not None:
        with seeded(derived_seed(spec.audit.seed, "factory")):
            built = call(source.function, dict(source.arguments), "model.factory")
            model = _module(model_in(built), named)

        def factory() -> nn.Module:
            return _module(model_in(source.function(**source.arguments)), named)

    if model is not None and checkpoint is not None:
        weights = (source.weights if source is not None else None) or checkpoint.weights
        fitted = fit(dict(weights), model, clean_text(checkpoint.facts.path), spec.model.allow)
        try:
            model.load_state_dict(fitted.weights)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{clean_text(checkpoint.facts.path)}: the model can't load the checkpoint: "
                f"{_reason(error)}"
            ) from error
        checkpoint = replace(
            checkpoint,
            facts=replace(
                checkpoint.facts,
                path=without_credentials(str(spec.model.checkpoint)),
                removed_prefix=fitted.removed,
                left_out=fitted.left_out,
            ),
        )
    elif checkpoint is not None and checkpoint.module is not None:
        model = checkpoint.module
    if model is None and checkpoint is None:
        raise InputError(
            "model: nothing to audit: name a factory and a checkpoint, for instance\n"
            "  model: {factory: model:build, checkpoint: weights.pt}"
        )
    adapter = _adapter(spec.data.batch, base)
    splits: tuple[tuple[Split, str | None], ...] = (
        ("train", spec.data.train),
        ("val", spec.data.val),
    )
    loader_of: dict[Split, Callable[[], Any]] = {
        split: loader_maker(reference, spec, split, checkpoint, source)
        for split, reference in splits
        if reference is not None
    }
    loaders = tuple((split, build()) for split, build in loader_of.items())
    told = Told()
    if source is not None and loaders:
        first = partial(first_raw, *loaders[0], derived_seed(spec.audit.seed, "first batch"))
        told = told_of(source, built, first, adapter, spec.loss)
    return assemble(
        Parts(
            name=spec.title,
            shown_factory=named,
            model=model,
            factory=factory,
            checkpoint=checkpoint,
            loss=_loss(spec.loss, base) or told.loss,
            loaders=loaders if model is not None else (),
            adapter=told.adapter or adapter,
            warnings=(
                *_warnings(checkpoint, spec),
                *(source.notes if source is not None else ()),
                *told.notes,
            ),
            configured=optimizer_of(built),
            earlier=earlier or {},
            code=named_code(spec, source.code if source is not None else None),
            loader_of=loader_of,
            arguments=spec.model.args,
        ),
        spec,
    )


def _opened(spec: AuditSpec, named: str) -> Checkpoint:
    """Return the checkpoint that a spec names; one that was fetched is known by its address."""
    path = spec.fetched or located(named, spec.base)
    with told_by_name(path, named):
        checkpoint = _read(spec, path)
    if not is_address(named):
        return checkpoint
    return replace(checkpoint, facts=replace(checkpoint.facts, path=without_credentials(named)))


def _read(spec: AuditSpec, path: Path) -> Checkpoint:
    if spec.model.allow_pickle is None:
        return open_checkpoint(path, spec.model.key, spec.model.allowed)
    with first_on_path(spec.base):  # where the classes may be that the pickle makes
        return open_checkpoint(path, spec.model.key, vouched=spec.model.allow_pickle)


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


def _module(built: Any, reference: str) -> nn.Module:
    if not isinstance(built, nn.Module):
        raise InputError(
            f"model.factory: {clean_text(reference, 80)!r} returned {kind_of(built)}, "
            "expected a torch.nn.Module"
        )
    model = bare(built)
    parameters_of(model)
    lazy = [name.rpartition(".")[0] for name, p in model.named_parameters() if is_lazy(p)]
    if lazy:
        raise InputError(
            f"model.factory: {clean_text(reference, 80)!r} returned a model with lazy layers that "
            f"have no weights yet ({listed([repr(name) for name in dict.fromkeys(lazy)])}); "
            "let the factory pass one batch through it first"
        )
    return model


def _reason(error: BaseException) -> str:
    """Return what torch says of the first tensor that it can't load, or where the model raised."""
    lines = str(error).splitlines()
    if isinstance(error, RuntimeError) and len(lines) > 1 and lines[0].startswith("Error(s) in"):
        return clean_text(lines[1].strip(), 400)
    return blame(error)


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    """Return a model's parameters.

    Raises:
        InputError: it is TorchScript, its own `parameters` gives something else, or they were
            made in inference mode.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            part = f"its layer {clean_text(name, 80)!r}" if name else "it"
            raise InputError(
                f"model: {part} is TorchScript, into which nothing can look; hand in the "
                "torch.nn.Module that it was made of"
            )
    held = list(model.parameters())
    for one in held:
        if not isinstance(one, torch.Tensor):
            raise InputError(
                f"model: its own `parameters()` gives {kind_of(one)}, expected tensors; "
                "give groups for an optimizer a method of another name"
            )
        if not is_lazy(one) and one.is_inference():
            raise InputError(
                "model: its parameters were made under `torch.inference_mode()`, where nothing "
                "can be loaded into them and no gradient be had; build it outside of that"
            )
    return held


def _loss(named: str | dict[str, str] | None, base: Path) -> Loss | None:
    if named is None:
        return None
    if isinstance(named, str):
        if ":" not in named:
            return named_loss(named)
        return callable_loss(resolve(named, base, "loss"), named)
    terms: dict[str, Callable[[Any, Any], Any]] = {}
    for name, reference in named.items():
        if ":" in reference:
            loss = callable_loss(resolve(reference, base, f"loss.{name}"), reference)
        else:
            loss = named_loss(reference, f"loss.{name}")
        terms[name] = loss
    return summed(terms)


def _adapter(named: str | BatchSpec | None, base: Path) -> Adapter | None:
    if isinstance(named, BatchSpec):
        return adapter_of(named)
    return resolve(named, base, "data.batch") if named else None


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


def _warnings(checkpoint: Checkpoint | None, spec: AuditSpec) -> tuple[str, ...]:
    said = list(checkpoint.notes) if checkpoint else []
    if checkpoint is None:
        said.append("No checkpoint is named: the model is audited as its factory hands it out.")
    elif checkpoint.facts.removed_prefix:
        prefix = checkpoint.facts.removed_prefix
        said.append(f"{clean_text(prefix, 80)!r} was taken off the checkpoint's names.")
    return tuple(said)
