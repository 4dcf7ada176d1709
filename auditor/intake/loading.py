"""The subject that a spec names: each of its references followed, its checkpoint opened."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from auditor.core.addresses import is_address, without_credentials
from auditor.core.errors import InputError
from auditor.core.request import Split
from auditor.core.spec import AuditSpec, BatchSpec
from auditor.core.text import clean_text
from auditor.intake.assembly import Parts, assemble
from auditor.intake.batch_paths import adapter_of
from auditor.intake.batch_reading import Adapter
from auditor.intake.checkpoint import Checkpoint, open_checkpoint
from auditor.intake.frameworks.choose import (
    loader_maker,
    model_in,
    optimizer_of,
    source_of,
    told_of,
)
from auditor.intake.frameworks.source import Told
from auditor.intake.loaders import first_raw
from auditor.intake.losses import Loss, callable_loss, named_loss, summed
from auditor.intake.modules import module_of
from auditor.intake.reference import blame, call, first_on_path, resolve
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.sources import named_code
from auditor.intake.subject import Subject
from auditor.intake.weights import fit
from auditor.observations.earlier import Earlier, Which
from auditor.opening.hub_config import implied_factory
from auditor.opening.located import located, told_by_name


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
            model = module_of(model_in(built), named)

        def factory() -> nn.Module:
            return module_of(model_in(source.function(**source.arguments)), named)

    if model is not None and checkpoint is not None:
        weights = (source.weights if source is not None else None) or checkpoint.weights
        checkpoint = _loaded(model, dict(weights), checkpoint, spec)
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


def _loaded(
    model: nn.Module, weights: dict[str, torch.Tensor], checkpoint: Checkpoint, spec: AuditSpec
) -> Checkpoint:
    """Load weights into the model; return their checkpoint with how they were made to fit."""
    fitted = fit(weights, model, clean_text(checkpoint.facts.path), spec.model.allow)
    try:
        model.load_state_dict(fitted.weights)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"{clean_text(checkpoint.facts.path)}: the model can't load the checkpoint: "
            f"{_reason(error)}"
        ) from error
    facts = replace(
        checkpoint.facts,
        path=without_credentials(str(spec.model.checkpoint)),
        removed_prefix=fitted.removed,
        left_out=fitted.left_out,
    )
    return replace(checkpoint, facts=facts)


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


def _warnings(checkpoint: Checkpoint | None, spec: AuditSpec) -> tuple[str, ...]:
    said = list(checkpoint.notes) if checkpoint else []
    if checkpoint is None:
        said.append("No checkpoint is named: the model is audited as its factory hands it out.")
    elif checkpoint.facts.removed_prefix:
        prefix = checkpoint.facts.removed_prefix
        said.append(f"{clean_text(prefix, 80)!r} was taken off the checkpoint's names.")
    return tuple(said)


def _reason(error: BaseException) -> str:
    """Return what torch says of the first tensor that it can't load, or where the model raised."""
    lines = str(error).splitlines()
    if isinstance(error, RuntimeError) and len(lines) > 1 and lines[0].startswith("Error(s) in"):
        return clean_text(lines[1].strip(), 400)
    return blame(error)
