"""The curve of how well a batch knows the gradient of all data, and its table."""

from collections.abc import Sequence

from auditor.core.figure import Cell, Figure, Lines, Series, Table
from auditor.observations.gradient_noise import GradientNoise, Scale, agreements, scale_of

SIZES = tuple(2**power for power in range(15))
"""Batch sizes along the curve."""


def noise_figures(looks: Sequence[GradientNoise], batch: int | None) -> tuple[Figure, ...]:
    """Return the model's curve with its band and measured points, for each set of weights."""
    here = f" The batch of training holds {batch:,}." if batch else ""
    curve = Lines(
        title="How well one batch knows the way",
        caption="Cosine between the gradient of a batch and that of all data: 1 / √(1 + N / B) "
        f"with its 95 % band, and as measured between groups of pieces.{here}",
        x_label="batch size (examples)",
        y_label="cosine",
        series=tuple(line for look in looks for line in _lines(look, batch)),
        x_log=True,
    )
    table = Table(
        title="Signal and noise by batch size",
        caption="The signal-to-noise ratio is the batch size over the noise scale.",
        columns=("weights", "batch", "", "cosine", "measured", "signal to noise"),
        rows=tuple(row for look in looks for row in _rows(look, batch)),
    )
    return curve, table


def _lines(look: GradientNoise, batch: int | None) -> tuple[Series, Series]:
    scale = scale_of(look)
    worst, best = (Scale(bound, bound, bound, 0.0) for bound in (scale.high, scale.low))
    sizes = _with(SIZES, batch)
    points = agreements(look)
    return (
        Series(
            f"model, {look.weights}",
            tuple(map(float, sizes)),
            tuple(scale.cosine(size) for size in sizes),
            tuple(worst.cosine(size) for size in sizes),
            tuple(best.cosine(size) for size in sizes),
        ),
        Series(
            f"measured, {look.weights}",
            tuple(float(size) for size, _ in points),
            tuple(cosine for _, cosine in points),
        ),
    )


def _rows(look: GradientNoise, batch: int | None) -> list[tuple[Cell, ...]]:
    scale, measured = scale_of(look), dict(agreements(look))
    return [
        (
            look.weights,
            size,
            "in training" if size == batch else "",
            scale.cosine(size),
            measured.get(size),
            size / scale.value if scale.value > 0 else None,
        )
        for size in _with((*SIZES[::2], *measured), batch)
    ]


def _with(sizes: Sequence[int], batch: int | None) -> list[int]:
    return sorted({*sizes, *([batch] if batch else [])})
