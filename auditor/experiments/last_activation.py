"""A model without the activation that ends it."""

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from auditor.intake.batches import changed, tensors_in
from auditor.intake.losses import main_output

ACTIVATIONS = frozenset(
    (
        "softmax",
        "log_softmax",
        "sigmoid",
        "logsigmoid",
        "hardsigmoid",
        "tanh",
        "hardtanh",
        "softsign",
        "relu",
        "relu6",
        "threshold",
        "clamp",
        "clamp_min",
        "elu",
        "celu",
        "selu",
        "softplus",
        "exp",
    )
)
"""Functions of torch, or methods of a tensor, that bound what they put out."""

REMEMBERED = 4
"""Calls that are kept: the last activation is the last call, but for those of other outputs."""


class Activations(TorchFunctionMode):
    """Remembers the last calls of activations while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = str(getattr(func, "__name__", ""))
        if name.rstrip("_") not in ACTIVATIONS:
            return func(*args, **kwargs)
        given = args[0] if args else kwargs.get("input")
        if isinstance(given, torch.Tensor) and (name.endswith("_") or kwargs.get("inplace")):
            given = given.clone()
        put = func(*args, **kwargs)
        if isinstance(given, torch.Tensor) and isinstance(put, torch.Tensor):
            self._calls = [*self._calls[1 - REMEMBERED :], (given, put)]
        return put

    def before(self, output: torch.Tensor) -> torch.Tensor | None:
        """Return what went into the activation that put this out, None where none did."""
        for given, put in reversed(self._calls):
            same = put is output or (
                put.numel() == output.numel()
                and put.data_ptr() == output.data_ptr()
                and put.is_contiguous()
                and output.is_contiguous()
            )
            if same and given.shape == put.shape:
                return given.reshape(output.shape)
        return None


class Bare(nn.Module):
    """A model and, in `logits`, its last outputs without the activation that ends it.

    `logits` are outputs like the model's own, None where no activation ends it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.logits: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs as they are."""
        with Activations() as seen:
            outputs = self.model(*args, **kwargs)
        main = main_output(outputs)
        before = seen.before(main) if isinstance(main, torch.Tensor) else None
        self.logits = None if before is None else instead(outputs, before)
        return outputs


def last_module(model: nn.Module, *args: Any, **kwargs: Any) -> str:
    """Return the name of the innermost module that puts out what the model does.

    Empty where that is made by the model's own `forward`.
    """
    calls: list[tuple[str, Any]] = []
    hooks = [
        module.register_forward_hook(
            lambda _, __, output, name=name: calls.append((name, main_output(output)))
        )
        for name, module in model.named_modules()
        if name
    ]
    try:
        output = main_output(model(*args, **kwargs))
    finally:
        for hook in hooks:
            hook.remove()
    last = ""
    for name, put in reversed(calls):
        if put is output and name.startswith(f"{last}." if last else ""):
            last = name
    return last


def instead(outputs: Any, other: torch.Tensor) -> Any:
    """Return the outputs with another tensor in the place of the main one, or it alone."""
    main = main_output(outputs)
    put = changed(outputs, lambda tensor: other if tensor is main else tensor)
    return put if any(tensor is other for tensor in tensors_in(put)) else other
