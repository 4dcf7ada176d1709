"""Weights that a model uses without holding them: layers in a plain list, tensors as attributes."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

MOST_NODES = 200_000
"""Operations beyond which the graph of a loss is not gone through: half a second."""

DEEPEST = 3
"""Lists within lists that are looked into."""


def unheld(model: nn.Module, loss: torch.Tensor) -> dict[str, int]:
    """Return the attributes whose weights the loss hangs on though `parameters()` lacks them.

    They are named by path ("encoder.blocks"), with the number of values. What is only used without
    a gradient, as a teacher hidden in a list on purpose, is none of them.
    """
    known = {id(p) for p in model.parameters()}
    strangers = {id(leaf) for leaf in _leaves(loss)} - known
    found: dict[str, int] = {}
    if not strangers:
        return found
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in ("_modules", "_parameters", "_buffers"):
                continue
            inside = {id(t): t for t in _tensors(value, DEEPEST) if id(t) in strangers}
            if inside:
                path = f"{name}.{attribute}" if name else attribute
                found[path] = sum(t.numel() for t in inside.values())
    return found


def _leaves(loss: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the tensors that the gradient of a loss ends in; none where its graph is too large."""
    stack = [loss.grad_fn]
    seen = set(stack)
    found = []
    while stack:
        node: Any = stack.pop()
        if node is None:
            continue
        if hasattr(node, "variable"):
            found.append(node.variable)
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                stack.append(following)
        if len(seen) > MOST_NODES:
            return
    yield from found


def _tensors(value: Any, deep: int) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif deep and isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner, deep - 1)
    elif deep and isinstance(value, list | tuple | set | deque):
        for inner in value:
            yield from _tensors(inner, deep - 1)
