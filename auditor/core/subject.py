"""What is known of a subject without its live objects."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import PlainSerializer

from auditor.core.request import Capability, Split
from auditor.core.spec import Task
from auditor.core.values import Array, Number, same

Capabilities = Annotated[
    frozenset[Capability], PlainSerializer(sorted, return_type=list[str], when_used="json")
]
"""A set that is written in order, so that equal records are equal text."""


@dataclass(frozen=True)
class LeftOut:
    """What does not fit between checkpoint and model and was allowed to, by name.

    `missing` and `misshapen` are names of the model, `unexpected` of the checkpoint.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()


@dataclass(frozen=True)
class CheckpointFacts:
    """The checkpoint's file: where, what kind, which bytes, and what stood beside the weights.

    `extras` holds the plain values found beside the weights ("epoch" -> "20"), as text.
    `classes` are the dotted names of Python classes that it asks for; nothing was made of them.
    `pickle_ran` tells that the user vouched for it, and that its pickle was run.
    `key` is the dotted key that the weights stand under in it, empty where they are the whole.
    """

    path: str
    format: str
    sha256: str
    bytes: int
    tensors: int
    removed_prefix: str = ""
    extras: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    key: str = ""
    files: tuple[tuple[str, str], ...] = ()
    """Names and hashes of several files; `sha256` is then that of their list."""
    left_out: LeftOut = LeftOut()
    pickle_ran: bool = False


@dataclass(frozen=True)
class TargetFacts:
    """The distribution of the targets that were looked at.

    Classes: `classes` and `counts` of each class index seen. Numbers: per output column `mean`,
    `variance` (population), `median` and `mean_absolute_deviation` (about the median), in the
    units of the target.
    """

    kind: str
    values: int
    classes: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    mean: tuple[Number, ...] = ()
    variance: tuple[Number, ...] = ()
    median: tuple[Number, ...] = ()
    mean_absolute_deviation: tuple[Number, ...] = ()


FeatureKind = Literal["feature", "channel", "tokens", "values", "target"]


@dataclass(frozen=True, eq=False)
class FeatureFacts:
    """The distributions of features: of each, one number from every example that was read.

    Features are the columns of a table, or what an example comes to where its values depend on one
    another: the mean and the spread of each channel of an image or a sequence, or of its tokens.
    Targets that are numbers are features too. `kinds` says what each of the `names` is.

    All arrays are [features]. `values` counts the numbers that are finite, `missing` the others;
    `mean`, `variance` (population), `least` and `most` are over the finite ones.
    `quantiles` [features, 101] are the smallest values with 0, 1, ... 100 % at or below them, of
    examples drawn evenly where there are very many. `left_out` counts columns beyond those looked
    at.
    """

    names: tuple[str, ...]
    kinds: tuple[FeatureKind, ...]
    values: Array
    missing: Array
    mean: Array
    variance: Array
    least: Array
    most: Array
    quantiles: Array
    left_out: int = 0

    def __eq__(self, other: object) -> bool:
        return same(self, other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class SplitFacts:
    """One split as far as it was read: `batches_read` of its `batches`.

    `fingerprint` is a hash over the examples read that does not depend on their order. `features`
    is None where no input has a number for each example, and in records of earlier versions.
    """

    batches: int
    batches_read: int
    examples: int
    batch_size: int
    complete: bool
    input_shapes: tuple[str, ...]
    target_shape: str
    targets: TargetFacts
    fingerprint: str
    features: FeatureFacts | None = None


@dataclass(frozen=True)
class SubjectFacts:
    """What is audited, as the record tells it; `has` says what can be asked of it.

    `outputs` is the width of the model's output: classes, labels or regressed quantities. `flops`
    is floating-point operations of one example's forward pass, zero where none was run, and
    `recurrent_steps` how many steps recurrent layers take in it, one after the other.
    """

    name: str
    factory: str
    checkpoint: CheckpointFacts | None
    parameters: int
    trainable: int
    device: str
    task: Task | None
    loss: str
    outputs: int | None
    data: dict[Split, SplitFacts]
    has: Capabilities
    lacks: dict[Capability, str]
    flops: Number = 0.0
    recurrent_steps: int = 0
    warnings: tuple[str, ...] = ()
