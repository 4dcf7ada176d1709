"""What is said of gradients through time: by the check on vanishing ones and on exploding ones."""

from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.figure import Figure, Guide, Lines, Series
from auditor.core.finding import Limit, Metric, Place
from auditor.core.foremost import foremost, how_many
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict, worst
from auditor.observations.through_time import Pace, Reach, ThroughTime, pace_of

LEARNT = 0.5
"""Share of fresh weights' loss below which a model has learnt its task, whatever it can't see."""

MOST_LINES = 6
"""Layers whose curves can be told from one another in one plot."""


@dataclass(frozen=True)
class TimeCourse:
    """The part of a judgement that is about time; empty where nothing is recurrent."""

    verdict: Verdict = Verdict.PASS
    undecided: bool = False
    sentences: tuple[str, ...] = ()
    metrics: tuple[Metric, ...] = ()
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()


def fading(seen: ThroughTime | None, fresh: ThroughTime | None, limit: Limit) -> TimeCourse:
    """Judge whether the gradient dies out on its way back through time.

    It warns where every batch is beyond the limit, and fresh weights are too; a model that has
    learnt its task all the same does without the early steps, which is told and not blamed.
    """
    if seen is None:
        return TimeCourse()
    born = {reach.layer: reach for reach in fresh.reaches} if fresh is not None else {}
    paces = [(reach, pace_of(reach)) for reach in seen.reaches]
    beyond = [(r, p) for r, p in paces if _all_beyond(-np.asarray(r.least, float), limit)]
    confirmed = [
        (reach, pace)
        for reach, pace in beyond
        if reach.layer in born and _all_beyond(-np.asarray(born[reach.layer].least, float), limit)
    ]
    learnt = [(r, p) for r, p in beyond if r.layer in born and (r, p) not in confirmed]
    top = max(confirmed or beyond or paces, key=lambda pair: pair[1].fade[0], default=None)
    if top is None:
        return TimeCourse()
    reach, pace = top
    sentences: tuple[str, ...] = ()
    well = bool(confirmed) and fresh is not None and 0 < seen.loss < LEARNT * fresh.loss
    if beyond:
        sentences = (
            f"Back through the {reach.steps:,} steps of `{clean_text(reach.layer)}` the gradient "
            f"fades by a factor of {_shown(pace.fade[0])}, {_per_step(pace)}"
            + (
                ", with fresh weights as well"
                + (
                    f"; at a loss of {seen.loss:.3g}, fresh ones {fresh.loss:.3g}, the model has "
                    "learnt without the early steps."
                    if well and fresh is not None
                    else "."
                )
                if confirmed
                else "; with fresh weights it does not: these may have learnt to look no further."
                if learnt
                else "; it may have learnt to look no further, as no fresh weights could tell."
            ),
        )
    return TimeCourse(
        verdict=Verdict.WARN if confirmed and not well else Verdict.PASS,
        undecided=bool(beyond) and (well or not (confirmed or learnt)),
        sentences=sentences,
        metrics=(
            Metric("fade through time", pace.fade[0], "times", pace.fade[1], pace.fade[2], limit),
            Metric("gradient kept per time step", pace.rate[0], "times", *pace.rate[1:]),
        ),
        where=tuple(
            Place("layer", clean_text(r.layer), f"fades {_shown(p.fade[0])} times through time")
            for r, p in confirmed
        ),
        advice=_against_fading(reach) if confirmed else (),
        figures=_figure(seen, Guide(1 / limit.warn, f"warn below {1 / limit.warn:g}", "warn"))
        if limit.warn
        else (),
    )


