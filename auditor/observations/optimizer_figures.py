"""Figures of the optimizer: the race, the rates tried, the settings, and the moments."""

from collections.abc import Sequence

import numpy as np

from auditor.core.figure import Cell, Lines, Series, Table
from auditor.core.foremost import reading_order
from auditor.core.text import clean_text
from auditor.observations.optimizer_moments import Held
from auditor.observations.optimizer_race import OptimizerRace, Racer
from auditor.observations.optimizer_rules import Hit
from auditor.observations.optimizer_standing import most_progress

SAID = {
    "declared": "as declared",
    "retuned": "declared, best rate",
    "mended": "put right",
    "SGD": "",
    "AdamW": "",
}

VERDICTS = {"info": "worth knowing", "suspect": "has to prove itself", "broken": "broken"}


def race_figure(race: OptimizerRace) -> Lines | None:
    """Return the training loss of each racer by step, with the band of all starts."""
    before = np.asarray(race.before, float)
    if not race.racers or not np.isfinite(before).all():
        return None
    roof = float(before.mean()) + max(most_progress(race), 0.1 * abs(float(before.mean())))
    series = []
    for racer in race.racers:
        losses = np.asarray(racer.losses, float)
        losses = np.minimum(np.where(np.isfinite(losses), losses, np.inf), roof)
        series.append(
            Series(
                _label(racer),
                tuple(range(losses.shape[1])),
                tuple(losses.mean(axis=0).tolist()),
                tuple(losses.min(axis=0).tolist()),
                tuple(losses.max(axis=0).tolist()),
            )
        )
    return Lines(
        title="A race from fresh weights",
        caption=f"Training loss before each step, mean of {len(before):,} starts, the band from "
        "least to largest; all begin with the same weights and see the same batches. Losses above "
        f"{roof:.3g} are drawn there.",
        x_label="step",
        y_label="loss",
        series=tuple(series),
    )


def _label(racer: Racer) -> str:
    said = SAID[racer.kind]
    name = clean_text(racer.name, 48)
    return f"{name} at {racer.rate:.3g}" + (f" ({said})" if said else "")


def rates_table(race: OptimizerRace) -> Table:
    """Return what each rate led to in the search, and how the chosen ones ended."""
    rows: list[tuple[Cell, ...]] = []
    ended: dict[tuple[str, float], float] = {
        (racer.kind, racer.rate): float(np.mean(racer.after)) for racer in race.racers
    }
    for heat in race.heats:
        for place, (rate, loss) in enumerate(zip(heat.rates, heat.losses, strict=True)):
            kinds = (heat.kind, "retuned") if heat.kind == "declared" else (heat.kind,)
            after = next((ended[k, rate] for k in kinds if (k, rate) in ended), None)
            searched: Cell = loss if loss == loss else ("lost" if len(heat.rates) > 1 else None)
            rows.append(
                (
                    clean_text(heat.name, 80),
                    rate,
                    searched,
                    "best" if place == heat.chosen and len(heat.rates) > 1 else "",
                    after if after is None or after == after else "lost",
                )
            )
    return Table(
        title="Rates tried",
        caption=f"Training loss at the end of {race.trial} steps from one start, by which a rate "
        f"was chosen for each; and the held loss after {race.steps} steps, mean of "
        f"{len(race.before):,} other starts, of those that raced (before: "
        f"{float(np.mean(race.before)):.3g}).",
        columns=("optimizer", "rate", "loss in the search", "chosen", "held loss at the end"),
        rows=tuple(rows),
    )


def settings_table(hits: Sequence[Hit], groups: int) -> Table:
    """Return the settings that a rule names, with its source."""
    return Table(
        title="Settings against known practice",
        caption="Each setting that a rule names, the gravest first.",
        columns=("setting", "value", "verdict", "what it does", "advised", "source")
        + (("group",) if groups > 1 else ()),
        rows=tuple(
            (
                hit.rule.setting,
                hit.value,
                VERDICTS[hit.rule.level],
                hit.text,
                hit.rule.advised,
                hit.rule.source,
                *((hit.group,) if groups > 1 else ()),
            )
            for hit in hits
        ),
    )


def moments_table(held: Held) -> Table | None:
    """Return what is kept of each parameter."""
    kept = [one for one in held.moments if one.size]
    if not kept:
        return None
    order, worst_first = reading_order(
        [one.lost / one.size + one.impossible / one.size for one in kept]
    )
    where = f" saved under `{held.where}`" if held.where else ""
    return Table(
        title="Moments of the optimizer",
        caption=f"What the optimizer{where} keeps of past gradients: root mean squares of the "
        "first moment and of the root of the second, and the share of weights for which eps is the "
        f"larger part of what the step is divided by.{worst_first}",
        columns=(
            "parameter",
            "steps",
            "first moment",
            "root of the second",
            "below eps",
            "unusable",
        ),
        rows=tuple(
            (
                clean_text(one.name) or f"number {place + 1}",
                one.step if one.step == one.step else None,
                one.first if one.first == one.first else None,
                one.root if one.root == one.root else None,
                f"{100 * one.frozen:.0f} %" if one.frozen == one.frozen else "",
                one.lost + one.impossible,
            )
            for place, one in ((place, kept[place]) for place in order)
        ),
    )
