"""The part of a model in which something first goes wrong."""

from dataclasses import dataclass
from typing import Literal

from auditor.core.finding import Place
from auditor.core.layer import MODEL
from auditor.core.text import clean_text, counted
from auditor.core.values import Number


@dataclass(frozen=True)
class Culprit:
    """The innermost module whose inputs are as they should be and whose outputs are not.

    `layer` is its name, `MODEL` for the model itself, `kind` its class. A container (`inner`
    modules run in it) is named where none of these is to blame: then it is what its own `forward`
    does between them. `functions` are the functions in question that it called itself.
    `into` is the first of its inner modules that is given what went wrong, where there is one.
    `batch_first` is what the module has under that name, None where it has none.
    """

    layer: str
    kind: str
    inner: bool = False
    functions: tuple[str, ...] = ()
    batch_first: bool | None = None
    into: str = ""

    @property
    def shown(self) -> str:
        """Return how a sentence names it: "`encoder.attention` (MultiheadAttention)"."""
        if self.layer == MODEL:
            return f"the model's own `forward` ({clean_text(self.kind, 60)}){self._way}"
        own = ", in what its own `forward` does" if self.inner else ""
        return f"`{clean_text(self.layer)}` ({clean_text(self.kind, 60)}{own}){self._way}"

    def place(self, note: str) -> Place:
        """Return it as a place of a finding."""
        return Place("layer", clean_text(self.layer), f"{note}{self._way}")

    @property
    def _way(self) -> str:
        return f", on the way into `{clean_text(self.into)}`" if self.into else ""


@dataclass(frozen=True)
class Difference:
    """How far two answers to what should be one question lie apart.

    `change` is the largest difference of two outputs as a share of the largest output, NaN where
    they could not be compared, for the reason in `missing`. Up to `tolerance` it is rounding.
    `kind` says more where the experiment knows more. `examples` counts what was compared.
    """

    change: Number
    tolerance: Number
    examples: int = 0
    culprit: Culprit | None = None
    missing: str = ""
    kind: str = ""

    @property
    def found(self) -> bool:
        """Tell whether there is a difference beyond rounding."""
        return not self.missing and not self.change <= self.tolerance

    @property
    def seen(self) -> str:
        """Return what came of it, for a table."""
        if self.missing:
            return "not compared"
        of = counted(self.examples, "example")
        return f"differs, of {of}" if self.found else f"alike, of {of}"


Precision = Literal["float64", "float32", "float16", "bfloat16", "int8"]
