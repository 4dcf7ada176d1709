"""A LightningModule as the source of the model: built as its checkpoint says."""

import copy
import inspect
import warnings
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text, listed
from auditor.intake.frameworks.lightning_arguments import Arguments
from auditor.intake.frameworks.source import Source
from auditor.intake.optimizer import declared_by

PACKAGES = ("lightning", "pytorch_lightning")


def is_lightning(kind: Any, name: str) -> bool:
    """Tell whether a class is a subclass of one of Lightning's, `LightningModule` for instance."""
    return isinstance(kind, type) and any(
        base.__name__ == name and base.__module__.partition(".")[0] in PACKAGES
        for base in kind.__mro__
    )


def module_arguments(kind: type, kept: Arguments, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a LightningModule's class: those of its checkpoint, and the spec's.

    Raises:
        InputError: the class wants one that neither has.
    """
    arguments = {**kept.of(kind), **given}
    missing = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in arguments
    ]
    if not missing:
        return arguments
    strange = [f"{name} (a {kept.strange[name]})" for name in missing if name in kept.strange]
    why = f"; it holds objects, which are not made: {listed(strange)}" if strange else ""
    shown = clean_text(kind.__name__, 60)
    raise InputError(
        f"model.args: {shown} wants {listed(missing)}, which the checkpoint's hyperparameters do "
        f"not tell{why}.\n"
        f"Plain values go into the spec: `model: {{args: {{{clean_text(missing[0], 40)}: ...}}}}`. "
        "Else write a function beside it\n"
        f"  def build(): return {shown}({', '.join(f'{clean_text(n, 40)}=...' for n in missing)})\n"
        "and name it: `model: {factory: module:build}`"
    )


def lightning_source(kind: type, kept: Arguments, given: dict[str, Any]) -> Source:
    """Return the source of a LightningModule, given its class.

    Raises:
        InputError: an argument of it is missing.
    """
    return Source(kind, kind, module_arguments(kind, kept, given))


def part_of(module: nn.Module) -> str:
    """Return the name of the child that is the model, empty where the module is the model itself.

    A LightningModule without a `forward` of its own is one around a single module.

    Raises:
        InputError: it has no `forward`, and several modules or none.
    """
    kind = type(module)
    if any("forward" in vars(base) for base in kind.__mro__ if not _of_lightning(base)):
        return ""
    every = set(module.state_dict())
    for name, child in module.named_children():
        if every == {f"{name}.{inner}" for inner in child.state_dict()}:
            return name
    names = [name for name, _ in module.named_children()]
    shown = clean_text(kind.__name__, 60)
    raise InputError(
        f"model.factory: {shown} has no `forward`, and no part of it alone holds all weights "
        f"({listed(names) or 'it has none'}); give it one that returns the outputs:\n"
        f"  class {shown}: def forward(self, x): return ..."
    )


def configured_optimizer(module: Any) -> OptimizerSpec | None:
    """Return the optimizer that a LightningModule sets up; None where that takes a trainer."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = copy.deepcopy(module).configure_optimizers()
    except (Exception, SystemExit):  # noqa: BLE001 - what it wants is not there, so nothing is told
        return None
    if isinstance(made, dict):
        made = made.get("optimizer")
    while isinstance(made, list | tuple) and made and not isinstance(made, torch.optim.Optimizer):
        several = isinstance(made[0], list | tuple) and len(made[0]) > 1
        if several or (len(made) > 1 and isinstance(made[1], torch.optim.Optimizer)):
            return None
        made = made[0]
    return declared_by(made) if isinstance(made, torch.optim.Optimizer) else None


def _of_lightning(base: type) -> bool:
    return base.__module__.partition(".")[0] in (*PACKAGES, "torch", "builtins")
