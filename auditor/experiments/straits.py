"""Where a model lets too little through: the narrowest place that everything passes."""

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from auditor.experiments.blocks import holds_weights
from auditor.experiments.outputs import apart, example_axis, is_numeric, substituted
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.modes import evaluating
from auditor.observations.capacity import Strait

NOTHING = 1e-3
"""Share of what the answers to examples differ by that counts as no difference."""


@dataclass(frozen=True)
class _Spot:
    """What a layer takes in, or what it passes on."""

    layer: nn.Module
    side: Literal["in", "out"]


Act = Callable[[_Spot, Any], Any]


def strait(models: Iterable[nn.Module], batch: Batch, classes: int) -> Strait | None:
    """Return the narrowest place that everything passes, None where none is too narrow.

    `classes` is how many classes the outputs are the logits of, 0 where they are none. Everything
    passes a place where a model, once all examples are given their mean there, answers alike to
    them. That is seen in the first of `models`, alike but for their weights, which does not answer
    so anyway, as one of dead units does. Models are left in evaluation mode.
    """
    return next((_found(model, batch, classes) for model in models if _tells(model, batch)), None)


def _tells(model: nn.Module, batch: Batch) -> bool:
    """Tell whether a model answers differently to different examples."""
    answers = _answers(evaluating(model), batch)
    return answers is not None and bool(apart(answers, answers[:1]))


def _found(model: nn.Module, batch: Batch, classes: int) -> Strait | None:
    names = {layer: name for name, layer in model.named_modules() if name and _is_layer(layer)}
    widths: Counter[_Spot] = Counter()

    def count(spot: _Spot, value: Any) -> Any:
        widths[spot] += _width(value, batch.size)
        return value

    answers = _answers(model, batch, names, count)
    assert answers is not None

    def everything_passes(spot: _Spot) -> bool:
        def level(here: _Spot, value: Any) -> Any:
            return _levelled(value, batch.size) if here == spot else value

        try:
            levelled = _answers(model, batch, names, level)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - a forward pass may depend on any of it
            return False
        return levelled is not None and _spread(levelled) < NOTHING * _spread(answers)

    needed = answers[0].numel()
    if classes and needed % classes == 0:
        needed -= needed // classes
    given = (batch.args, batch.kwargs)
    most = min(needed, _width(given, batch.size)) if _all_numeric(given) else needed
    spots = list(widths)
    narrow = sorted((s for s in spots if 0 < widths[s] < most), key=widths.__getitem__)
    for spot in filter(everything_passes, narrow):
        upstream = reversed(spots[: spots.index(spot) + 1])
        holders = (s for s in upstream if s.side == "out" and holds_weights(s.layer))
        source = next(filter(everything_passes, holders), None)
        name = "" if source is None else names[source.layer]
        return Strait(names[spot.layer], spot.side, widths[spot], needed, name)
    return None


def _answers(
    model: nn.Module, batch: Batch, layers: Iterable[nn.Module] = (), act: Act = lambda _, v: v
) -> torch.Tensor | None:
    """Return the model's outputs [examples, ...], with `act` on all that `layers` take and give.

    None where they can't be told apart by example.
    """

    def before(layer: nn.Module, args: Any, kwargs: Any) -> Any:
        return act(_Spot(layer, "in"), (args, kwargs))

    def after(layer: nn.Module, args: Any, output: Any) -> Any:
        return act(_Spot(layer, "out"), output)

    # With gradients: without them torch runs a transformer's layer as one function of no layers.
    with ExitStack() as hooks, torch.enable_grad():
        for layer in layers:
            enter = layer.register_forward_pre_hook(before, with_kwargs=True)
            leave = layer.register_forward_hook(after)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
        main = main_output(model(*batch.args, **batch.kwargs))
    if not isinstance(main, torch.Tensor) or not main.ndim:
        return None
    axis = example_axis(main, batch.size)
    rows = main.detach() if axis is None else main.detach().movedim(axis, 0)
    return rows.reshape(batch.size, -1) if len(rows) % batch.size == 0 else None


def _spread(answers: torch.Tensor) -> float:
    """Return how far the answer to some example is from that to the first, at most."""
    return float((answers - answers[:1]).abs().max())


def _levelled(value: Any, examples: int) -> Any:
    """Return the same with the mean of all examples in the place of each."""

    def level(tensor: torch.Tensor) -> torch.Tensor:
        axis = example_axis(tensor, examples)
        return tensor if axis is None else tensor.mean(axis, keepdim=True)

    return substituted(value, (level(t) for t in tensors_in(value) if is_numeric(t)))


def _width(value: Any, examples: int) -> int:
    """Return how many numbers there are for each example, those of a tensor counted once."""
    found = {id(t): t for t in tensors_in(value) if is_numeric(t)}.values()
    return sum(t.numel() // examples for t in found if example_axis(t, examples) is not None)


def _all_numeric(value: Any) -> bool:
    """Tell whether there are no whole numbers, each of which may stand for many."""
    return all(is_numeric(tensor) for tensor in tensors_in(value))


def _is_layer(module: nn.Module) -> bool:
    return bool(module._parameters) or next(module.children(), None) is None
