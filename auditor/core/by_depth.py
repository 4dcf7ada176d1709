"""The figure that many checks share: a quantity of each layer's output, by depth."""

import numpy as np

from auditor.core.figure import Guide, Lines, Series
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text
from auditor.core.values import Array


def by_depth(
    values: Array, layers: tuple[str, ...], quantity: str, guides: tuple[Guide, ...]
) -> Lines | None:
    """Return `values` [batches, layers] relative to the last layers', None for fewer than two.

    The line is the median over batches, the band holds four batches in five.
    """
    low, typical, high = column_quantiles(values)
    known = np.flatnonzero(np.isfinite(typical) & (typical > 0))
    if len(known) < 2:
        return None
    ends = max(1, min(5, len(known) // 4))
    last = float(np.median(typical[known[-ends:]]))
    return Lines(
        title=f"The {quantity} by depth",
        caption=f"Norm of the {quantity} at each layer's output relative to the last layers', "
        "median over batches; the band holds four batches in five.",
        x_label="layer, in the order of execution",
        y_label=f"{quantity}, relative to the last layers",
        series=(
            Series(
                quantity,
                tuple(float(place) for place in known),
                tuple(typical[known] / last),
                tuple(low[known] / last),
                tuple(high[known] / last),
            ),
        ),
        guides=guides,
        x_names=tuple(clean_text(layer) for layer in layers),
        y_log=True,
    )
