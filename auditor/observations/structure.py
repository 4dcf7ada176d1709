"""How a network is built: what runs, what it costs, and what feeds what."""

from dataclasses import dataclass
from typing import ClassVar

from auditor.core.layer import MODEL
from auditor.core.request import Capability, Depth, Request, Riding
from auditor.core.values import Array, Number

INPUT, OUTPUT = "input", "output"
"""The kinds of the parts at the ends."""


@dataclass(frozen=True)
class Part:
    """Something that ran in a forward pass: a layer, a function between layers, or an end.

    `home` is the dotted name of the module that holds it. Shapes are written per tensor, the
    examples as N ("N×3×32×32"). `parameters` counts the values that no earlier part holds,
    `parameter_bytes` their memory. `multiply_adds` and `activation_bytes` (memory that the output
    newly takes) are of one example, over all `calls`.
    """

    name: str
    kind: str
    home: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: int = 0
    parameter_bytes: int = 0
    multiply_adds: Number = 0.0
    activation_bytes: Number = 0.0
    calls: int = 1


@dataclass(frozen=True)
class FirstWeights:
    """The weights that meet the input, of the units that have the largest 2-norms.

    `values` is [units, channels, ...] of a convolution and [units, features] of a linear layer; of
    an embedding it is the 2-norm of each entry (of very many: evenly chosen ones). `units` numbers
    them, of `total`. `input_shape` is that of one example as it entered the model.
    """

    layer: str
    kind: str
    values: Array
    units: tuple[int, ...]
    total: int
    input_shape: tuple[int, ...]


@dataclass(frozen=True)
class Structure:
    """What one batch showed of a network.

    `edges` hold places of parts: the output of the first is used by the second. `loose` are
    parameters outside of these parts, by the module that has them: its own beside its layers, or
    of layers that did not run. `flops` is what PyTorch's own counter told of one example when the
    subject was brought in, a multiply-add being two.
    """

    parts: tuple[Part, ...]
    edges: tuple[tuple[int, int], ...]
    loose: tuple[Part, ...]
    first: FirstWeights | None
    flops: Number

    def merge(self, other: "Structure") -> "Structure":
        """Return what the earlier batch showed: it stands for all."""
        return self


def in_use(part: Part, structure: Structure) -> bool:
    """Tell whether parameters beside the layers are of a module that held layers which ran."""
    inside = f"{part.name}."
    homes = {one.home for one in structure.parts}
    return (not part.home and part.name == MODEL) or any(
        f"{home}.".startswith(inside) for home in homes
    )


@dataclass(frozen=True)
class StructureOver(Riding[Structure]):
    """Asks how the network is built, as its forward pass over one batch shows it."""

    batches: int = 1

    answer: ClassVar = Structure
    depth: ClassVar = Depth.FORWARD
    scaled: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Tensors:
    """The tensors among the weights, with their shapes as text ("64×3×7×7"), values and bytes."""

    names: tuple[str, ...]
    shapes: tuple[str, ...]
    types: tuple[str, ...]
    sizes: tuple[int, ...]
    bytes: tuple[int, ...]


@dataclass(frozen=True)
class TensorsOf(Request[Tensors]):
    """Asks which tensors there are."""

    answer: ClassVar = Tensors
    requires: ClassVar[frozenset[Capability]] = frozenset({"weights"})
