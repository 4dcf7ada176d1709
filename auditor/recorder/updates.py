"""Sees one step of an optimizer: the size of the gradient, and how far each weight moves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from auditor.recorder.activations import evenly

LARGEST = 1 << 18
"""Values of a parameter above which some of them, evenly spread, stand for all."""

MOST = 128
"""Parameters of which a row tells."""


class UpdateWatch:
    """Watches the next step that the optimizer makes; `done` once it has, and then to be closed.

    The gradient is what the optimizer is given: unscaled and clipped. Where it gets it by itself,
    by a closure, the gradient is that of the closure's last call.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        names: Mapping[int, str],
        failed: Callable[[Exception], None],
    ) -> None:
        self.done = False
        self.grad_norm: Any = None
        self.update_ratio: dict[str, Any] = {}
        self._failed = failed
        held = [p for group in optimizer.param_groups for p in group["params"]]
        self._parameters = [p for p in held if not sharded(p)]
        weights = [(names[id(p)], p) for p in self._parameters if id(p) in names and _weight(p)]
        self._weights = evenly(weights, MOST)
        self._before: list[torch.Tensor] = []
        self._hooks = (
            optimizer.register_step_pre_hook(self._enter),
            optimizer.register_step_post_hook(self._leave),
        )
        self._whole = len(self._parameters) == len(held)

    def close(self) -> None:
        """Take the hooks away, and let the copies of weights go."""
        for hook in self._hooks:
            hook.remove()
        self._before = []

    def _enter(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self.done or _captured():
            return
        try:
            with torch.no_grad():
                self._before = [part(p).clone() for _, p in self._weights]
                if not _closure(args, kwargs):
                    self._measure(optimizer)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self._fail(error)

    def _leave(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self.done or _captured():
            return
        try:
            with torch.no_grad():
                if _closure(args, kwargs):
                    self._measure(optimizer)
                self.update_ratio = self._moves()
            self.done = True
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.done = True
        self._failed(error)

    def _moves(self) -> dict[str, Any]:
        if not self._before:
            return {}
        moved = torch._foreach_sub([part(p) for _, p in self._weights], self._before)
        pairs = zip(self._weights, norms(moved), norms(self._before), strict=True)
        return {name: size / whole for (name, _), size, whole in pairs}

    def _measure(self, optimizer: Any) -> None:
        if self._whole:
            total = total_norm(p.grad for p in self._parameters if p.grad is not None)
            # A fused optimizer unscales by itself.
            scale = getattr(optimizer, "grad_scale", None)
            self.grad_norm = total if scale is None or total is None else total / scale


def total_norm(gradients: Iterable[torch.Tensor]) -> torch.Tensor | None:
    """Return the 2-norm over all gradients, None where there are none."""
    held = [real(g.coalesce().values() if g.is_sparse else g.detach()) for g in gradients]
    if not held:
        return None
    sizes = norms(held)
    total: torch.Tensor = torch.linalg.vector_norm(
        torch.stack([size.to(sizes[0].device) for size in sizes])
    )
    return total


def norms(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Return the 2-norm of each of some real tensors, summed in float32 at least.

    Unlike those of an audit they are not waited for, so that a device goes on with training.
    """
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    kind = torch.float64 if double else torch.float32
    return list(torch._foreach_norm(list(tensors), dtype=kind))


def real(tensor: torch.Tensor) -> torch.Tensor:
    """Return the numbers of which a tensor is made."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def part(parameter: torch.Tensor) -> torch.Tensor:
    """Return the values that stand for a parameter: all, or every n-th of a large one.

    n is odd, lest only some columns of a table be looked at, whose width is often a power of two.
    """
    flat = real(parameter.detach()).reshape(-1)
    apart = -(-flat.numel() // LARGEST)
    return flat if apart <= 1 else flat[:: apart | 1]


def sharded(parameter: torch.Tensor) -> bool:
    """Tell whether this process holds but a part of a parameter; to add up, all would be needed."""
    return hasattr(parameter, "device_mesh") or hasattr(parameter, "_is_flat_param")


def in_parts(model: nn.Module) -> bool:
    """Tell whether a model is one whose parameters are spread over processes as views."""
    return any(type(m).__name__ == "FullyShardedDataParallel" for m in model.modules())


def _weight(parameter: torch.Tensor) -> bool:
    real = parameter.is_floating_point() or parameter.is_complex()
    return parameter.ndim >= 2 and real and parameter.layout is torch.strided


def _closure(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    return callable(kwargs.get("closure")) or any(callable(one) for one in args[1:])


def _captured() -> bool:
    """Tell whether what runs now is but noted for a CUDA graph."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
