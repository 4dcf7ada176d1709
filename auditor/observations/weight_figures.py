"""What a report shows of the weights: ranks, spectra, and all numbers in a table."""

from auditor.core.check import Limits
from auditor.core.figure import Bars, Figure, Lines, Series, Table
from auditor.core.foremost import foremost, how_many
from auditor.core.spectrum import random_spectrum, stable_rank, tail_exponent
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.weight_faults import SHORTEST, label
from auditor.observations.weight_matrices import WeightMatrix

SHOWN = 3
"""Spectra in the plot, each beside a random one."""


def figures_of(finite: list[WeightMatrix], limits: Limits) -> tuple[Figure, ...]:
    """Return ranks by layer, the lowest spectra beside random ones, and a table."""
    ranked = [m for m in finite if min(m.sketch) >= SHORTEST]
    figures: list[Figure] = []
    if ranked:
        shown = foremost([-m.relative_rank for m in ranked])
        bars = [ranked[place] for place in shown]
        figures.append(
            Bars(
                title="Effective rank by layer",
                caption="Over that of random entries of the same shape, in the order of "
                f"definition; low bars are collapsed.{how_many(len(bars), len(ranked))}",
                label="effective rank, relative to random",
                labels=tuple(clean_text(label(m)) for m in bars),
                values=tuple(m.relative_rank for m in bars),
                marked=tuple(
                    limits["relative_rank"].verdict(m.relative_rank) is not Verdict.PASS
                    for m in bars
                ),
                guides=limits["relative_rank"].guides(),
            )
        )
        low = sorted(ranked, key=lambda m: m.relative_rank)[:SHOWN]
        low = [m for m in low if m.singular.max(initial=0.0) > 0]
        if low:
            figures.append(_spectra(low))
    figures += [_units(finite), _ranks(finite)]
    return tuple(figures)


def _spectra(matrices: list[WeightMatrix]) -> Lines:
    series = []
    for matrix in matrices:
        name = clean_text(label(matrix), 40)
        random = random_spectrum(*matrix.sketch)
        places = sorted({round(len(random) ** (k / 63)) for k in range(64)} | {len(random)})
        x = tuple(float(place) for place in places)
        own = [float(matrix.singular[place - 1]) / matrix.rms for place in places]
        floor = max(own) * 1e-8
        series.append(Series(name, x, tuple(max(value, floor) for value in own)))
        series.append(Series(f"random, as {name}", x, tuple(random[p - 1] for p in places)))
    return Lines(
        title="Spectra of the lowest ranks",
        caption="Singular values over the root mean square of the weights, beside those of random "
        "entries; a line that falls away early has few directions.",
        x_label="singular value, by size",
        y_label="singular value",
        series=tuple(series),
        x_log=True,
        y_log=True,
    )


def _units(finite: list[WeightMatrix]) -> Table:
    return Table(
        title="Units of each weight",
        caption="Rows that are zero, that hold one value and that copy another up to sign and "
        "scale, and the share of values that are exactly zero.",
        columns=("weight", "shape", "units", "zero", "constant", "copies", "zeros"),
        rows=tuple(
            (
                clean_text(label(m)),
                m.shape,
                m.units,
                m.zero_units,
                m.constant_units,
                m.duplicates,
                m.zero_share,
            )
            for m in finite
        ),
    )


def _ranks(finite: list[WeightMatrix]) -> Table:
    def row(m: WeightMatrix) -> tuple[str | int | float | None, ...]:
        least, most = m.singular.min(initial=float("inf")), m.singular.max(initial=0.0)
        return (
            clean_text(label(m)) + (" *" if m.sketched else ""),
            m.rank,
            m.effective_rank,
            m.relative_rank,
            stable_rank(m.singular),
            float(most / least) if least > most * 1e-8 else None,
            tail_exponent(m.singular),
        )

    sketched = [m for m in finite if m.sketched]
    size = "x".join(map(str, sketched[0].sketch)) if sketched else ""
    return Table(
        title="Spectrum of each weight",
        caption="Relative is over the effective rank of random entries; condition the largest over "
        "the smallest singular value, none where that is zero; α the exponent of a power law "
        "fitted to the tail, for information."
        + (f" * From a random sketch, such as {size}." if sketched else ""),
        columns=("weight", "rank", "effective", "relative", "stable", "condition", "α"),
        rows=tuple(row(m) for m in finite),
    )
