"""What a model's framework tells beside the model: its loss, how to read batches, its optimizer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from auditor.intake.batch_reading import Adapter
from auditor.intake.losses import Loss

FirstBatch = Callable[[], Any]
"""Returns what a loader yields first, as it yields it."""

NamedLoss = str | dict[str, str] | None
"""The loss as the spec names it."""


@dataclass(frozen=True)
class Told:
    """What a framework tells of a model that it built: how batches are read, and the loss."""

    adapter: Adapter | None = None
    loss: Loss | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """How the model of a spec is built.

    `function`, given `arguments`, returns a new one each time; `code` is the class or function in
    which that stands. A loader may ask for what is `offered` by the names of its parameters.
    `weights` are the checkpoint's under the model's names, where the framework renamed them since.
    Given the model, with its weights in it, `tells` looks at a batch and returns what the spec
    leaves out.
    """

    function: Callable[..., Any]
    code: Any
    arguments: Mapping[str, Any] = field(default_factory=dict)
    offered: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    weights: Mapping[str, torch.Tensor] | None = None
    tells: Callable[[nn.Module, FirstBatch, Adapter | None, NamedLoss], Told] | None = None
    notes: tuple[str, ...] = ()
