"""The optimizer that the model was trained with: declared, or read from the checkpoint."""

import difflib
import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch

from auditor.core.errors import InputError
from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text


def validated(spec: OptimizerSpec) -> OptimizerSpec:
    """Return the spec of an optimizer that can be built.

    Raises:
        InputError: torch.optim has no such class, or the class refuses the arguments.
    """
    key = "training.optimizer"
    names = sorted(
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and kind is not torch.optim.Optimizer
    )
    if spec.name not in names:
        near = difflib.get_close_matches(spec.name, names, n=1, cutoff=0.4)
        near = [name for name in names if name.lower() == spec.name.lower()] or near
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
        raise InputError(f"{key}.name: torch.optim has no {clean_text(spec.name, 60)!r}; {hint}")
    try:
        build(spec, [torch.zeros(2, 2, requires_grad=True)])
    except Exception as error:
        raise InputError(
            f"{key}: {clean_text(spec, 120)} can't be built: {clean_text(error, 160)}"
        ) from error
    return spec


def build(spec: OptimizerSpec, parameters: Iterable[torch.Tensor]) -> torch.optim.Optimizer:
    """Return a new optimizer over `parameters`."""
    arguments = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in spec.arguments().items()
    }
    made = getattr(torch.optim, spec.name)(list(parameters), **arguments)
    assert isinstance(made, torch.optim.Optimizer)
    return made


def read_from(state: dict[str, Any]) -> OptimizerSpec | None:
    """Return the optimizer that a saved state tells of, None where it can't be told.

    PyTorch does not save the class; the settings that it does save give it away.
    """
    lr = _one_rate(state["param_groups"])
    if lr is None:
        return None
    group = state["param_groups"][0]
    keep: tuple[str, ...]
    if "nesterov" in group and "dampening" in group:
        name, keep = "SGD", ("momentum", "dampening", "weight_decay", "nesterov")
    elif "betas" in group and "amsgrad" in group and "decoupled_weight_decay" in group:
        name = "AdamW" if group["decoupled_weight_decay"] else "Adam"
        keep = ("betas", "eps", "weight_decay", "amsgrad")
    elif "alpha" in group and "centered" in group:
        name, keep = "RMSprop", ("alpha", "eps", "weight_decay", "momentum", "centered")
    else:
        return None
    settings = {key: group[key] for key in keep if key in group}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    return OptimizerSpec(name=name, lr=lr, **plain)


def declared_by(optimizer: torch.optim.Optimizer) -> OptimizerSpec | None:
    """Return a live optimizer's settings, None where its class is not one of torch.optim's."""
    kind = type(optimizer)
    if getattr(torch.optim, kind.__name__, None) is not kind:
        return None
    lr = _one_rate(optimizer.param_groups)
    if lr is None:
        return None
    group = optimizer.param_groups[0]
    settings = {
        name: list(group[name]) if isinstance(group[name], tuple) else group[name]
        for name, parameter in inspect.signature(kind).parameters.items()
        if isinstance(group.get(name), bool | int | float | str | tuple)
        and name != "lr"
        and group[name] != parameter.default
    }
    return OptimizerSpec(name=kind.__name__, lr=lr, **settings)


def _one_rate(groups: list[dict[str, Any]]) -> float | None:
    """Return the learning rate that training began with; None where groups differ, or it is 0.

    A schedule leaves its last rate in "lr", often close to 0, and the first in "initial_lr".
    """
    rates = {float(group.get("initial_lr", group.get("lr", 0.0))) for group in groups}
    rate = rates.pop() if len(rates) == 1 else 0.0
    return rate if 0 < rate < math.inf else None
