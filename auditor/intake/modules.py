"""What a factory, or a caller, hands in as a model: a module whose parameters can be had."""

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from auditor.core.errors import InputError
from auditor.core.text import clean_text, kind_of, listed
from auditor.intake.wrapped import bare


def module_of(built: Any, reference: str) -> nn.Module:
    """Return the model that a factory handed out, without what wraps it; `reference` names it.

    Raises:
        InputError: it is no model, or none whose parameters can be had.
    """
    if not isinstance(built, nn.Module):
        raise InputError(
            f"model.factory: {clean_text(reference, 80)!r} returned {kind_of(built)}, "
            "expected a torch.nn.Module"
        )
    model = bare(built)
    parameters_of(model)
    lazy = [name.rpartition(".")[0] for name, p in model.named_parameters() if is_lazy(p)]
    if lazy:
        raise InputError(
            f"model.factory: {clean_text(reference, 80)!r} returned a model with lazy layers that "
            f"have no weights yet ({listed([repr(name) for name in dict.fromkeys(lazy)])}); "
            "let the factory pass one batch through it first"
        )
    return model


def parameters_of(model: nn.Module) -> list[nn.Parameter]:
    """Return a model's parameters.

    Raises:
        InputError: it is TorchScript, its own `parameters` gives something else, or they were
            made in inference mode.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            part = f"its layer {clean_text(name, 80)!r}" if name else "it"
            raise InputError(
                f"model: {part} is TorchScript, into which nothing can look; hand in the "
                "torch.nn.Module that it was made of"
            )
    held = list(model.parameters())
    for one in held:
        if not isinstance(one, torch.Tensor):
            raise InputError(
                f"model: its own `parameters()` gives {kind_of(one)}, expected tensors; "
                "give groups for an optimizer a method of another name"
            )
        if not is_lazy(one) and one.is_inference():
            raise InputError(
                "model: its parameters were made under `torch.inference_mode()`, where nothing "
                "can be loaded into them and no gradient be had; build it outside of that"
            )
    return held
