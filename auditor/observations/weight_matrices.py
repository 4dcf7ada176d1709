"""What stands in each weight matrix: its units, its spectrum, its extreme values."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from auditor.core.request import Capability, Request
from auditor.core.spectrum import effective_rank, random_effective_rank
from auditor.core.values import Array, Number

Kind = Literal["linear", "convolution", "recurrent", "attention", "embedding", "other"]


@dataclass(frozen=True)
class Outlier:
    """A weight far beyond all others of its parameter; `beside` is the largest |w| of the rest."""

    index: str
    value: Number
    beside: Number


@dataclass(frozen=True)
class WeightMatrix:
    """One weight as a matrix [units, fan_in]: a row holds what one unit reads its inputs with.

    `part` names the gate or projection where one parameter holds several. Rows are compared
    within each of `groups`, and with `beside` rows of the parts before. Of very many, `compared`
    rows were chosen evenly; `duplicates` and `opposites` are counted among those.

    zero_units     rows below 1e-6 of the largest row
    constant_units rows of one value, not zero
    duplicates     rows that an earlier row equals up to sign and scale, |cos| > 1 - `tolerance`
    opposites      those of `duplicates` of which the earlier row is the opposite
    dimension      (Σλ)² / Σλ² of the distinct rows' directions: in how many they spread
    collision      probability that two values drawn at random are the same number
    zero_share     values that are exactly zero
    identical      all rows are one row; one_value: all values one value, not zero
    columns_alike  every input is read with the same weights
    as_built       a fresh model has these very values; None where there is none to compare with
    trainable      None where the weights alone are known
    copy_of        an earlier matrix with the same values bit for bit, "" where there is none
    finite         False: nothing else was looked at

    `singular` holds all singular values, descending, of the matrix, or where `sketched` of
    `sketch` [rows, columns]: signed sums of its rows and columns, drawn at random and scaled so
    that independent entries keep their variance. Outliers are left out of them.

    `built_rank` is the effective rank that a bare parameter has in a fresh model, where known.

    `biases` is how many units have a |bias| beyond `BIAS` times their weights' norm, `worst_bias`
    the largest such ratio.
    """

    name: str
    part: str
    kind: Kind
    shape: str
    units: int
    fan_in: int
    groups: int
    compared: int
    beside: int
    zero_units: int
    constant_units: int
    duplicates: int
    opposites: int
    tolerance: Number
    dimension: Number
    collision: Number
    zero_share: Number
    identical: bool
    one_value: bool
    columns_alike: bool
    as_built: bool | None
    trainable: bool | None
    finite: bool
    rms: Number
    outliers: tuple[Outlier, ...]
    biases: int
    worst_bias: Number | None
    singular: Array
    sketched: bool
    sketch: tuple[int, int]
    copy_of: str = ""
    built_rank: Number | None = None

    @property
    def effective_rank(self) -> float:
        """Return the effective rank of the matrix, or of its sketch."""
        return effective_rank(self.singular)

    @property
    def relative_rank(self) -> float:
        """Return the effective rank over that of random entries of the same shape."""
        return self.effective_rank / max(random_effective_rank(*self.sketch), 1.0)

    @property
    def rank(self) -> int:
        """Return the singular values beyond rounding: 1e-4 of the largest, for half precision."""
        least = (1e-2 if self.tolerance > 1e-5 else 1e-5) * self.singular.max(initial=0.0)
        return int((self.singular > least).sum())


@dataclass(frozen=True)
class WeightVector:
    """A parameter of one dimension, a bias or a norm's scale; `one_value`: all values are one."""

    name: str
    size: int
    one_value: bool
    value: Number
    outliers: tuple[Outlier, ...]


@dataclass(frozen=True)
class WeightMatrices:
    """Every weight, in the order of definition; `left_out` are tensors that nothing is known of."""

    matrices: tuple[WeightMatrix, ...]
    vectors: tuple[WeightVector, ...]
    left_out: tuple[str, ...]


BIAS = 100.0
"""Times the norm of a unit's weights from which on a bias drowns whatever the inputs say.

With inputs of deviation 1 the weighted sum deviates by that norm."""


@dataclass(frozen=True)
class WeightMatricesOf(Request[WeightMatrices]):
    """Asks what stands in each weight matrix."""

    answer: ClassVar = WeightMatrices
    requires: ClassVar[frozenset[Capability]] = frozenset({"weights"})
