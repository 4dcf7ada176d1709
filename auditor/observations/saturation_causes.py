"""What made a layer saturate, and what to do about it."""

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.text import clean_text, counted
from auditor.observations.saturated_layers import Layer, stuck_high, stuck_low
from auditor.observations.saturation import SquashedLayer

SHIFTED = 3.0
"""Mean over deviation of what is squashed from which on it is the mean that saturates."""

LARGE = 5.0
"""Root mean square of an input, or gain of weights, that is off scale; 1 is aimed at."""


def note_on(layer: Layer) -> str:
    """Return in a few words how much of a layer is stuck, and saturated."""
    stuck = int(np.count_nonzero(layer.stuck))
    return (
        f"{stuck:,} of {layer.stuck.size:,} units stuck, {100 * layer.saturated:.3g} % of values "
        "saturated"
    )


def said_of_layer(layer: Layer) -> str:
    """Return what is wrong with a saturated layer, and why."""
    stuck, units = int(np.count_nonzero(layer.stuck)), layer.stuck.size
    share = f"{100 * layer.saturated:.3g} % of the values are within 1 % of an end of their range"
    recurrent = bool(layer.parts[0].cell)
    how = "cut off by their gates" if recurrent else "always at the same end"
    said = f"In `{layer.name}` ({layer.kind}) "
    if stuck:
        said += f"{stuck:,} of {counted(units, 'unit')} {'is' if stuck == 1 else 'are'} {how}, and "
    return f"{said}{share}.{_worst_gate(layer)} {_cause(layer)}"


def _fullest(layer: Layer) -> SquashedLayer:
    """Return the function, or gate, that is most at an end of its range."""
    return max(layer.parts, key=lambda part: float((part.low + part.high).sum()))


def _worst_gate(layer: Layer) -> str:
    part = _fullest(layer)
    low, high = (100 * float(side.mean()) / part.count for side in (part.low, part.high))
    ends = ("at 0", "at 1") if part.kind == "sigmoid" else ("at -1", "at 1")
    if len(layer.parts) == 1:
        return ""
    return (
        f" Most saturated is its {part.gate} gate, {low:.3g} % {ends[0]} and {high:.3g} % "
        f"{ends[1]}."
    )


def _cause(layer: Layer) -> str:
    """Return a sentence on what makes the inputs of a saturated layer too large."""
    part = _fullest(layer)
    stuck = stuck_low(part) | stuck_high(part)
    chosen = stuck if stuck.any() else np.ones(part.units, bool)
    mean = part.total / part.count
    deviation = np.sqrt(np.maximum(part.squares / part.count - mean**2, 0))
    centre, spread = float(np.median(mean[chosen])), float(np.median(deviation[chosen]))
    said = f"What goes in has mean {centre:.3g} and deviation {spread:.3g}"
    feeder, name = part.feeder, clean_text(part.feeder.layer)
    shifted = abs(centre) > SHIFTED * spread
    if shifted and feeder.bias.size == part.units:
        bias = float(np.median(feeder.bias[chosen]))
        if 2 * abs(bias) > abs(centre):
            return (
                f"{said}: it is the bias that holds it there, `{name}.{feeder.bias_name}` at "
                f"{bias:.3g}."
            )
    if feeder.layer and feeder.size > LARGE * max(1.0, feeder.strength):
        return f"{said}: `{name}` is given inputs off scale, of root mean square {feeder.size:.3g}."
    if feeder.layer and feeder.strength > LARGE:
        return (
            f"{said}: the weights of `{name}` are too large, with a gain of {feeder.strength:.3g} "
            f"(largest singular value {feeder.spectral:.3g})."
        )
    if shifted:
        return f"{said}: it is the mean that holds it there, a bias or inputs that are not centred."
    return f"{said}."


def advice_on_layer(layer: Layer) -> tuple[str, ...]:
    """Return what to do about a saturated layer."""
    name = layer.name
    feeder = _fullest(layer).feeder
    before = f"`{clean_text(feeder.layer)}`" if feeder.layer else f"what feeds `{name}`"
    if layer.parts[0].cell:
        return (
            step(
                f"Bring the inputs of `{name}` to mean 0 and deviation 1, and initialise it anew; "
                "a forget gate's bias may start at 1.",
                f"for name, p in {snippets.layer(layer.parts[0].layer)}.named_parameters():\n"
                '    if "weight_hh" in name:\n'
                "        torch.nn.init.orthogonal_(p)\n"
                "    elif p.ndim > 1:\n"
                "        torch.nn.init.xavier_uniform_(p)\n"
                "    else:\n"
                "        torch.nn.init.zeros_(p)",
            ),
            step(
                "Train with a lower learning rate and clip the gradient's norm; a step too large "
                "is what throws gates to their ends.",
                snippets.clipped("1.0"),
            ),
        )
    return (
        step(
            f"Initialise {before} anew, its bias at zero, and bring its inputs to mean 0 and "
            "deviation 1.",
            snippets.initialised(feeder.layer, "xavier_uniform_") if feeder.layer else "",
        ),
        step(
            f"Put normalisation before `{name}`, or replace it by a function without an upper end, "
            "and train with a lower learning rate.",
            snippets.replaced(layer.parts[0].layer, "torch.nn.GELU()")
            if layer.kind[:1].isupper()
            else "",
        ),
    )
