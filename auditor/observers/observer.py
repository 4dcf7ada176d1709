"""What an observer is: torch code that rides a sweep and answers one request."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.intake.batches import Batch


@dataclass(frozen=True)
class Place:
    """Where in the model something runs: a module, or a function called in one's forward.

    `index` counts places in the order in which they first finished. `leaf` is True where no
    other module ran inside. `unit_axis` is the dimension of the output that counts its units: 1
    for convolutions, else the last. `rectifies` is True where the function maps a range of
    inputs to exactly zero.
    """

    index: int
    name: str
    kind: str
    module: nn.Module | None
    leaf: bool
    unit_axis: int
    rectifies: bool


@dataclass(frozen=True)
class Step:
    """One batch gone through the model.

    `gradients` maps the names of trainable parameters to the gradient of the batch loss, None
    where a parameter got none; empty where no observer asked for a backward pass.
    """

    index: int
    batch: Batch
    outputs: Any
    loss: torch.Tensor | None
    gradients: dict[str, torch.Tensor | None]


class Observer:
    """Watches a sweep and reduces at once; everything it overrides is called, in this order.

    Nothing that it is shown may be kept beyond the call or changed.
    """

    functions: bool = False
    """Whether `followed` is to be called."""

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """See the inputs of a module about to run, those given by name after the others."""

    def followed(self, function: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """See a call of any function of torch in the model's forward, its inputs and output.

        What functions call in turn is not seen.
        """

    def leaving(self, place: Place, output: Any) -> None:
        """See what a module or function put out."""

    def calling(self, place: Place, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See the inputs of a function about to run: an activation, or attention."""

    def called(self, place: Place, output: Any) -> None:
        """See what such a function put out; one that rectifies is shown to `leaving` as well."""

    def gradient(self, place: Place, gradient: torch.Tensor) -> None:
        """See the gradient of the batch loss by the first tensor that a place put out."""

    def step(self, step: Step) -> None:
        """See the batch as a whole, after its backward pass where there is one."""

    def result(self) -> Any:
        """Return the observation, or `Unavailable` where the model has nothing to observe."""
        raise NotImplementedError
