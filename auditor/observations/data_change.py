"""What became of a split since an earlier audit: the same, changed, drifted, of another shape."""

import re
from dataclasses import dataclass
from typing import Literal

from auditor.core.request import Split
from auditor.core.subject import SplitFacts
from auditor.core.text import clean_text
from auditor.observations.drift import Drift, of_features, of_labels

Kind = Literal["same", "changed", "reshaped", "unknown"]
"""Equal content; other content; other shapes or types; it can't be told."""

CONFIDENCE = 0.99
"""That nothing is taken for drift by chance, over all features and splits together."""

_SHAPE = re.compile(r"(\w+)\[([\d, ]*)\]")


@dataclass(frozen=True)
class Change:
    """A split in two audits.

    `reason` says why content can't be compared, or what shapes were and are. `drifts` are the
    features and the labels, those that lie furthest apart first; empty where distributions can't be
    compared fairly, or where content is the same.
    """

    split: Split
    before: SplitFacts
    after: SplitFacts
    kind: Kind
    reason: str = ""
    drifts: tuple[Drift, ...] = ()

    @property
    def worst(self) -> Drift | None:
        """Return what has drifted furthest for sure, None where nothing was compared."""
        return self.drifts[0] if self.drifts else None


def changes(before: dict[Split, SplitFacts], after: dict[Split, SplitFacts]) -> tuple[Change, ...]:
    """Return what became of the splits that both audits have."""
    both = [split for split in after if split in before]
    tests = sum(_compared(before[split], after[split]) for split in both)
    confidence = 1 - (1 - CONFIDENCE) / max(1, tests)
    return tuple(_change(split, before[split], after[split], confidence) for split in both)


def _compared(before: SplitFacts, after: SplitFacts) -> int:
    features = len(after.features.names) if after.features is not None else 0
    labels = len(after.targets.classes) // 2 if after.targets.kind == "labels" else 1
    return 0 if before.fingerprint == after.fingerprint else features + labels


def _change(split: Split, before: SplitFacts, after: SplitFacts, confidence: float) -> Change:
    alike = _alike(before, after)
    if before.fingerprint == after.fingerprint and before.examples == after.examples:
        return Change(split, before, after, "same")
    shapes = _reshaped(before, after)
    if shapes:
        return Change(split, before, after, "reshaped", shapes)
    drifts = tuple(_drifts(before, after, confidence)) if alike else ()
    if before.complete and after.complete:
        return Change(split, before, after, "changed", drifts=drifts)
    counted = _whole(before) and _whole(after) and before.batch_size == after.batch_size
    if counted and before.batches != after.batches:
        return Change(split, before, after, "changed", drifts=drifts)
    if alike:
        reason = (
            f"of {after.batches:,} batches only the first {after.batches_read:,} were read, and a "
            "loader that shuffles may have yielded others of the same data"
        )
    else:
        reason = (
            f"the audits read different parts of it, {before.batches_read:,} batches of "
            f"{before.batch_size:,} then and {after.batches_read:,} of {after.batch_size:,} now"
        )
    return Change(split, before, after, "unknown", reason, drifts)


def _whole(facts: SplitFacts) -> bool:
    """Tell whether it is known how many batches the split has."""
    return facts.complete or facts.batches > facts.batches_read


def _alike(before: SplitFacts, after: SplitFacts) -> bool:
    """Tell whether both were read whole, or the same part of both."""
    if before.complete or after.complete:
        return before.complete and after.complete
    read = [(facts.batches_read, facts.batch_size) for facts in (before, after)]
    return read[0] == read[1]


def _drifts(before: SplitFacts, after: SplitFacts, confidence: float) -> list[Drift]:
    sizes = before.examples, after.examples
    found = of_labels(before.targets, after.targets, sizes, confidence)
    if before.features is not None and after.features is not None:
        found += of_features(before.features, after.features, confidence)
    return sorted(found, key=lambda drift: (-drift.least, -drift.index))


def _reshaped(before: SplitFacts, after: SplitFacts) -> str:
    """Return what shapes were and are, empty where they are the same but for the batch's size."""
    inputs = [tuple(map(_layout, facts.input_shapes)) for facts in (before, after)]
    if inputs[0] != inputs[1]:
        was, now = (", ".join(facts.input_shapes) for facts in (before, after))
        return f"its inputs were {clean_text(was, 120)} and are {clean_text(now, 120)}"
    if _layout(before.target_shape) != _layout(after.target_shape):
        was, now = clean_text(before.target_shape, 80), clean_text(after.target_shape, 80)
        return f"its targets were {was} and are {now}"
    names = [set(f.features.names) if f.features is not None else set() for f in (before, after)]
    if names[0] != names[1] and all(names):
        was, now = (f"{len(found):,}" for found in names)
        return f"its inputs had {was} features and have {now}"
    return ""


def _layout(shape: str) -> tuple[str, ...]:
    """Return what of a shape has nothing to do with the batch, or how far that is filled up.

    That is the type and the number of dimensions, the width of a table and all of an image.
    """
    found = _SHAPE.fullmatch(shape)
    if found is None:
        return (shape,)
    sizes = found[2].split(", ") if found[2] else []
    table = len(sizes) == 2 and found[1].startswith(("float", "bfloat"))
    kept = sizes[1:] if table or len(sizes) > 3 else []
    return (found[1], str(len(sizes)), *kept)
