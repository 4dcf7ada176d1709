"""Many tensors on few lines: those of repeated blocks together, by the numbers in their names."""

from collections.abc import Iterable
from dataclasses import dataclass

from auditor.core.text import clean_text
from auditor.intake.inspection import Tensor

LONGEST = 100
"""Characters shown of a name."""


@dataclass(frozen=True)
class TensorGroup:
    """Tensors of one type and shape whose names differ in numbers alone: "layers.{0-31}.weight"."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int

    @property
    def sizes(self) -> str:
        """Return the shape for people."""
        return sizes_of(self.shape)


def sizes_of(shape: tuple[int, ...]) -> str:
    """Return a shape for people."""
    return " x ".join(f"{size:,}" for size in shape) or "one value"


def grouped(tensors: Iterable[Tensor]) -> list[TensorGroup]:
    """Return the tensors by groups, in the order in which the first of each stands."""
    members: dict[tuple[tuple[str, ...], str, tuple[int, ...]], list[Tensor]] = {}
    for tensor in tensors:
        parts = tuple("" if part.isdecimal() else part for part in tensor.name.split("."))
        members.setdefault((parts, tensor.dtype, tensor.shape), []).append(tensor)
    return [
        TensorGroup(_name_of(group), dtype, shape, len(group))
        for (_, dtype, shape), group in members.items()
    ]


def ungrouped(tensors: Iterable[Tensor]) -> list[TensorGroup]:
    """Return each tensor as a group of its own."""
    return [TensorGroup(clean_text(one.name, LONGEST), one.dtype, one.shape, 1) for one in tensors]


def _name_of(group: list[Tensor]) -> str:
    columns = zip(*(one.name.split(".") for one in group), strict=True)
    return clean_text(".".join(_part(list(dict.fromkeys(column))) for column in columns), LONGEST)


def _part(numbers: list[str]) -> str:
    """Return one part of the names: "3", "{0-3}" or "{0,2,5}"."""
    if len(numbers) == 1:
        return numbers[0]
    # Texts of digits may be longer than Python reads as numbers.
    known = sorted({int(one) for one in numbers if len(one) < 10})
    if len(known) != len(numbers):
        return "{...}"
    if known == list(range(known[0], known[-1] + 1)):
        return f"{{{known[0]}-{known[-1]}}}"
    few = ",".join(map(str, known[:4]))
    return f"{{{few}{',...' if len(known) > 4 else ''}}}"
