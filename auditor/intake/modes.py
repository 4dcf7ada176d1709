"""Modes of a model between training and evaluation."""

from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def evaluating(model: Module) -> Module:
    """Return the model itself, in evaluation mode: a `train` of the user's own may return None."""
    model.eval()
    return model


def keep_statistics(model: nn.Module) -> None:
    """Have batch norm use its running statistics: a single example has none of its own."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.eval()


def dropout_off(model: nn.Module, batch_size: int) -> None:
    """Put a model in evaluation mode, but batch norm on the statistics of its batch."""
    model.eval()
    if batch_size > 1:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.train()
