"""The gates of recurrent layers, computed anew: torch keeps them to itself."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

ROWS, STEPS = 16, 64
"""Sequences, and time steps of each, that gates are computed for."""

NAMES: dict[str, tuple[str, ...]] = {
    "LSTM": ("input", "forget", "cell", "output"),
    "GRU": ("reset", "update", "new"),
    "RNN": ("state",),
}
"""The gates in the order in which torch stacks their weights."""

Gate = tuple[str, str, torch.Tensor]
"""The label of a recurrent layer, the name of a gate, and its inputs [values, units]."""

RECURRENT = (nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def squash(values: torch.Tensor, kind: str) -> torch.Tensor:
    """Return sigmoid or tanh, by a function that no tap listens to."""
    halves = 1.0 if kind == "sigmoid" else 2.0
    squashed: torch.Tensor = torch.special.expit(halves * values)
    return squashed if kind == "sigmoid" else 2 * squashed - 1


def kind_of_gate(name: str) -> str:
    """Return which function a gate applies."""
    return "tanh" if name in ("cell", "new", "state") else "sigmoid"


def gates(module: nn.Module, args: tuple[Any, ...]) -> Iterator[Gate]:
    """Yield what goes into each gate of a recurrent layer or cell, for some sequences and steps.

    One that has ReLU for its activation has no gates.
    """
    if getattr(module, "nonlinearity", "tanh") != "tanh" or not args:
        return
    if isinstance(module, nn.RNNBase):
        yield from _of_layers(module, args)
    elif isinstance(args[0], torch.Tensor):
        yield from _of_cell(module, args)


def _of_cell(module: Any, args: tuple[Any, ...]) -> Iterator[Gate]:
    x = args[0].detach().reshape(-1, args[0].shape[-1])[:ROWS]
    h = _state(args, len(x), module.hidden_size, x)
    weights = module.weight_ih, module.weight_hh, module.bias_ih, module.bias_hh
    family = type(module).__name__.removesuffix("Cell")
    family = next((f for f in NAMES if f in family), "RNN")
    for name, values in _gates(family, _inputs(x, weights), h, weights):
        yield "", name, values


def _of_layers(module: nn.RNNBase, args: tuple[Any, ...]) -> Iterator[Gate]:
    x = args[0]
    if isinstance(x, PackedSequence):
        x, lengths = pad_packed_sequence(x)
        x = x[: max(1, int(lengths.min()))]
    elif not isinstance(x, torch.Tensor):
        return
    elif x.ndim == 2:
        x = x.unsqueeze(1)
    elif module.batch_first:
        x = x.transpose(0, 1)
    x = x.detach()[:STEPS, :ROWS]
    inside = _inside(x)
    directions = 2 if module.bidirectional else 1
    width = module.proj_size or module.hidden_size
    given = args[1] if len(args) > 1 else None
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            tail = f"l{layer}{'_reverse' if direction else ''}"
            weights = tuple(
                getattr(module, f"{part}_{tail}", None)
                for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            projection = getattr(module, f"weight_hr_{tail}", None)
            h, c = _start(given, layer * directions + direction, x, width, module.hidden_size)
            steps = range(len(x))[:: -1 if direction else 1]
            made: list[torch.Tensor] = [h] * len(x)
            into = _inputs(x, weights)
            found: dict[str, list[torch.Tensor]] = {}
            for step in steps:
                parts = dict(_gates(module.mode.split("_")[0], into[step], h, weights))
                for name, values in parts.items():
                    found.setdefault(name, []).append(values)
                h, c = _next(parts, h, c, projection)
                made[step] = h
            outputs.append(torch.stack(made))
            for name, seen in found.items():
                yield tail, name, torch.stack(seen)[inside[list(steps)]]
        x = torch.cat(outputs, dim=-1)


def _inside(x: torch.Tensor) -> torch.Tensor:
    """Return where sequences [steps, rows, features] are not padded, with one value at an end."""
    same = (x[1:] == x[:-1]).all(dim=-1).long()
    first, last = torch.ones_like(x[:1, :, 0]).long(), torch.ones_like(x[:1, :, 0]).long()
    front = torch.cat([first, same]).cumprod(0)
    back = torch.cat([same, last]).flip(0).cumprod(0).flip(0)
    # A run of one step is no padding.
    inside = ~((front * front.sum(0) > 1) | (back * back.sum(0) > 1))
    return inside | ~inside.any(dim=0)


def _inputs(x: torch.Tensor, weights: tuple[Any, ...]) -> torch.Tensor:
    made: torch.Tensor = x @ weights[0].detach().t()
    return made if weights[2] is None else made + weights[2].detach()


def _gates(
    family: str, into: torch.Tensor, h: torch.Tensor, weights: tuple[Any, ...]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the inputs of each gate, as torch's documentation writes them."""
    names = NAMES[family]
    back = h @ weights[1].detach().t()
    back = back if weights[3] is None else back + weights[3].detach()
    if family != "GRU":
        yield from zip(names, (into + back).chunk(len(names), dim=-1), strict=True)
        return
    ours, theirs = into.chunk(3, dim=-1), back.chunk(3, dim=-1)
    reset = ours[0] + theirs[0]
    yield "reset", reset
    yield "update", ours[1] + theirs[1]
    yield "new", ours[2] + squash(reset, "sigmoid") * theirs[2]


def _next(
    parts: dict[str, torch.Tensor], h: torch.Tensor, c: torch.Tensor, projection: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the next state."""
    on = {name: squash(values, kind_of_gate(name)) for name, values in parts.items()}
    if "state" in on:
        return on["state"], c
    if "update" in on:
        return (1 - on["update"]) * on["new"] + on["update"] * h, c
    c = on["forget"] * c + on["input"] * on["cell"]
    h = on["output"] * squash(c, "tanh")
    return (h if projection is None else h @ projection.detach().t()), c


def _state(args: tuple[Any, ...], rows: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Return the state that a cell was given, zeros where none was."""
    given = args[1] if len(args) > 1 else None
    first = given[0] if isinstance(given, tuple | list) else given
    if not isinstance(first, torch.Tensor):
        return like.new_zeros(rows, width)
    return first.detach().reshape(-1, width)[:rows]


def _start(
    given: Any, index: int, x: torch.Tensor, width: int, hidden: int
) -> tuple[torch.Tensor, torch.Tensor]:
    rows = x.shape[1]
    h, c = x.new_zeros(rows, width), x.new_zeros(rows, hidden)
    if isinstance(given, torch.Tensor) and given.ndim == 3:
        h = given.detach()[index, :rows]
    elif isinstance(given, tuple | list) and len(given) == 2 and given[0].ndim == 3:
        h, c = (state.detach()[index, :rows] for state in given)
    return h, c
