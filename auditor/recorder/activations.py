"""Sees the size of each layer's output, and which units of rectifiers stayed at zero, in one pass.

The hook is torch's hook on all modules, so that nothing is put on the model itself: it can be
saved, copied and compiled at any time. It is there from the end of one step to the model's next
output.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.intake.wrapped import bare

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold, nn.Hardswish)
"""Modules that map a range of inputs to exactly zero."""

CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase)

MOST = 128
"""Layers of which a row tells."""


class ActivationWatch:
    """Watches one pass in training mode; `dead_share` and `activation_rms` fill as it goes."""

    def __init__(self, model: nn.Module, failed: Callable[[Exception], None]) -> None:
        self.dead_share: dict[str, Any] = {}
        self.activation_rms: dict[str, Any] = {}
        self._model = bare(model)
        self._failed = failed
        leaves = [
            (name or MODEL, module)
            for name, module in self._model.named_modules()
            if next(module.children(), None) is None
        ]
        self._names = {module: name for name, module in evenly(leaves, MOST)}
        self._calls: dict[nn.Module, int] = {}
        self._axis = -1
        self._hook = None if compiled(model) else register_module_forward_hook(self._leave)

    def close(self) -> None:
        """Take the hook away."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if torch.compiler.is_compiling():
            return
        name = self._names.get(module)
        last = module is self._model
        if not (name or last) or not self._model.training or not torch.is_grad_enabled():
            return
        try:
            if last:
                self.close()
            if name:
                with torch.no_grad():
                    self._see(self._call(name, module), module, output)
        except Exception as error:  # noqa: BLE001 - training goes on without a recording
            self.close()
            self._failed(error)

    def _call(self, name: str, module: nn.Module) -> str:
        number = self._calls[module] = self._calls.get(module, 0) + 1
        return name if number == 1 else f"{name}, call {number}"

    def _see(self, name: str, module: nn.Module, output: Any) -> None:
        if isinstance(module, CHANNELS_FIRST):
            self._axis = 1
        elif isinstance(module, CHANNELS_LAST):
            self._axis = -1
        tensor = next(tensors_in(output), None)
        if type(tensor) is not torch.Tensor or not tensor.is_floating_point():
            return
        if not tensor.numel() or len(self.activation_rms) >= MOST:
            return
        norm = torch.linalg.vector_norm(tensor, dtype=torch.float32)
        self.activation_rms[name] = norm / tensor.numel() ** 0.5
        if isinstance(module, RECTIFIERS) and tensor.ndim > 1:
            others = [d for d in range(tensor.ndim) if d != self._axis % tensor.ndim]
            fired = torch.count_nonzero(tensor, dim=others) > 0
            self.dead_share[name] = 1 - fired.float().mean()


def compiled(model: nn.Module) -> bool:
    """Tell whether a model or a part of it is compiled; compiled code does not call hooks."""
    return any(
        m._compiled_call_impl is not None or type(m).__name__ == "OptimizedModule"
        for m in model.modules()
    )


def evenly(items: list[Any], most: int) -> list[Any]:
    """Return at most so many items, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[place * (len(items) - 1) // (most - 1)] for place in range(most)]
