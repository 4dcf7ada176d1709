"""Sees which parameters get a gradient, and which modules run."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from auditor.core.request import Unavailable
from auditor.intake.subject import Subject
from auditor.observations.reach import ParameterReach, ParameterReachOver
from auditor.observers.observer import Observer, Step
from auditor.observers.unheld import unheld

_NEVER_CALLED = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules that only hold others."""


class ParameterReachObserver(Observer):
    """Counts, by parameter, batches without a gradient and those with zeros alone."""

    def __init__(self, request: ParameterReachOver, subject: Subject) -> None:
        assert subject.model is not None
        self._split = request.split
        self._model = subject.model
        self._named = dict(subject.model.named_parameters())
        self._ran: set[nn.Module] = set()
        self._rows: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._reached = 0
        self._unheld: dict[str, int] | None = None

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note that a module runs."""
        self._ran.add(module)

    def step(self, step: Step) -> None:
        """Tell what each parameter got: 0 nothing, 1 zeros, 2 what is not finite, 3 a gradient."""
        gradients = [step.gradients.get(name) for name in self._named]
        given = [place for place, gradient in enumerate(gradients) if gradient is not None]
        row = torch.zeros(len(gradients))
        if given:
            peaks = _peaks([g for g in gradients if g is not None]).to("cpu", torch.float32)
            kinds = torch.where(peaks == 0, 1.0, torch.where(peaks.isfinite(), 3.0, 2.0))
            row[given] = kinds
        self._rows.append(row)
        self._reached += bool(given)
        if step.loss is not None:
            self._losses.append(step.loss.detach())
            if self._unheld is None:
                self._unheld = unheld(self._model, step.loss)

    def result(self) -> ParameterReach | Unavailable:
        """Return the counts over all batches."""
        if not self._named:
            return Unavailable("the model has no parameters")
        if not self._rows:
            return Unavailable("no batch could be gone through in training mode")
        rows = torch.stack(self._rows).numpy()
        idle = self._idle()
        flat = torch.stack(self._losses).cpu() == 0 if self._losses else torch.zeros(0)
        direct = {id(p) for m in self._ran for p in m.parameters(recurse=False)}
        # A module that holds another's weights as its own attribute's, such as a parametrised one.
        direct |= {id(p) for m in self._ran for p in _parametrised(m)}
        return ParameterReach(
            parameters=tuple(self._named),
            aliases=self._aliases(),
            sizes=tuple(p.numel() for p in self._named.values()),
            dimensions=tuple(p.ndim for p in self._named.values()),
            trainable=tuple(p.requires_grad for p in self._named.values()),
            ran=tuple(id(p) in direct for p in self._named.values()),
            counts=np.stack([(rows == kind).sum(axis=0) for kind in (0, 1, 2)], axis=1),
            batches=len(rows),
            idle=tuple(name for name, _ in idle),
            kinds=tuple(type(module).__name__ for _, module in idle),
            siblings=tuple(self._sibling_ran(name, module) for name, module in idle),
            losses=self._reached,
            flat=int(flat.sum()),
            split=self._split,
            unheld=tuple((self._unheld or {}).items()),
        )

    def _aliases(self) -> tuple[tuple[str, ...], ...]:
        every: dict[int, list[str]] = {}
        for name, parameter in self._model.named_parameters(remove_duplicate=False):
            every.setdefault(id(parameter), []).append(name)
        return tuple(
            tuple(other for other in every[id(p)] if other != name)
            for name, p in self._named.items()
        )

    def _idle(self) -> list[tuple[str, nn.Module]]:
        """Return the outermost modules in which nothing ran."""
        found: list[tuple[str, nn.Module]] = []
        for name, module in self._model.named_modules():
            inside = found and name.startswith(f"{found[-1][0]}.")
            weights = isinstance(module, ParametrizationList) or ".parametrizations" in name
            if not name or inside or weights or not any(True for _ in module.modules()):
                continue
            if isinstance(module, _NEVER_CALLED) and not len(module):
                continue
            if not any(inner in self._ran for inner in module.modules()):
                found.append((name, module))
        return found

    def _sibling_ran(self, name: str, module: nn.Module) -> bool:
        parent = self._model.get_submodule(name.rpartition(".")[0])
        if not isinstance(parent, nn.ModuleList | nn.ModuleDict):
            return False
        return any(
            type(other) is type(module) and any(inner in self._ran for inner in other.modules())
            for other in parent.children()
        )


def _parametrised(module: nn.Module) -> list[nn.Parameter]:
    inner = module._modules.get("parametrizations")
    return list(inner.parameters()) if inner is not None else []


def _peaks(gradients: list[torch.Tensor]) -> torch.Tensor:
    """Return the largest absolute value of each gradient, NaN where one is NaN."""
    plain = []
    for gradient in gradients:
        if gradient.layout is torch.sparse_coo:
            gradient = gradient.coalesce().values()
        real = torch.view_as_real(gradient) if gradient.is_complex() else gradient
        plain.append(real if real.numel() else real.new_zeros(1))
    kinds = {values.dtype for values in plain}
    if len(kinds) == 1 and plain[0].is_floating_point():
        return torch.stack(torch._foreach_norm(plain, ord=float("inf"))).double()
    return torch.stack([values.abs().max().double() for values in plain])
