"""How many multiplications with an addition a layer's products of matrices take.

Elementwise functions, normalisation and pooling are not counted, as is usual; a table that is
looked up costs none.
"""

import math
from typing import Any

import torch
from torch import nn

from auditor.intake.batches import tensors_in

_MATRIX_PRODUCTS = frozenset({"matmul", "mm", "bmm", "mv", "dot", "inner", "linear"})
_ADDED_PRODUCTS = frozenset({"addmm", "addmv", "baddbmm", "addbmm"})
_GATES: dict[str, int] = {"LSTM": 4, "GRU": 3, "RNN": 1}

PRODUCTS = frozenset(
    {
        *_MATRIX_PRODUCTS,
        *_ADDED_PRODUCTS,
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "bilinear",
        "einsum",
        "tensordot",
        "scaled_dot_product_attention",
        "multi_head_attention_forward",
    }
)
"""Names of the functions that multiply."""


def of_function(name: str, inputs: tuple[Any, ...], output: Any) -> float:
    """Return the multiply-adds of one call, for the whole batch; 0 for what doesn't multiply."""
    if name not in PRODUCTS:
        return 0.0
    given = list(tensors_in(inputs))
    made = next(tensors_in(output), None)
    if made is None or len(given) < 2:
        return 0.0
    if name.startswith("conv_transpose"):
        return float(given[0].numel() * math.prod(given[1].shape[1:]))
    if name.startswith("conv"):
        return float(made.numel() * math.prod(given[1].shape[1:]))
    if name in _MATRIX_PRODUCTS:
        return float(made.numel() * given[0].shape[-1])
    if name in _ADDED_PRODUCTS:
        sums = given[1].shape[0] if name == "addbmm" else 1
        return float(made.numel() * given[1].shape[-1] * sums)
    if name == "bilinear":
        return float(made.numel() * given[0].shape[-1] * given[1].shape[-1])
    if name == "tensordot":
        # Each contracted size stands in both operands and not in the output.
        return math.sqrt(float(made.numel()) * given[0].numel() * given[1].numel())
    if name == "einsum":
        return _einsum(inputs, given)
    if name == "scaled_dot_product_attention":
        return _attention(*given[:3])
    return _multi_head(*given[:3])


def of_module(module: nn.Module, output: Any) -> float | None:
    """Return the multiply-adds of a fused recurrent layer for a batch, None for another module."""
    made = next(tensors_in(output), None)
    if made is None:
        return None
    if isinstance(module, nn.RNNCellBase):
        weights = module.weight_ih.numel() + module.weight_hh.numel()
        return float(made.numel() / module.hidden_size * weights)
    if not isinstance(module, nn.RNNBase):
        return None
    gates = _GATES.get(module.mode.partition("_")[0], 1)
    ways = 2 if module.bidirectional else 1
    shown = module.proj_size or module.hidden_size
    steps = made.numel() / (ways * shown)
    each = 0.0
    for layer in range(module.num_layers):
        entering = module.input_size if layer == 0 else ways * shown
        each += ways * gates * module.hidden_size * (entering + shown)
        each += ways * module.hidden_size * module.proj_size
    return steps * each


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> float:
    rows = query.numel() / query.shape[-1]
    return float(rows * key.shape[-2] * (query.shape[-1] + value.shape[-1]))


def _multi_head(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> float:
    """Return the cost of the three projections, the two products, and the output's projection."""
    width = query.shape[-1]
    asked, offered = query.numel() / width, key.numel() / key.shape[-1]
    projected = asked * width + offered * (key.shape[-1] + value.shape[-1])
    return float(width * (projected + 2 * asked * key.shape[0] + asked * width))


def _einsum(inputs: tuple[Any, ...], operands: list[torch.Tensor]) -> float:
    """Return the product of the sizes of all indices; 0 where the equation is of another form."""
    equation = next((item for item in inputs if isinstance(item, str)), "")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if len(terms) != len(operands):
        return 0.0
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        before, dots, after = term.partition("...")
        left = operand.ndim - len(before) - len(after)
        if left < 0 or (left and not dots):
            return 0.0
        # The dimensions of an ellipsis are matched from the last.
        names = [*before, *(f"...{left - i}" for i in range(left)), *after]
        for name, size in zip(names, operand.shape, strict=True):
            sizes[name] = max(sizes.get(name, 1), size)
    return float(math.prod(sizes.values()))
