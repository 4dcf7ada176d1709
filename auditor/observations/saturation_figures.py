"""What shows saturation: layers and heads, foremost the worst, and a table of all ends."""

import numpy as np

from auditor.core.check import Limits
from auditor.core.figure import Bars, Figure, Table
from auditor.core.foremost import foremost, how_many
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.saturated_layers import Layer, stuck_high, stuck_low, verdict_on
from auditor.observations.saturation import AttentionLayer


def figures_of_saturation(
    layers: list[Layer], heads: list[AttentionLayer], limits: Limits
) -> tuple[Figure, ...]:
    """Return saturated values by layer, all ends of ranges, and entropy by head."""
    figures: list[Figure] = []
    if layers:
        shown = [layers[i] for i in foremost([layer.saturated for layer in layers])]
        figures.append(
            Bars(
                title="Saturated values by layer",
                caption="Share of each layer's values within 1 % of an end of their range, gates "
                "of one layer taken together." + how_many(len(shown), len(layers)),
                label="share of values that are saturated",
                labels=tuple(layer.name for layer in shown),
                values=tuple(layer.saturated for layer in shown),
                low=tuple(layer.low for layer in shown),
                high=tuple(layer.high for layer in shown),
                marked=tuple(verdict_on(layer, limits) is not Verdict.PASS for layer in shown),
                guides=limits["saturated_share"].guides(),
            )
        )
        rows = [
            (
                layer.name,
                part.gate or part.kind,
                part.units,
                _rounded(part.low.mean() / part.count),
                _rounded(part.high.mean() / part.count),
                int(np.count_nonzero(stuck_low(part) | stuck_high(part))),
                _rounded(part.slope.mean() / part.count),
            )
            for layer in layers
            for part in layer.parts
        ]
        figures.append(
            Table(
                title="Ends of the range",
                caption="Share of values at the lower and the upper end, units always at one end, "
                "and the mean slope relative to the steepest.",
                columns=("layer", "function", "units", "lower", "upper", "stuck", "slope"),
                rows=tuple(rows),
            )
        )
    if heads:
        named = [
            (f"{clean_text(a.layer)}, head {head}", float(value))
            for a in heads
            for head, value in enumerate(a.entropy / a.queries)
        ]
        kept = [named[i] for i in foremost([abs(value - 0.5) for _, value in named])]
        figures.append(
            Bars(
                title="Entropy of attention by head",
                caption="0 is one key for every query, 1 is all visible keys alike."
                + how_many(len(kept), len(named), "heads"),
                label="entropy over that of even attention",
                labels=tuple(name for name, _ in kept),
                values=tuple(value for _, value in kept),
            )
        )
    return tuple(figures)


def _rounded(value: float) -> float:
    return float(f"{float(value):.3g}")
