"""Field types of everything that is written to JSON: arrays, and numbers that may not be finite."""

import base64
import math
from dataclasses import fields, is_dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _number_to_json(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(value)


def _number_from_json(value: Any) -> Any:
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


Number = Annotated[
    float,
    BeforeValidator(_number_from_json),
    PlainSerializer(_number_to_json, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(_NON_FINITE)}]}),
]
"""A float; NaN and the infinities are written as strings, since JSON has no word for them."""


def _array_to_json(array: NDArray[Any]) -> dict[str, Any]:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": little.dtype.str,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def _array_from_json(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    try:
        dtype = np.dtype(value["dtype"])
        if dtype.hasobject:
            raise ValueError("an array of Python objects can't be read from JSON")
        return np.frombuffer(base64.b64decode(value["base64"]), dtype).reshape(value["shape"])
    except (KeyError, TypeError, SyntaxError) as error:
        raise ValueError("an array wants dtype, shape and base64") from error


Array = Annotated[
    NDArray[Any],
    PlainValidator(_array_from_json),
    PlainSerializer(_array_to_json, when_used="json"),
    WithJsonSchema({"type": "object"}),
]
"""A numpy array, written as dtype, shape and base64 of its bytes."""


def same(one: Any, other: object) -> bool:
    """Tell whether two dataclasses of one kind hold equal fields; NaN in an array equals NaN."""
    if type(one) is not type(other):
        return False
    assert is_dataclass(one)
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(one)]
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        else a == b
        for a, b in pairs
    )
