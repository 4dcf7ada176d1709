"""Training mode with nothing left of it but what a model itself does otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from auditor.intake.modes import keep_statistics


@contextmanager
def training_without_dropout(model: nn.Module) -> Iterator[None]:
    """Put a private copy in training mode, batch norm on its running statistics, dropout off.

    Dropout called as a function is left to `NoDropout`.
    """
    was = [(module, module.training) for module in model.modules()]
    shares = [
        (module, module.dropout)
        for module in model.modules()
        if isinstance(module, nn.RNNBase | nn.MultiheadAttention)
    ]
    try:
        model.train()
        keep_statistics(model)
        for layer, _ in shares:
            layer.dropout = 0.0
        yield
    finally:
        for layer, share in shares:
            layer.dropout = share
        for module, training in was:
            module.training = training
