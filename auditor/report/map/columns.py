"""The columns of the map: what was measured of each layer, all layers on one axis."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from auditor.core.figure import Guide
from auditor.core.layer import USUAL_UPDATE, LayerFacts
from auditor.core.record import AuditRecord
from auditor.report.plots.extent import Extent, extent_of

Kind = Literal["activation", "gradient", "dead", "update"]

ENDS = 5
"""Layers before the output whose gradient is what the others are held against, as in the check."""


@dataclass(frozen=True)
class Quantity:
    """What a column shows; `check` measures it."""

    kind: Kind
    head: str
    short: str
    unit: str
    check: str
    what: str


QUANTITIES = (
    Quantity("activation", "activation", "activ.", "RMS",
             "activation-scale-off", "activations"),
    Quantity("gradient", "gradient", "grad.", "at its output",
             "vanishing-gradients", "gradients"),
    Quantity("dead", "dead units", "dead", "of its units",
             "dead-units", "dead units"),
    Quantity("update", "update", "update", "|Δw| / |w|",
             "update-ratio-off", "update ratios"),
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A quantity of every layer, None where it was not measured, with its axis and its lines."""

    quantity: Quantity
    values: tuple[float | None, ...]
    extent: Extent
    guides: tuple[Guide, ...]

    @property
    def bars(self) -> bool:
        """Tell whether values are bars from zero."""
        return self.quantity.kind == "dead"

    def edge(self, value: float) -> Literal["zero", "lost", ""]:
        """Tell what has no place on the axis: zero on a logarithmic one, and what is not finite."""
        if not math.isfinite(value):
            return "lost"
        return "zero" if self.extent.log and value <= 0 else ""


def columns_of(record: AuditRecord) -> tuple[Column, ...]:
    """Return the columns of which at least one layer has a value."""
    known = ((quantity, _values(quantity.kind, record.layers)) for quantity in QUANTITIES)
    return tuple(
        _column(quantity, values, record)
        for quantity, values in known
        if any(value is not None for value in values)
    )


def _values(kind: Kind, layers: Sequence[LayerFacts]) -> tuple[float | None, ...]:
    return tuple(getattr(layer, kind) for layer in layers)


def _column(quantity: Quantity, values: tuple[float | None, ...], record: AuditRecord) -> Column:
    guides = _guides(quantity, values, record)
    if quantity.kind == "dead":
        return Column(quantity, values, Extent(0.0, 1.0, log=False), guides)
    known = [value for value in values if value is not None]
    extent = _decades(extent_of(known, guides, log=True))
    return Column(quantity, values, extent, tuple(g for g in guides if extent.holds(g.value)))


def _decades(extent: Extent) -> Extent:
    """Return whole decades that hold an axis, two at least, so that its ends are round."""
    low, high = math.floor(math.log10(extent.low)), math.ceil(math.log10(extent.high))
    return Extent(10.0**low, 10.0 ** max(high, low + 2), log=True)


def _guides(
    quantity: Quantity, values: tuple[float | None, ...], record: AuditRecord
) -> tuple[Guide, ...]:
    """Return what the column is read against; limits are those of this audit."""
    match quantity.kind:
        case "activation":
            return (Guide(1.0, "usual"),)
        case "update":
            return (Guide(USUAL_UPDATE, "usual"),)
        case "dead":
            return _limits(record, quantity.check, "dead units in the worst layer")
        case "gradient":
            known = [v for v in values if v is not None and 0 < v < math.inf]
            ends = sorted(known[-max(1, min(ENDS, len(known) // 4)) :])
            last = ends[len(ends) // 2] if ends else math.nan
            fades = _limits(record, quantity.check, "fade from last to first layers")
            return tuple(
                Guide(last / fade.value, f"{fade.value:g} times below the last", fade.severity)
                for fade in fades
                if fade.value > 0 and ends
            )


def _limits(record: AuditRecord, check: str, metric: str) -> tuple[Guide, ...]:
    return tuple(
        guide
        for finding in record.findings
        if finding.check == check
        for measured in finding.metrics
        if measured.name == metric and measured.limit is not None
        for guide in measured.limit.guides()
        if math.isfinite(guide.value)
    )
