"""Takes from the first layer the weights worth a picture."""

import math

import torch

from auditor.observations.structure import FirstWeights

MOST_FILTERS = 64
MOST_WEIGHTS = 1_000_000
MOST_ENTRIES = 10_000
"""Units and weights kept of a convolution or linear layer, and entries of an embedding."""


def first_weights(
    layer: str, function: str, given: list[torch.Tensor], input_shape: tuple[int, ...]
) -> FirstWeights | None:
    """Return the weights that a function was given, None where it is not one that has them."""
    embeds = function.startswith("embedding")
    if not (embeds or function == "linear" or function.startswith("conv")) or len(given) < 2:
        return None
    # An embedding's table stands second in torch.nn.functional, and first below that.
    weight = next((t for t in given if t.is_floating_point()), None) if embeds else given[1]
    if weight is None or weight.ndim < 2:
        return None
    weight = weight.detach().abs() if weight.is_complex() else weight.detach()
    if function.startswith("conv_transpose"):
        weight = weight.transpose(0, 1)
    step = math.ceil(len(weight) / MOST_ENTRIES) if embeds else 1
    norms = torch.linalg.vector_norm(weight[::step].flatten(1).float(), dim=1)
    units, values = torch.arange(0, len(weight), step), norms
    if not embeds:
        most = max(1, min(MOST_FILTERS, MOST_WEIGHTS // max(1, weight[0].numel())))
        chosen = norms.nan_to_num(torch.inf).topk(min(most, len(norms))).indices.sort().values
        units, values = chosen, weight.index_select(0, chosen).float()
    return FirstWeights(
        layer, function, values.cpu().numpy(), tuple(units.tolist()), len(weight), input_shape
    )
