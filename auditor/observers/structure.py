"""Sees how a network is built: follows each tensor from what made it to what uses it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from auditor.core.layer import MODEL
from auditor.intake.batches import tensors_in
from auditor.intake.subject import Subject
from auditor.observations.structure import (
    INPUT,
    OUTPUT,
    FirstWeights,
    Part,
    Structure,
    StructureOver,
)
from auditor.observers.first_weights import first_weights
from auditor.observers.multiply_adds import PRODUCTS, of_function, of_module
from auditor.observers.observer import Observer, Place, Step

_NAMES = """
embedding embedding_bag lstm gru rnn_tanh rnn_relu
batch_norm layer_norm group_norm instance_norm rms_norm local_response_norm
relu relu6 gelu silu mish elu selu celu leaky_relu prelu rrelu softplus softsign
hardtanh hardswish hardsigmoid tanh sigmoid logsigmoid glu softmax log_softmax
interpolate grid_sample pixel_shuffle
"""
_POOLS = ("max", "avg", "lp", "adaptive_max", "adaptive_avg")
LAYERS = PRODUCTS.union(_NAMES.split(), (f"{kind}_pool{d}d" for kind in _POOLS for d in (1, 2, 3)))
"""Names of the functions that would be layers if modules stood for them."""

_SIGNS = {"add": "+", "sub": "−", "rsub": "−", "mul": "×", "div": "÷", "cat": "concat"}
_SIGNS |= {"__getitem__": "index", "__setitem__": "assign"}


@dataclass
class _Node:
    """A part as it grows; `into` leads to the layer that a function turned out to belong to."""

    name: str
    kind: str
    home: str
    inputs: tuple[torch.Size, ...]
    outputs: tuple[torch.Size, ...]
    parameters: int = 0
    parameter_bytes: int = 0
    multiply_adds: float = 0.0
    bytes: int = 0
    calls: int = 1
    into: int | None = None


@dataclass
class _Frame:
    """A module being run: what it was given, what its functions read, and those that are parts."""

    name: str
    module: nn.Module
    shapes: tuple[torch.Size, ...]
    storages: frozenset[int]
    identities: frozenset[int]
    offered: frozenset[int]
    reads: set[int] = field(default_factory=set)
    functions: list[int] = field(default_factory=list)
    multiply_adds: float = 0.0
    worked: bool = False
    names: dict[str, int] = field(default_factory=dict)


class StructureObserver(Observer):
    """Keeps, for each tensor alive, the number of the part that made it; looks at one batch."""

    functions = True

    def __init__(self, request: StructureOver, subject: Subject) -> None:
        assert subject.model is not None
        self._model = subject.model
        self._flops = subject.facts.flops
        self._nodes: list[_Node] = []
        self._places: dict[str, int] = {}
        self._edges: dict[tuple[int, int], None] = {}
        self._makers: Any = WeakTensorKeyDictionary()
        self._frames: list[_Frame] = []
        self._counted: set[int] = set()
        self._first: FirstWeights | None = None
        self._done: Structure | None = None

    def entering(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note what a module is given; what the model itself is given are the inputs."""
        if self._done is not None:
            return
        given = list(tensors_in(args))
        if name == MODEL and not self._nodes:
            for number, tensor in enumerate(given, 1):
                shown = INPUT if len(given) == 1 else f"{INPUT} {number}"
                self._makers[tensor] = len(self._nodes)
                self._nodes.append(_Node(shown, INPUT, "", (), (tensor.shape,)))
        self._frames.append(
            _Frame(
                name,
                module,
                tuple(tensor.shape for tensor in given),
                frozenset(map(_storage, given)),
                frozenset(map(id, given)),
                frozenset(self._makers_of(given)),
            )
        )

    def followed(self, function: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Follow tensors through a function; it is a part where it joins several or is a layer."""
        if self._done is not None or not self._frames:
            return
        name = getattr(function, "__name__", "")
        given = list(tensors_in(inputs))
        made = given[:1] if name == "__setitem__" else list(tensors_in(output))
        if not made or not given:
            return
        base = name if "__" in name else name.rstrip("_")
        frame, makers = self._frames[-1], self._makers_of(given)
        cost = of_function(base, inputs, output)
        frame.worked = True
        frame.reads |= makers
        frame.multiply_adds += cost
        if not makers:
            return
        if self._first is None:
            shape = tuple(self._nodes[0].outputs[0][1:])
            self._first = first_weights(frame.name, base, given, shape)
        maker = next(iter(makers))
        if len(makers) > 1 or base in LAYERS:
            maker = len(self._nodes)
            self._nodes.append(self._function(frame, base, given, made))
            self._nodes[maker].multiply_adds = cost
            self._edges |= dict.fromkeys((source, maker) for source in sorted(makers))
            frame.functions.append(maker)
        for tensor in made:
            self._makers[tensor] = maker

    def leaving(self, place: Place, output: Any) -> None:
        """Make a part of a module in which no other ran."""
        if self._done is not None or place.module is None:
            return
        while self._frames and self._frames[-1].module is not place.module:
            self._frames.pop()
        if not self._frames:
            return
        frame = self._frames.pop()
        made = list(tensors_in(output))
        whole = frame.name == MODEL
        if place.leaf and made and (not whole or type(place.module).__module__[:9] == "torch.nn."):
            self._layer(place, place.module, frame, made)
        if whole:
            number = len(self._nodes)
            self._nodes.append(_Node(OUTPUT, OUTPUT, "", tuple(t.shape for t in made), ()))
            self._edges |= dict.fromkeys((m, number) for m in sorted(self._makers_of(made)))

    def step(self, step: Step) -> None:
        """Learn how many examples the batch had."""
        if self._done is None:
            self._done = self._structure(step.batch.size)
            self._frames.clear()
            self._makers.clear()

    def result(self) -> Structure:
        """Return what the first batch showed."""
        if self._done is None:
            raise RuntimeError("no batch was seen")
        return self._done

    def _layer(
        self, place: Place, module: nn.Module, frame: _Frame, made: list[torch.Tensor]
    ) -> None:
        if not frame.worked and all(id(tensor) in frame.identities for tensor in made):
            return
        inside = set(frame.functions)
        sources = (frame.reads or frame.offered) - inside
        number = self._places.setdefault(place.name, len(self._nodes))
        if number == len(self._nodes):
            home = frame.name.rpartition(".")[0]
            shapes = tuple(tensor.shape for tensor in made)
            held = self._count(module.parameters())
            self._nodes.append(_Node(place.name, place.kind, home, frame.shapes, shapes, *held))
        else:
            self._nodes[number].calls += 1
        node = self._nodes[number]
        own = of_module(module, made[0])
        node.multiply_adds += frame.multiply_adds if own is None else own
        node.bytes += _new_bytes(made, frame.storages)
        for function in inside:
            self._nodes[function].into = number
            node.parameters += self._nodes[function].parameters
            node.parameter_bytes += self._nodes[function].parameter_bytes
        self._edges |= dict.fromkeys((source, number) for source in sorted(sources))
        for tensor in made:
            self._makers[tensor] = number

    def _function(
        self, frame: _Frame, name: str, given: list[torch.Tensor], made: list[torch.Tensor]
    ) -> _Node:
        shown = _SIGNS.get(name, name.strip("_"))
        home = "" if frame.name == MODEL else frame.name
        number = frame.names[shown] = frame.names.get(shown, 0) + 1
        full = f"{home}.{shown}" if home else shown
        weights = [tensor for tensor in given if isinstance(tensor, nn.Parameter)]
        return _Node(
            full if number == 1 else f"{full}, call {number}",
            shown,
            home,
            tuple(tensor.shape for tensor in given if tensor in self._makers),
            tuple(tensor.shape for tensor in made),
            *self._count(weights if name in LAYERS else ()),
            bytes=_new_bytes(made, frozenset(map(_storage, given))),
        )

    def _makers_of(self, tensors: Iterable[torch.Tensor]) -> set[int]:
        return {self._makers[tensor] for tensor in tensors if tensor in self._makers}

    def _count(self, parameters: Iterable[torch.Tensor]) -> tuple[int, int]:
        """Return how many values, and bytes, the parameters have that were not counted before."""
        fresh = {id(p): p for p in parameters if id(p) not in self._counted}
        self._counted |= fresh.keys()
        sizes = [(p.numel(), p.element_size()) for p in fresh.values()]
        return sum(count for count, _ in sizes), sum(count * size for count, size in sizes)

    def _structure(self, examples: int) -> Structure:
        kept = [place for place, node in enumerate(self._nodes) if node.into is None]
        ends = {INPUT: 0, OUTPUT: 2}
        kept.sort(key=lambda place: (ends.get(self._nodes[place].kind, 1), place))
        number = {place: index for index, place in enumerate(kept)}
        pairs = {(number[self._home(a)], number[self._home(b)]) for a, b in self._edges}
        return Structure(
            parts=tuple(_part(self._nodes[place], examples) for place in kept),
            edges=tuple(sorted((a, b) for a, b in pairs if a != b)),
            loose=tuple(self._loose()),
            first=self._first,
            flops=self._flops,
        )

    def _home(self, place: int) -> int:
        while (into := self._nodes[place].into) is not None:
            place = into
        return place

    def _loose(self) -> Iterator[Part]:
        """Yield the parameters that no part holds, by the module that has them."""
        for name, module in self._model.named_modules():
            held = self._count(module.parameters(recurse=False))
            if held[0]:
                home, kind = name.rpartition(".")[0], type(module).__name__
                yield Part(name or MODEL, kind, home, (), (), *held, calls=0)


def _part(node: _Node, examples: int) -> Part:
    return Part(
        name=node.name,
        kind=node.kind,
        home=node.home,
        inputs=tuple(_shape(shape, examples) for shape in node.inputs[:8]),
        outputs=tuple(_shape(shape, examples) for shape in node.outputs[:8]),
        parameters=node.parameters,
        parameter_bytes=node.parameter_bytes,
        multiply_adds=node.multiply_adds / examples,
        activation_bytes=node.bytes / examples,
        calls=node.calls,
    )


def _shape(shape: torch.Size, examples: int) -> str:
    """Return "N×3×32×32": the first dimension, or else the second, may count the examples."""
    sizes = [str(size) for size in shape]
    axis = next((axis for axis in range(min(2, len(shape))) if shape[axis] == examples), None)
    if axis is not None:
        sizes[axis] = "N"
    return "×".join(sizes) or "scalar"


def _storage(tensor: torch.Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # a tensor of a kind that has no storage
        return id(tensor)


def _new_bytes(made: list[torch.Tensor], held: frozenset[int]) -> int:
    """Return the bytes of outputs that lie in memory of their own."""
    return sum(t.numel() * t.element_size() for t in made if _storage(t) not in held)
