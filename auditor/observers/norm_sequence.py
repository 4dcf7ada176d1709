"""Sees in which order dropout and batch norm run: follows each tensor from one to the other."""

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.intake.dropouts import HOMES, dropped, dropped_inside
from auditor.intake.running_statistics import keeps_statistics
from auditor.intake.subject import Subject
from auditor.observations.norm_layers import (
    DropoutBefore,
    NormSequence,
    NormSequenceOver,
    RanNorm,
)
from auditor.observers.observer import Observer, Place, Step

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
_NORMS = frozenset(
    {
        functional.batch_norm,
        functional.instance_norm,
        functional.layer_norm,
        functional.group_norm,
        functional.normalize,
        functional.softmax,
        torch.softmax,
    }
)
"""Behind these the scale of what came before makes no difference any more."""

Sources = frozenset[str]


class NormSequenceObserver(Observer):
    """Keeps, for each tensor alive, which dropouts it comes from with no norm in between."""

    functions = True

    def __init__(self, request: NormSequenceOver, subject: Subject) -> None:
        self._sources: Any = WeakTensorKeyDictionary()
        self._biased: Any = WeakTensorKeyDictionary()
        self._frames: list[tuple[str, nn.Module]] = []
        self._calls: dict[str, int] = {}
        self._shares: dict[str, float] = {}
        self._pairs: dict[tuple[str, str], None] = {}
        self._norms: dict[str, RanNorm] = {}
        self._done: NormSequence | None = None

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note which dropouts reach a norm, and what gave it its input."""
        if self._done is not None:
            return
        self._frames.append((name, module))
        given = next(tensors_in(args), None)
        if given is None or given.ndim < 2 or not keeps_statistics(module):
            return
        self._pairs |= dict.fromkeys((source, name) for source in sorted(self._of([given])))
        before = self._norms.get(name)
        values = given.numel() // max(given.shape[1], 1)
        biased = self._biased.get(given, "")
        if before is None:
            self._norms[name] = RanNorm(name, 1, values, biased)
        else:
            self._norms[name] = RanNorm(
                name, before.calls + 1, min(before.values, values), before.biased and biased
            )

    def followed(self, function: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Follow dropouts from what a function is given to what it makes."""
        if self._done is not None or not self._frames:
            return
        given = list(tensors_in(inputs))
        inplace = getattr(function, "__name__", "") == "__setitem__"
        made = given[:1] if inplace else list(tensors_in(output))
        sources = frozenset() if function in _NORMS else self._of(given)
        share = dropped(function, inputs)
        if share is not None:
            sources |= {self._dropped(self._called(function), share)}
        self._put(made, sources)

    def leaving(self, place: Place, output: Any) -> None:
        """Follow dropouts through a module."""
        module = place.module
        if self._done is not None or module is None:
            return
        while self._frames and self._frames[-1][1] is not module:
            self._frames.pop()
        if not self._frames:
            return
        name, _ = self._frames.pop()
        made = list(tensors_in(output))
        share = dropped_inside(module)
        if isinstance(module, NORMS) or keeps_statistics(module):
            self._put(made, frozenset())
        elif share is not None:
            self._put(made, self._of(made) | {self._dropped(name, share)})
        kinds = (nn.Linear, nn.modules.conv._ConvNd)
        if isinstance(module, kinds) and module.bias is not None:
            for tensor in made:
                self._biased[tensor] = name

    def step(self, step: Step) -> None:
        """Keep what the first batch showed."""
        if self._done is None:
            pairs = [DropoutBefore(d, n, self._shares[d]) for d, n in self._pairs]
            self._done = NormSequence(
                tuple(self._norms.values()), tuple(self._shares), tuple(pairs), step.batch.size
            )
            self._sources.clear()
            self._biased.clear()

    def result(self) -> NormSequence:
        """Return what the first batch showed."""
        if self._done is None:
            raise RuntimeError("no batch was seen")
        return self._done

    def _of(self, tensors: list[torch.Tensor]) -> Sources:
        known = [self._sources[tensor] for tensor in tensors if tensor in self._sources]
        return frozenset().union(*known)

    def _put(self, tensors: list[torch.Tensor], sources: Sources) -> None:
        for tensor in tensors:
            if sources or tensor in self._sources:
                self._sources[tensor] = sources

    def _dropped(self, name: str, share: float) -> str:
        before = self._shares.get(name, math.nan)
        self._shares[name] = share if math.isnan(before) else max(share, before)
        return name

    def _called(self, function: Any) -> str:
        """Return the name of a dropout: the module's that is one, else of the call in its owner."""
        name, module = self._frames[-1]
        if isinstance(module, HOMES):
            return name
        shown = f"{getattr(function, '__name__', 'dropout').strip('_')}()"
        full = shown if name == MODEL else f"{name}.{shown}"
        number = self._calls[full] = self._calls.get(full, 0) + 1
        return full if number == 1 else f"{full}, call {number}"