def growing(seen: ThroughTime | None, limit: Limit) -> TimeCourse:
    """Judge whether the gradient grows on its way back through time.

    Of a layer that reads both ways what grows for one direction fades for the other.
    """
    reaches = [reach for reach in seen.reaches if not reach.both_ways] if seen is not None else []
    if seen is None or not reaches:
        return TimeCourse()
    paces = [(reach, pace_of(reach)) for reach in reaches]
    judged = [(limit.verdict(*pace.growth), reach, pace) for reach, pace in paces]
    beyond = [found for found in judged if found[0] is not Verdict.PASS]
    _, reach, pace = max(judged, key=lambda found: found[2].growth[0])
    sentences: tuple[str, ...] = ()
    if beyond:
        sentences = (
            f"Back through the {reach.steps:,} steps of `{clean_text(reach.layer)}` the gradient "
            f"grows by a factor of {_shown(pace.growth[0])}.",
        )
    return TimeCourse(
        verdict=worst((Verdict.PASS, *(verdict for verdict, _, _ in judged))),
        sentences=sentences,
        metrics=(Metric("growth through time", *_with_unit(pace.growth), limit),),
        where=tuple(
            Place("layer", clean_text(r.layer), f"grows {_shown(p.growth[0])} times through time")
            for _, r, p in beyond
        ),
        advice=(
            step(
                f"Initialise the recurrent weights of `{clean_text(reach.layer)}` orthogonally, or "
                "use `nn.LSTM` or `nn.GRU`; clip the gradient's norm, and cut long sequences "
                "(truncated back-propagation through time).",
                _orthogonal(reach),
            ),
        )
        if beyond
        else (),
        figures=_figure(seen) if beyond else (),
    )


def _with_unit(value: tuple[float, float, float]) -> tuple[float, str, float, float]:
    return value[0], "times", value[1], value[2]


def _all_beyond(decades: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]", limit: Limit) -> bool:
    return limit.warn is not None and bool((decades > np.log10(limit.warn)).all())


def _shown(factor: float) -> str:
    return "more than 1e+44" if factor > 1e44 else f"{factor:.2g}"


def _per_step(pace: Pace) -> str:
    value, low, high = pace.rate
    interval = (
        f" (95 % interval {low:.3g} to {high:.3g})" if high > low and np.isfinite(high) else ""
    )
    return f"{value:.3g} times a step{interval}"


def _orthogonal(reach: Reach) -> str:
    """Return code that initialises recurrent weights."""
    return (
        f"for name, p in {snippets.layer(reach.layer)}.named_parameters():\n"
        '    if "weight_hh" in name:\n'
        "        torch.nn.init.orthogonal_(p)"
    )


def _second_gates(reach: Reach, biases: str, value: float) -> str:
    """Return code that sets the biases of the second of a layer's gates."""
    return (
        f"layer = {snippets.layer(reach.layer)}\n"
        "with torch.no_grad():\n"
        "    for name, p in layer.named_parameters():\n"
        f'        if name.startswith("{biases}"):\n'
        f"            p[layer.hidden_size : 2 * layer.hidden_size] = {value}"
    )


def _against_fading(reach: Reach) -> tuple[str, ...]:
    name = clean_text(reach.layer)
    gates = {
        "LSTM": step(
            f"Start the forget gates of `{name}` open, so that its cell remembers: a forget bias "
            "of 1, half of it in each of its two biases.",
            _second_gates(reach, "bias_", 0.5),
        ),
        "GRU": step(
            f"Start the update gates of `{name}` closed, so that its state is kept.",
            _second_gates(reach, "bias_hh", 1.0),
        ),
    }
    return (
        gates.get(
            reach.kind,
            step(
                f"Replace `{name}` ({clean_text(reach.kind)}) by `nn.LSTM` or `nn.GRU`, whose "
                "gates carry the gradient, or initialise its recurrent weights orthogonally.",
                _orthogonal(reach),
            ),
        ),
        f"Let the loss read more than the end of the {reach.steps:,} steps: average the outputs "
        "over the steps, or add attention over them.",
    )


def _figure(seen: ThroughTime, *guides: Guide) -> tuple[Figure, ...]:
    worst_ones = foremost(
        [-float(np.median(r.profile.min(axis=1))) for r in seen.reaches], MOST_LINES
    )
    shown = [seen.reaches[place] for place in worst_ones]
    series = []
    for reach in shown:
        low, typical, high = 10.0 ** column_quantiles(reach.profile)
        x = np.linspace(1, max(reach.steps, 2), len(typical))
        series.append(
            Series(
                clean_text(reach.layer), *(tuple(map(float, v)) for v in (x, typical, low, high))
            )
        )
    return (
        Lines(
            title="Gradients through time",
            caption="A line that falls towards the left fades on its way back to the first steps. "
            f"Median over batches, band of four in five.{how_many(len(shown), len(seen.reaches))}",
            x_label="step of the sequence",
            y_label="gradient, relative to the largest",
            series=tuple(series),
            guides=guides,
            y_log=True,
        ),
    )
