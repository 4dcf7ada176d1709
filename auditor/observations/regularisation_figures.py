"""Figures of regularisation against the data."""

import numpy as np

from auditor.core.figure import Bars, Figure, Guide, Lines, Series, Table
from auditor.core.foremost import foremost, how_many, reading_order
from auditor.core.statistics import mean_interval
from auditor.core.values import Array
from auditor.observations.regularisation import Regularisation, Released


def figures_of(found: Regularisation) -> tuple[Figure, ...]:
    """Return the pulls by parameter, and what freed copies gain; nothing where nothing pulls."""
    if not found.penalised.any():
        return ()
    figures: list[Figure] = [_pulls(found)]
    if found.released is not None:
        figures.insert(0, _line(found.released))
    return (*figures, _table(found))


def _unit(found: Regularisation) -> str:
    return "full steps" if found.decoupled and not found.terms else "times the data's gradient"


def _pulls(found: Regularisation) -> Bars:
    pulls = found.pulls(fresh=found.has_factory)
    shown = [i for i in range(len(pulls)) if pulls[i] > 0]
    places = [shown[i] for i in foremost([float(pulls[i]) for i in shown])]
    where = "On a fresh network" if found.has_factory else "At the checkpoint"
    return Bars(
        title="Pull of regularisation",
        caption=f"{where}, parameters in the model's order, in {_unit(found)}: at 1 it pulls as "
        "hard as the data; marked ones do so and have a scale that matters."
        f"{how_many(len(places), len(shown), 'parameters')}",
        label=f"pull ({_unit(found)})",
        labels=tuple(found.parameters[i] for i in places),
        values=tuple(float(pulls[i]) for i in places),
        marked=tuple(bool(pulls[i] >= 1 and not found.free[i]) for i in places),
        guides=(Guide(1.0, "as hard as the data"),),
        log=True,
    )


def _line(released: Released) -> Lines:
    bands = [mean_interval(row) for row in released.losses]
    means = [float(np.mean(row)) for row in released.losses]
    finite = [i for i, m in enumerate(means) if np.isfinite(m)]
    return Lines(
        title="What regularisation holds back",
        caption=f"Validation {released.measure} from the copy trained with regularisation (0) "
        f"through that without (1), {released.steps} steps each, and beyond; the band holds the "
        "mean at 95 %. Where it falls, regularisation is what held it up.",
        x_label="along the line from the copy with regularisation to the one without",
        y_label=f"validation {released.measure}",
        series=(
            Series(
                "loss",
                tuple(float(released.times[i]) for i in finite),
                tuple(means[i] for i in finite),
                tuple(bands[i][0] for i in finite),
                tuple(bands[i][1] for i in finite),
            ),
        ),
    )


def _table(found: Regularisation) -> Table:
    here, fresh = found.pulls(fresh=False), found.pulls(fresh=True) if found.has_factory else None
    ranks = np.nan_to_num(fresh if fresh is not None else here, nan=-1.0)
    order, said = reading_order(ranks.tolist())
    inside = found.hidden + (
        0.0 if found.decoupled else np.nan_to_num(found.decays) * found.weights
    )
    return Table(
        title="Data against regularisation, by parameter",
        caption=f"Norms over {found.batches} batches of {found.split} data at the checkpoint; "
        f"pulls in {_unit(found)}. Scale: whether the weight's size changes anything.{said}",
        columns=(
            "parameter",
            "decay",
            "|w|",
            "data gradient",
            "penalty gradient",
            "pull",
            "fresh pull",
            "scale",
        ),
        rows=tuple(
            (
                found.parameters[i],
                _number(found.decays, i),
                float(found.weights[i]),
                float(found.data[i]),
                float(inside[i]),
                _number(here, i),
                None if fresh is None else _number(fresh, i),
                "does nothing" if found.free[i] else "counts",
            )
            for i in order
        ),
    )


def _number(values: Array, place: int) -> float | None:
    value = float(values[place])
    return value if np.isfinite(value) else None
