"""Figures of what became of the data: both sides, the labels, and the features that drifted."""

import numpy as np

from auditor.core.figure import Bars, Figure, Lines, Series, Table
from auditor.core.finding import Limit
from auditor.core.subject import FeatureFacts
from auditor.core.text import clean_text
from auditor.observations.data_change import Change
from auditor.observations.drift import Drift, class_counts
from auditor.observations.splits import SplitsSeen

SHOWN = 24
"""Features in a figure."""

CLASSES = 60
"""Classes in a figure; of more, those whose shares differ most."""

NAMES = {"train": "training", "val": "validation"}

WORDS = {
    "same": "the same",
    "changed": "changed",
    "reshaped": "of another shape",
    "unknown": "can't be told",
}


def figures(changes: tuple[Change, ...], limit: Limit) -> tuple[Figure, ...]:
    """Return both sides as a table, then the labels and features of the split that drifted most."""
    drifted = [change for change in changes if change.worst is not None]
    found: list[Figure] = [_sides(changes)]
    if not drifted:
        return tuple(found)
    most = max(drifted, key=lambda change: change.drifts[0].least)
    found.append(_indices(most, limit))
    labels = _labels(most)
    if labels is not None:
        found.append(labels)
    quantiles = _quantiles(most)
    if quantiles is not None:
        found.append(quantiles)
    return tuple(found)


def _sides(changes: tuple[Change, ...]) -> Table:
    return Table(
        title="The data in both audits",
        caption="Examples and batches as far as they were read; equal fingerprints are equal "
        "examples in any order.",
        columns=("split", "audit", "examples", "batches", "inputs", "fingerprint", "content"),
        rows=tuple(
            (
                NAMES[change.split],
                which,
                facts.examples,
                f"{facts.batches_read:,} of {facts.batches:,}",
                clean_text(", ".join(facts.input_shapes), 60),
                clean_text(facts.fingerprint[:12]),
                WORDS[change.kind] if which == "now" else "",
            )
            for change in changes
            for which, facts in (("before", change.before), ("now", change.after))
        ),
    )


def against_training(now: SplitsSeen) -> Table:
    """Return what a recording tells of the data of training beside the data at hand."""
    return Table(
        title="The data of the training, and that of this audit",
        caption=f"By {clean_text(now.source, 80)}; equal fingerprints are equal examples in any "
        "order.",
        columns=("split", "examples then", "examples now", "fingerprint then", "fingerprint now"),
        rows=tuple(
            (
                NAMES[split],
                then.examples,
                now.data[split].examples,
                clean_text(then.fingerprint[:12]),
                clean_text(now.data[split].fingerprint[:12]),
            )
            for split, then in (now.recorded or {}).items()
            if split in now.data
        ),
    )


def _indices(change: Change, limit: Limit) -> Bars:
    shown = change.drifts[:SHOWN]
    return Bars(
        title=f"How far the {NAMES[change.split]} data has drifted",
        caption="Population stability index of each feature and of the labels, less what chance "
        f"adds; the {len(shown):,} that drifted most of {len(change.drifts):,}.",
        label="stability index",
        labels=tuple(drift.name for drift in shown),
        values=tuple(drift.index for drift in shown),
        low=tuple(drift.low for drift in shown),
        high=tuple(drift.high for drift in shown),
        marked=tuple(limit.warn is not None and drift.least > limit.warn for drift in shown),
        guides=limit.guides(),
    )


def _labels(change: Change) -> Lines | None:
    before, after = change.before.targets, change.after.targets
    if before.kind != after.kind or before.kind not in ("classes", "labels"):
        return None
    counts = class_counts(before, after)
    if len(counts[0]) < 2:
        return None
    classes = sorted({*before.classes, *after.classes})
    shares = [rows / max(1.0, float(rows.sum())) for rows in counts]
    furthest = np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:CLASSES]
    chosen = np.sort(furthest)
    x = tuple(map(float, range(len(chosen))))
    return Lines(
        title=f"Labels of the {NAMES[change.split]} data",
        caption="Share of each class in both audits"
        + (f", of {len(classes):,} those that differ most." if len(classes) > CLASSES else "."),
        x_label="class" if before.kind == "classes" else "label and value",
        y_label="share",
        series=tuple(
            Series(name, x, tuple(rows[chosen].tolist()))
            for name, rows in zip(("before", "now"), shares, strict=True)
        ),
        x_names=tuple(
            str(classes[place])
            if before.kind == "classes"
            else f"{classes[place] // 2} = {classes[place] % 2}"
            for place in chosen
        ),
    )


def _quantiles(change: Change) -> Lines | None:
    """Return the quantiles of the feature that drifted most, in both audits."""
    sides = change.before.features, change.after.features
    worst = next((d for d in change.drifts if _held(d, *sides)), None)
    if worst is None:
        return None
    x = tuple(map(float, range(101)))
    series = []
    for name, facts in zip(("before", "now"), sides, strict=True):
        assert facts is not None
        values = np.asarray(facts.quantiles[facts.names.index(worst.name)], float)
        if not np.isfinite(values).all():
            return None
        series.append(Series(name, x, tuple(values.tolist())))
    return Lines(
        title=f"Quantiles of {worst.name}",
        caption=f"The feature of the {NAMES[change.split]} data that drifted most: what so many "
        "per cent of its values are at most.",
        x_label="per cent of examples",
        y_label=worst.name,
        series=tuple(series),
    )


def _held(drift: Drift, before: FeatureFacts | None, after: FeatureFacts | None) -> bool:
    return all(facts is not None and drift.name in facts.names for facts in (before, after))
