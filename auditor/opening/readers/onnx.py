"""ONNX models: initializers by name, and what the graph is made of.

The values of tensors are found by the wire format and stay where they are; what is left is small,
and parsed by the onnx package.
"""

import importlib
from collections import Counter
from typing import Any

from auditor.core.errors import InputError
from auditor.core.text import clean_text, listed
from auditor.opening.contents import TensorAt
from auditor.opening.protobuf import LENGTH, Field, fields
from auditor.opening.readers.onnx_values import IN_MEMORY, tensor_at
from auditor.opening.reading import Reading

GRAPH, INITIALIZER, SPARSE_INITIALIZER = 7, 5, 15
"""Fields of a model and of its graph, by their numbers."""

LARGEST_REST = 128 << 20
"""Bytes of a model beside the values of its initializers."""

MOST_PORTS = 64
"""Inputs and outputs of a graph that are told."""


def read(reading: Reading) -> tuple[str, Any]:
    """Return the initializers of an ONNX model, and what it tells of its graph.

    Raises:
        InputError: the onnx package is missing, or the model is damaged.
    """
    try:
        package: Any = importlib.import_module("onnx")
    except ImportError:
        raise InputError(
            "an ONNX model, which takes a package to read: pip install 'auditor[onnx]'"
        ) from None
    try:
        return "ONNX", _Model(reading, package).tree()
    except ValueError as error:
        raise InputError(f"a truncated or damaged ONNX model: {clean_text(error, 120)}") from error


class _Model:
    def __init__(self, reading: Reading, package: Any) -> None:
        self._reading = reading
        self._package = package
        self._left = LARGEST_REST

    def tree(self) -> dict[str, Any]:
        """Return the weights, and what the model tells of itself."""
        top = list(fields(self._reading.first, 0, self._reading.size))
        graphs = [field for field in top if field.number == GRAPH and field.kind == LENGTH]
        if len(graphs) != 1:
            raise InputError("damaged: an ONNX model of several graphs")
        inside = list(fields(self._reading.first, graphs[0].offset, graphs[0].end))
        weights: dict[str, TensorAt] = {}
        unread = ["sparse ones"] if any(f.number == SPARSE_INITIALIZER for f in inside) else []
        for field in inside:
            if field.number == INITIALIZER:
                name, tensor = self._initializer(field)
                if name in weights:
                    raise InputError(f"damaged: two initializers {clean_text(name, 120)}")
                if tensor is None:
                    unread.append(name)
                else:
                    weights[name] = tensor
        if unread:
            self._reading.notes.append(f"Initializers that are not read: {listed(unread)}.")
        apart = (INITIALIZER, SPARSE_INITIALIZER)
        graph = self._parsed("GraphProto", [f for f in inside if f.number not in apart])
        model = self._parsed("ModelProto", [field for field in top if field.number != GRAPH])
        return {"state_dict": weights | _aliases(graph, weights), **_told(model, graph)}

    def _initializer(self, field: Field) -> tuple[str, TensorAt | None]:
        """Return the name of an initializer and its tensor: None of a type that is not read."""
        if field.kind != LENGTH:
            raise InputError("damaged: an initializer that is none")
        inside = list(fields(self._reading.first, field.offset, field.end))
        held = [one for one in inside if one.number in IN_MEMORY and one.size]
        values = held[0] if len(held) == 1 and held[0].kind == LENGTH else None
        told = self._parsed("TensorProto", [one for one in inside if one != values])
        try:
            return told.name, tensor_at(self._reading, self._package, told, values)
        except (InputError, ValueError) as error:
            raise InputError(f"{clean_text(told.name, 120)}: {clean_text(error, 200)}") from error

    def _parsed(self, kind: str, parts: list[Field]) -> Any:
        """Return the message that fields make."""
        data = bytearray()
        for part in parts:
            self._left -= part.end - part.start
            if self._left < 0:
                raise InputError(
                    f"an ONNX model of more than {LARGEST_REST:,} bytes beside its initializers"
                )
            self._reading.first.seek(part.start)
            data += self._reading.first.read(part.end - part.start)
        try:
            return getattr(self._package, kind).FromString(bytes(data))
        except Exception as error:
            raise InputError(f"damaged: an ONNX {kind} that is none") from error


def _aliases(graph: Any, weights: dict[str, TensorAt]) -> dict[str, TensorAt]:
    """Return weights that exporters left out because others are equal, by the names they had."""
    outputs = {value.name for value in graph.output}
    return {
        name: weights[node.input[0]]
        for node in graph.node
        if node.op_type == "Identity" and len(node.input) == 1 and node.input[0] in weights
        for name in node.output
        if name not in outputs and not {"/", ":"} & set(name)
    }


def _told(model: Any, graph: Any) -> dict[str, Any]:
    """Return what a model tells of itself, as plain values."""
    operators = Counter(
        f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in graph.node
    )
    versions = {(one.domain or "ai.onnx"): one.version for one in model.opset_import}
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opset": versions,
        "graph": {
            "inputs": _ports(graph.input),
            "outputs": _ports(graph.output),
            "operators": dict(operators.most_common()),
        },
    }


def _ports(values: Any) -> dict[str, str]:
    """Return inputs or outputs by name, with their shapes."""
    shapes = {}
    for value in values[:MOST_PORTS]:
        sizes = value.type.tensor_type.shape.dim
        shapes[value.name] = " x ".join(one.dim_param or str(one.dim_value) for one in sizes)
    return shapes
