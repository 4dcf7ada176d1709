"""What the functions by which torch rebuilds tensors and their storages mean.

A tensor is taken only where its values lie within its storage, as many as it says it has. Those
without values of their own, quantised ones and those of other makers are refused with the reason.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from auditor.core.errors import InputError
from auditor.core.text import clean_text
from auditor.opening.contents import ITEM_BYTES, MOST_DIMENSIONS, SparseAt, TensorAt
from auditor.opening.pickled import StandIn

if TYPE_CHECKING:
    from auditor.opening.meaning import Meaning

STORAGES = {
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Float": "float32",
    "Double": "float64",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
}
"""The types of the values in torch's typed storages, by their names without "Storage"."""

QUANTISED = ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")

LAYOUTS = {"sparse_coo": 2, "sparse_csr": 3, "sparse_csc": 3, "sparse_bsr": 3, "sparse_bsc": 3}
"""Layouts of sparse tensors, and of how many dense ones each is made."""


class Storage(NamedTuple):
    """A storage of a tensor: the type of its values ("" where untyped) and its block."""

    dtype: str
    block: int


class Dense(NamedTuple):
    """A tensor as a file of 2017 describes it, outside its pickle."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def dtype_of_storage(asked: Any) -> str:
    """Return the type of values in a storage by its class: "" for one without a type.

    Raises:
        InputError: there is no such storage, or its values are quantised.
    """
    name = str(getattr(asked, "name", ""))
    short = name.removeprefix("torch.").removeprefix("storage.").removeprefix("cuda.")
    kind = short.removesuffix("Storage")
    if short == "UntypedStorage":
        return ""
    if short != kind and kind in STORAGES:
        return STORAGES[kind]
    if kind in QUANTISED:
        raise InputError(_QUANTISED)
    raise InputError(f"a tensor's storage is of an unknown kind: {clean_text(name or asked, 80)}")


_QUANTISED = (
    "its tensors are quantised: checks judge weights as they were trained; audit the model before "
    "it was quantised"
)


def placed(
    meaning: "Meaning", storage: Any, offset: Any, shape: Any, strides: Any, dtype: str = ""
) -> TensorAt:
    """Return the place of a dense tensor's values.

    Raises:
        InputError: it has no storage, no known type, or reaches beyond its storage.
    """
    if not isinstance(storage, Storage):
        raise meaning.refusal("a tensor without a storage")
    dtype = dtype or storage.dtype
    if dtype not in ITEM_BYTES:
        raise meaning.refusal(f"a tensor of type {clean_text(dtype, 40) or 'unknown'}")
    sizes, steps = numbers(shape), numbers(strides)
    if not all(type(n) is int and 0 <= n < 2**63 for n in (offset, *sizes, *steps)):
        raise meaning.refusal("a tensor whose shape is not made of whole numbers from 0 on")
    if len(sizes) != len(steps) or len(sizes) > MOST_DIMENSIONS:
        raise meaning.refusal("a tensor whose shape and strides do not fit")
    held = meaning.reading.blocks[storage.block].bytes // ITEM_BYTES[dtype]
    made = TensorAt(dtype, sizes, steps, offset, storage.block)
    if made.reach > held or made.values > held:
        raise meaning.refusal(
            f"a tensor of shape {clean_text(list(sizes), 80)} that wants more than the {held:,} "
            "values of its storage"
        )
    if math.prod(size for size in sizes if size) >= 2**60:
        raise meaning.refusal("an empty tensor of a shape beyond measure")
    return made


def numbers(value: Any) -> tuple[Any, ...]:
    """Return what a shape or strides are made of."""
    if isinstance(value, StandIn) and value.name == "torch.Size":
        value = value.made_of[0] if value.made_of else ()
    if not isinstance(value, tuple | list):
        raise TypeError("a shape that is none")
    return tuple(value)


def _dense(meaning: "Meaning", value: StandIn) -> TensorAt:
    storage, offset, shape, strides, *more = value.made_of
    hooks, metadata = more[1:2], more[2:]
    dtype = ""
    if value.name.endswith("_v3"):
        asked, *metadata = metadata
        dtype = str(getattr(asked, "name", "")).removeprefix("torch.")
    _check_bare(meaning, value, hooks)
    if any(metadata):
        raise meaning.refusal(
            "a tensor that is a conjugated or negated view; save `tensor.resolve_conj()` and "
            "`tensor.resolve_neg()` instead"
        )
    return placed(meaning, storage, offset, shape, strides, dtype)


def _check_bare(meaning: "Meaning", value: StandIn, hooks: Iterable[Any]) -> None:
    """Make sure that nothing hangs on a tensor that torch itself would not have put there."""
    if any(getattr(hook, "pairs", hook) or getattr(hook, "made_of", ()) for hook in hooks):
        raise meaning.refusal("a tensor with hooks")
    if value.state is not None:
        raise meaning.refusal("a tensor with attributes that torch does not write")


def _first(meaning: "Meaning", value: StandIn) -> TensorAt | SparseAt:
    """Return the tensor that something is made of: a parameter, a copy for another device."""
    if value.name.startswith("torch._utils._rebuild_parameter"):
        _check_bare(meaning, value, value.made_of[2:3])
    made = meaning.of(value.made_of[0])
    if not isinstance(made, TensorAt | SparseAt):
        raise meaning.refusal("a parameter that is no tensor")
    return made


def _of_type(meaning: "Meaning", value: StandIn) -> Any:
    """Return a tensor of a class of its own, as a plain one; what else hangs on it is left out."""
    function, made_of = value.made_of[0], value.made_of[2]
    if not isinstance(function, type) or not issubclass(function, StandIn):
        raise meaning.refusal("a tensor rebuilt by what is no function")
    if not isinstance(made_of, tuple) or not function.name.startswith("torch._utils._rebuild_"):
        raise meaning.refusal(f"a tensor rebuilt by {clean_text(function.name, 80)}")
    return meaning.called(function.name, made_of)


def _sparse(meaning: "Meaning", value: StandIn) -> SparseAt:
    layout, held = value.made_of[:2]
    if isinstance(layout, StandIn) and layout.name == "torch.serialization._get_layout":
        name = str(layout.made_of[0])
    else:
        name = str(getattr(layout, "name", ""))
    name = name.removeprefix("torch.")
    if name not in LAYOUTS:
        raise meaning.refusal(f"a sparse tensor of layout {clean_text(name, 40)}")
    count = LAYOUTS[name]
    parts = tuple(meaning.of(part) for part in held[:count])
    sizes = numbers(held[count])
    if not all(isinstance(part, TensorAt) for part in parts) or len(parts) != count:
        raise meaning.refusal("a sparse tensor that is not made of dense ones")
    if not all(type(n) is int and 0 <= n < 2**63 for n in sizes) or len(sizes) > MOST_DIMENSIONS:
        raise meaning.refusal("a sparse tensor whose shape is none")
    if math.prod(sizes) >= 2**63:
        raise meaning.refusal("a sparse tensor of a shape beyond measure")
    return SparseAt(name, parts, sizes)


def _layout(meaning: "Meaning", value: StandIn) -> str:
    return clean_text(value.made_of[0], 40)


def _meta(meaning: "Meaning", value: StandIn) -> Any:
    raise meaning.refusal(
        "a tensor without values (on the device `meta`); save the model once its weights are loaded"
    )


def _quantised(meaning: "Meaning", value: StandIn) -> Any:
    raise InputError(_QUANTISED)


def _foreign(meaning: "Meaning", value: StandIn) -> Any:
    short = value.name.removeprefix("torch._utils._rebuild_")
    raise meaning.refusal(f"a tensor of a kind that is not read ({clean_text(short, 60)})")


MAKERS = {
    "torch._utils._rebuild_tensor": _dense,
    "torch._utils._rebuild_tensor_v2": _dense,
    "torch._utils._rebuild_tensor_v3": _dense,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _first,
    "torch._utils._rebuild_xla_tensor": _first,
    "torch.nn.parameter.Parameter": _first,
    "torch.nn.parameter.Buffer": _first,
    "torch.autograd.variable.Variable": _first,
    "torch._tensor._rebuild_from_type": _of_type,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_sparse_csr_tensor": _sparse,
    "torch.serialization._get_layout": _layout,
    "torch._utils._rebuild_meta_tensor_no_storage": _meta,
    "torch._utils._rebuild_qtensor": _quantised,
    "torch._utils._rebuild_nested_tensor": _foreign,
    "torch._utils._rebuild_wrapper_subclass": _foreign,
}
"""What tells the meaning of the functions and classes of tensors, by their dotted names."""
