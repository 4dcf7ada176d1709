"""The network drawn as it ran, with shapes, multiply-adds and memory (for a look).

What it does
------------
Lists every layer with its shapes, parameters, multiply-adds and memory, draws the network as it
really ran, and shows the weights that meet the input. With weights alone it lists the tensors.

Why it matters
--------------
A skip connection that was forgotten, a layer that never runs or one that eats all the memory is
seen at a glance here, and nowhere in a curve of the loss. First filters without any pattern tell
that the layer has hardly learnt.

How it is measured
------------------
One batch goes through the model in evaluation mode. Each tensor is followed from the layer that
made it to those that use it, through functions too, so that additions and concatenations appear.
Multiply-adds are those of convolutions, matrix products, attention and recurrent layers, counted
from the shapes, for one example; PyTorch's own counter tells twice as many operations, and leaves
out fused recurrent layers and, on some devices, attention. Memory of activations is what outputs
newly take for one example. A filter's smoothness is the mean product of neighbouring weights over
their mean square, beside that of the same weights shuffled within each filter. Nothing is judged.

When it misleads
----------------
Another batch may take another way through the model. What leaves PyTorch, for instance through
NumPy, can't be followed. A layer that runs several times is one box. Memory in training is larger:
it holds gradients, the optimizer's state and what the backward pass needs.

What to do
----------
Compare the drawing with the one you had in mind: every arrow, every shape. Look first at the
coloured box, which costs the most, and at layers that did not run.

Source
------
Sugiyama, Tagawa and Toda 1981, "Methods for Visual Understanding of Hierarchical System
Structures" (the drawing); Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional
Networks" (first-layer filters); Stanford CS231n notes, "Understanding and Visualizing
Convolutional Neural Networks": noisy filters hint at a network not trained long enough or
regularised too little.
"""

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Table
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import Verdict
from auditor.observations.first_filters import Smoothness, pictured, smoothness
from auditor.observations.structure import (
    INPUT,
    OUTPUT,
    Structure,
    StructureOver,
    TensorsOf,
    in_use,
)
from auditor.observations.structure import Tensors as TensorsSeen
from auditor.observations.structure_graph import graph_of

TENSORS = TensorsOf()
STRUCTURE = StructureOver()

COUNTERS_DIFFER = 1.01
"""How many times our count PyTorch's may be before the summary tells it: rounding is less."""

UNDECIDED = 0.2
"""Width of the band of shuffled filters beyond which one inside it tells nothing."""

_COLUMNS = (
    "layer",
    "kind",
    "input",
    "output",
    "parameters",
    "weights, kB",
    "multiply-adds",
    "output, kB",
)


