"""The optimizer that the model was trained with: declared, or read from the checkpoint."""

import copy
import difflib
import inspect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.errors import InputError
from auditor.core.spec import OptimizerSpec
from auditor.core.text import clean_text


@dataclass(frozen=True)
class LiveOptimizer:
    """An optimizer handed in as itself; `names` are the model's parameters in it, by identity."""

    optimizer: torch.optim.Optimizer
    names: Mapping[int, str]

    @staticmethod
    def of(optimizer: object, model: nn.Module) -> "LiveOptimizer | None":
        """Return what an optimizer holds of a model; None where it is not given as itself."""
        if not isinstance(optimizer, torch.optim.Optimizer):
            return None
        named = model.named_parameters() if isinstance(model, nn.Module) else ()
        return LiveOptimizer(optimizer, {id(p): name for name, p in named})

    def twin(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return a copy, state and all, that updates the parameters of a copy of the model.

        Its learning rates are those that a schedule began with.
        """
        theirs = dict(model.named_parameters())
        memo = {
            id(p): theirs[name]
            for group in self.optimizer.param_groups
            for p in group["params"]
            if (name := self.names.get(id(p))) in theirs
        }
        made = copy.deepcopy(self.optimizer, memo)
        # A scheduler puts a step of its own there, which is bound to the original.
        vars(made).pop("step", None)
        for group in made.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
        for parameter, state in made.state.items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor) and value.ndim:
                    state[key] = value.to(parameter.device)
        return made


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


def read_from(state: Mapping[str, Any]) -> OptimizerSpec | None:
    """Return the optimizer that a saved state tells of, None where it can't be told.

    PyTorch does not save the class; the settings that it does save give it away.
    """
    groups = state.get("param_groups")
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        return None
    lr = _one_rate(groups)
    if lr is None:
        return None
    group = groups[0]
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
    try:
        return validated(OptimizerSpec(name=name, lr=lr, **plain))
    except (InputError, ValueError, TypeError):
        return None


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


def _one_rate(groups: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the learning rate that training began with; None where groups differ, or it is 0."""
    rates = {rate_of(group) for group in groups}
    rate = rates.pop() if len(rates) == 1 else 0.0
    return rate if 0 < rate < math.inf else None


def rate_of(group: Mapping[str, Any]) -> float:
    """Return a group's learning rate as training began with it, NaN where it holds no number.

    A schedule leaves its last rate in "lr", often close to 0, and the first in "initial_lr".
    """
    try:
        return float(group.get("initial_lr", group.get("lr", 0.0)))
    except (TypeError, ValueError, RuntimeError):
        return math.nan
