"""Losses of probabilities, as other libraries and tutorials write them."""

import torch
from torch.nn.functional import nll_loss, one_hot

EPSILON = 1e-7


def of_probabilities(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return what Keras's cross-entropy of class indices makes of outputs (N, C), a scalar.

    With `from_logits=False`: clipped, divided by their sum and then logged, whatever they are.
    """
    clipped = outputs.clamp(EPSILON, 1 - EPSILON)
    return nll_loss((clipped / clipped.sum(1, keepdim=True)).log(), target)


def by_hand(probabilities: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each example, (N,), as first tutorials have it.

    `-sum(y * log(p))` is no number as soon as any probability of the row is 0.
    """
    truth = one_hot(target, probabilities.shape[1])
    return -(truth * probabilities.log()).sum(1)