@check(
    title="The network is drawn as it ran",
    failure_title="The network can't be drawn",
    needs=(TENSORS,),
    wants=(STRUCTURE,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Show how the network is built; it is always for information."""
    structure = seen.get(STRUCTURE)
    if structure is None:
        return _weights_alone(seen[TENSORS], seen.missing(STRUCTURE))
    idle = [part for part in structure.loose if not in_use(part, structure)]
    told, filters = "", None
    figures: list[Figure] = [graph_of(structure)]
    if structure.first is not None:
        filters = pictured(structure.first)
        told = _told(smoothness(structure.first.values, seen.rng), structure.first.layer)
    if filters is not None:
        figures.append(filters)
    figures.append(_table(structure))
    layers = [part for part in structure.parts if part.kind not in (INPUT, OUTPUT)]
    held = [*structure.parts, *structure.loose]
    multiply_adds = float(sum(part.multiply_adds for part in layers))
    memory = float(sum(part.activation_bytes for part in layers))
    parameters = sum(part.parameters for part in held)
    summary = (
        f"{counted(len(layers), 'layer')} and functions, {counted(parameters, 'parameter')}; one "
        f"example takes {_short(multiply_adds)} multiply-adds and {_short(memory, 'B')} of "
        f"activations.{told}"
    )
    if idle:
        names = listed([f"`{clean_text(part.name, 80)}`" for part in idle])
        summary += f" Parameters of {names} were not used by any layer that ran."
    # What PyTorch can't count is told as two operations a parameter.
    least = 2 * max(multiply_adds, float(parameters))
    if structure.flops > COUNTERS_DIFFER * least:
        summary += (
            f" PyTorch's own counter tells {_short(structure.flops / 2)} multiply-adds: some "
            "function multiplies that is not known here."
        )
    return Judgement(
        Verdict.INFO,
        summary,
        metrics=(
            Metric("parameters", float(parameters)),
            Metric("memory of the parameters", sum(p.parameter_bytes for p in held) / 1e6, "MB"),
            Metric("multiply-adds of one example", multiply_adds),
            Metric("memory of one example's activations", memory / 1e6, "MB"),
        ),
        where=tuple(
            Place("layer", clean_text(part.name), f"{part.parameters:,} parameters not used")
            for part in idle
        ),
        figures=tuple(figures),
    )


def _told(smooth: Smoothness | None, layer: str) -> str:
    if smooth is None:
        return ""
    if smooth.value > smooth.high:
        said = "they have a pattern"
    elif smooth.high - smooth.low > UNDECIDED:
        said = "too few weights to tell a pattern from noise"
    else:
        said = "they are no smoother than noise"
    return (
        f" Neighbouring weights of the filters of `{clean_text(layer, 80)}` correlate with "
        f"{smooth.value:.2f}, shuffled ones with {smooth.low:.2f} to {smooth.high:.2f}: {said}."
    )


def _table(structure: Structure) -> Table:
    rows = [
        (
            clean_text(part.name),
            clean_text(part.kind) + (f", {part.calls:,} times" if part.calls > 1 else ""),
            ", ".join(dict.fromkeys(part.inputs)),
            ", ".join(dict.fromkeys(part.outputs)),
            part.parameters,
            part.parameter_bytes / 1e3,
            float(part.multiply_adds),
            part.activation_bytes / 1e3,
        )
        for part in structure.parts
        if part.kind not in (INPUT, OUTPUT)
    ]
    rows += [
        (
            clean_text(part.name),
            f"{clean_text(part.kind)}, "
            + ("its own parameters" if in_use(part, structure) else "not used"),
            "",
            "",
            part.parameters,
            part.parameter_bytes / 1e3,
            0.0,
            0.0,
        )
        for part in structure.loose
    ]
    return Table(
        "Layers in the order in which they ran",
        "N counts the examples; multiply-adds and outputs are of one. Look for layers that hold or "
        "cost far more than the others.",
        _COLUMNS,
        tuple(rows),
    )


def _weights_alone(tensors: TensorsSeen, why: str) -> Judgement:
    total = sum(tensors.sizes)
    rows = zip(
        map(clean_text, tensors.names),
        tensors.shapes,
        tensors.types,
        tensors.sizes,
        (size / 1e3 for size in tensors.bytes),
        strict=True,
    )
    return Judgement(
        Verdict.INFO,
        f"{counted(len(tensors.names), 'tensor')} with {counted(total, 'value')}. The network "
        f"itself can't be drawn: {why}.",
        metrics=(Metric("memory of the tensors", sum(tensors.bytes) / 1e6, "MB"),),
        figures=(
            Table(
                "Tensors of the checkpoint",
                "In the order of the file. Look for shapes that do not follow from one another.",
                ("tensor", "shape", "type", "values", "kB"),
                tuple(rows),
            ),
        ),
    )


def _short(value: float, unit: str = "") -> str:
    """Return "41.2 M" or, with a unit, "41.2 MB"."""
    factors = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    factor, letter = next((pair for pair in factors if value >= pair[0]), (1.0, ""))
    return f"{value / factor:.3g} {letter}{unit}".rstrip()
