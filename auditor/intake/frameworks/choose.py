"""Which of the sources builds the model of a spec."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from auditor.core.request import Split
from auditor.core.spec import AuditSpec, OptimizerSpec
from auditor.intake.batch_reading import Adapter
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.frameworks.hugging_face import hugging_face_source
from auditor.intake.frameworks.lightning_arguments import DATA, MODULE, Arguments
from auditor.intake.frameworks.lightning_data import loader_in
from auditor.intake.frameworks.lightning_loss import told_of_module
from auditor.intake.frameworks.lightning_model import (
    configured_optimizer,
    is_lightning,
    lightning_source,
    part_of,
)
from auditor.intake.frameworks.source import FirstBatch, NamedLoss, Source, Told
from auditor.intake.frameworks.zoos import zoo_source
from auditor.intake.reference import call, resolve
from auditor.opening.hub_config import FACTORY, implied_factory

ZOOS = ("timm", "torchvision")
HUB = "transformers"


def source_of(spec: AuditSpec, checkpoint: Checkpoint | None) -> Source | None:
    """Return what builds the model of a spec; None where nothing is named that could.

    Raises:
        InputError: what is named is not there, or can't build the model.
    """
    factory = implied_factory(spec)
    if factory is None:
        return None
    arguments = spec.model.args
    library, _, name = factory.partition(":")
    if factory == FACTORY or (library == HUB and not _own(spec.base, HUB)):
        weights = checkpoint.weights if checkpoint is not None else None
        path = checkpoint.path if checkpoint is not None else None
        return hugging_face_source(weights, path, name or None, arguments)
    if library in ZOOS and not _own(spec.base, library):
        return zoo_source(library, name, arguments)
    code: Any = resolve(factory, spec.base, "model.factory")
    if is_lightning(code, "LightningModule"):
        return lightning_source(code, _kept(checkpoint, MODULE), arguments)
    return Source(code, code, arguments)


def model_in(built: Any) -> Any:
    """Return the model in what a source built: of a LightningModule without `forward`, its part."""
    if not is_lightning(type(built), "LightningModule"):
        return built
    part = part_of(built)
    return getattr(built, part) if part else built


def told_of(
    source: Source, built: Any, first: FirstBatch, adapter: Adapter | None, named: NamedLoss
) -> Told:
    """Return what the model's framework tells of batches and loss, the weights being in `built`.

    Raises:
        InputError: no loss is named, and the one that the model is trained with can't be told.
    """
    if source.tells is not None:
        return source.tells(built, first, adapter, named)
    if named is None and is_lightning(type(built), "LightningModule"):
        return told_of_module(built, part_of(built), first, adapter)
    return Told()


def optimizer_of(built: Any) -> OptimizerSpec | None:
    """Return the optimizer that the model's own code sets up, None where it tells of none."""
    if is_lightning(type(built), "LightningModule"):
        return configured_optimizer(built)
    return None


def loader_maker(
    reference: str,
    spec: AuditSpec,
    split: Split,
    checkpoint: Checkpoint | None,
    source: Source | None,
) -> Callable[[], Any]:
    """Return what makes the loader of a split.

    Raises:
        InputError: there is nothing of that name.
    """
    function: Any = resolve(reference, spec.base, f"data.{split}")
    given = dict(spec.data.args)
    if is_lightning(function, "LightningDataModule"):
        given = {**_kept(checkpoint, DATA).of(function), **given}
    offered = source.offered if source is not None else {}
    asked = [name for name in offered if name not in given and _takes(function, name)]

    def made() -> Any:
        arguments = {**given, **{name: offered[name]() for name in asked}}
        return loader_in(call(function, arguments, f"data.{split}"), split)

    return made


def _own(base: Path, library: str) -> bool:
    """Tell whether a module beside the spec is called like a library, so that it is meant."""
    return (base / f"{library}.py").is_file()


def _kept(checkpoint: Checkpoint | None, key: str) -> Arguments:
    kept: Mapping[str, Arguments] = checkpoint.arguments if checkpoint is not None else {}
    return kept.get(key, Arguments())


def _takes(function: Any, name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
