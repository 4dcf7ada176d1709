"""Watching over a stretch of work that process, torch and the lent model stay as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from auditor.core.process_state import PROCESS, State
from auditor.intake.torch_state import TORCH

MODES = "the modes of modules"
GRADIENTS = "gradients"
PARAMETERS = "the model's parameters"


@contextmanager
def watched(model: nn.Module | None, left: list[str]) -> Iterator[None]:
    """Tell in `left`, after a block, what it left changed, and put back what is not the model's.

    What is the model's is put back by whoever lent it out: its values are checked there, its
    buffers and attributes may change. What an import changed stays, since the subject may live by
    it; at the end of an audit everything goes back.
    """
    state, modules = State((*PROCESS, *TORCH)), [] if model is None else list(model.modules())
    before = _standing(modules)
    try:
        yield
    finally:
        changed = state.changed()
        state.put_back(changed)
        after = _standing(modules)
        left += [*changed, *(name for name, value in after.items() if value != before[name])]


def _standing(modules: list[nn.Module]) -> dict[str, Any]:
    """Return, by name, what no work changes of a model it was lent."""
    parameters = [p for m in modules for p in m._parameters.values() if p is not None]
    return {
        MODES: [module.training for module in modules],
        "the hooks of modules": [
            [id(hook) for hook in held.values()]
            for module in modules
            for name, held in vars(module).items()
            if name.endswith(("_hooks", "_hooks_with_kwargs")) and isinstance(held, dict) and held
        ],
        "the hooks of parameters": [
            [*(p._backward_hooks or ()), *(p._post_accumulate_grad_hooks or ())] for p in parameters
        ],
        PARAMETERS: [id(parameter) for parameter in parameters],
        "what requires gradients": [parameter.requires_grad for parameter in parameters],
        GRADIENTS: [id(p.grad) for p in parameters if p.grad is not None],
    }
