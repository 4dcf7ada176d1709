"""Figures of dropout: where it is, and copies with and without it."""

import numpy as np

from auditor.core.figure import Figure, Lines, Series, Table
from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.observations.dropout import Dropout, WithoutDropout

_REMARKS = {
    "input": "on inputs",
    "output": "on outputs",
    "idle": "no effect: one layer",
    "unused": "never ran",
}


def figures_of(found: Dropout) -> tuple[Figure, ...]:
    """Return the places that drop, and the race where there was one."""
    figures: list[Figure] = [
        Table(
            title="Where the model drops",
            caption="In the order of execution. A rate is the share that is set to zero.",
            columns=("module", "kind", "rate", "in training", "in evaluation", "remark"),
            rows=tuple(
                (
                    site.layer,
                    site.kind,
                    site.rate,
                    "on" if site.training else "off",
                    "on" if site.evaluation else "off",
                    _REMARKS.get(site.at, ""),
                )
                for site in found.sites
            ),
        )
    ]
    if found.raced is not None:
        figures.append(_race(found.raced))
    return tuple(figures)


def _race(raced: WithoutDropout) -> Lines:
    def series(name: str, table: Array) -> Series:
        pairs = tuple(float(number) for number in range(1, len(table) + 1))
        bands = [mean_interval(row) for row in table]
        return Series(
            name,
            pairs,
            tuple(float(np.mean(row)) for row in table),
            tuple(low for low, _ in bands),
            tuple(high for _, high in bands),
        )

    return Lines(
        title="Copies with dropout and without",
        caption=f"{raced.measure} after {raced.steps} steps from the checkpoint, dropout off, by "
        "pair of copies; bands hold the mean at 95 %.",
        x_label="pair of copies",
        y_label=raced.measure,
        series=(
            series("training, with", raced.train_with),
            series("training, without", raced.train_without),
            series("validation, with", raced.val_with),
            series("validation, without", raced.val_without),
        ),
    )
