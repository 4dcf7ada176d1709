"""Steps of the optimiser that are far too long or too short for the weights.

What it does
------------
Trains a copy for a few steps with the declared optimiser, from fresh weights and from those of the
checkpoint, and measures by what fraction of its norm each step moves each weight.

Why it matters
--------------
A learning rate is only large or small relative to weights and gradients. Steps of a tenth of the
weights and more overwrite in a few dozen steps what was learnt; steps of a millionth go nowhere in
affordable time. Both look like "the model does not learn".

How it is measured
------------------
The ratio is |Δw| / |w| by 2-norms, for tensors of two or more dimensions that do not start at zero:
of those that do (LoRA's second factor, the last layer of a residual branch; biases too) any step is
endlessly long. Each step counts with its median tensor; the figure is the median over steps, with
Student's interval of the logarithms. About 1e-3 is healthy. The first six steps are left out, since
an optimiser without a history behaves differently (from the checkpoint its moments are used where
they are saved, as the plot says), but from fresh weights their geometric mean is judged as well:
steps that are too long blow the weights up, and |w| in the denominator then hides it (with Adam the
ratio ends near 1/t for any learning rate above 1e-2). Too long is judged from either start, too
short from fresh weights alone: a converged checkpoint has small gradients, as it should.

When it misleads
----------------
Steps follow one another, so the interval is somewhat too narrow. The declared learning rate may be
the peak of a schedule, or the end of one. Fresh wide layers show 1e-2 under Adam without harm.
Fine-tuning uses short steps on purpose. Where memory suffices for a part of each batch only (the
summary says so) the gradient is noisier than in training.

What to do
----------
Scale the learning rate by 1e-3 over the ratio found, as the advice does.

Source
------
Karpathy, CS231n notes, "Neural Networks Part 3", ratio of weights to updates: "somewhere around
1e-3"; You, Gitman, Ginsburg 2017 (LARS), section 4, ratios over layers.
"""

from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import column_quantiles, geometric_interval
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.updates import UpdateRatios, UpdateRatiosFrom

CHECKPOINT = UpdateRatiosFrom(start="checkpoint")
FRESH = UpdateRatiosFrom(start="fresh")

TARGET = 1e-3
"""The ratio that the CS231n notes recommend."""

OPENING = 6
"""Steps that count as the opening of a run; half of them where there are fewer than twelve."""

STARTS = {"fresh": "fresh weights", "checkpoint": "the checkpoint"}
JUDGED_BY = {"fresh": ("ratio_high", "ratio_low"), "checkpoint": ("ratio_high",)}

HIGH = (
    "two decades above the 1e-3 of the CS231n notes: at 1e-3 Adam opens with up to 0.04 on layers "
    "of 1,024 units without harm, at 0.1 with 0.3 and more, which replaces them in three steps"
)
LOW = (
    "1.5 and 3 decades below the 1e-3 of the CS231n notes: at 1e-6 a million steps move the "
    "weights by their own size at most"
)


@dataclass(frozen=True)
class Pace:
    """The updates from one start: `steps` is the median tensor's ratio at each step, `typical`
    each tensor's own median; `opening` the geometric mean over the first steps, `ratio` the median
    over the others, in [low, high]. `limits` are those that it is judged by, `ratio_high` first.
    """

    seen: UpdateRatios
    limits: tuple[Limit, ...]
    names: tuple[str, ...]
    steps: Array
    typical: Array
    opening: float
    ratio: float
    low: float
    high: float

    @property
    def start(self) -> str:
        """Return where the steps started, in words."""
        return STARTS[self.seen.start]

    @property
    def verdict(self) -> Verdict:
        """Return the verdict on the ratio, and from fresh weights on the opening."""
        verdicts = [limit.verdict(self.ratio, self.low, self.high) for limit in self.limits]
        if self.seen.start == "fresh":
            verdicts.append(self.limits[0].verdict(self.opening))
        return worst(verdicts)


@check(
    title="Updates have a healthy size",
    failure_title="Updates are far too large or too small",
    needs=(CHECKPOINT,),
    wants=(FRESH,),
    limits={
        "ratio_high": Limit(warn=0.1, fail=0.3, source=HIGH),
        "ratio_low": Limit(warn=3.2e-5, fail=1e-6, bad="below", source=LOW),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the median update ratio, from the checkpoint's weights and from fresh ones."""
    answers = [answer for answer in (seen.get(FRESH), seen[CHECKPOINT]) if answer is not None]
    lost = [answer for answer in answers if not np.isfinite(answer.losses).all()]
    if lost:
        return _diverged(lost[0])
    paces = [pace for answer in answers if (pace := _pace(answer, limits)) is not None]
    if not paces:
        return Judgement(
            Verdict.NOT_APPLICABLE, "No step was measured of a weight matrix that starts off zero."
        )
    top = max(paces, key=lambda pace: SEVERITY[pace.verdict])
    still = _still(paces) if top.verdict is not Verdict.FAIL else []
    verdict = worst((top.verdict, Verdict.WARN if still else Verdict.PASS))
    summary = [_moved(pace) for pace in paces]
    if seen.get(FRESH) is None:
        why = f"which takes fresh weights: {seen.missing(FRESH) or 'not asked for'}"
        summary.append(f"Whether steps are too short was not judged, {why}.")
    opened = top.opening > 2 * top.ratio and _beyond(top.opening, top.limits[:1])
    if opened and top.verdict is not Verdict.PASS:
        first = f"Its first steps moved it by {top.opening:.2g} each"
        summary.append(f"{first}, which made the weights larger and the later ratios smaller.")
    if still:
        summary.append(f"{counted(len(still), 'weight')} did not move at all: {listed(still, 3)}.")
    return Judgement(
        verdict,
        " ".join(summary),
        metrics=tuple(metric for pace in paces for metric in _metrics(pace)),
        where=_where(paces, still),
        advice=() if verdict is Verdict.PASS else _advice(top, still),
        figures=_figures(paces),
    )


def _moved(pace: Pace) -> str:
    note = f" From {pace.start} {clean_text(pace.seen.note)}." if pace.seen.note else ""
    optimizer = clean_text(pace.seen.optimizer)
    if pace.ratio == 0:
        return f"From {pace.start} {optimizer} does not move the median weight at all.{note}"
    interval = f"95 % interval {pace.low:.2g} to {pace.high:.2g}"
    moves = f"moves the median weight by {pace.ratio:.2g} of its norm ({interval})"
    return f"From {pace.start} a step of {optimizer} {moves}.{note}"


def _metrics(pace: Pace) -> tuple[Metric, ...]:
    """Return the ratio with the limit that it is beyond, if any, and that of the opening."""
    limit = next((own for own in pace.limits if _beyond(pace.ratio, (own,))), pace.limits[-1])
    first = pace.limits[0] if pace.seen.start == "fresh" else None
    name = f"update ratio of the first steps from {pace.start}"
    return (
        Metric(f"update ratio from {pace.start}", pace.ratio, "", pace.low, pace.high, limit),
        Metric(name, pace.opening, limit=first),
    )


def _pace(answer: UpdateRatios, limits: Limits) -> Pace | None:
    ratios = np.asarray(answer.ratios, float)
    measured = np.isfinite(ratios[:1]).any(axis=0)
    columns = np.flatnonzero(measured & (np.asarray(answer.dimensions) >= 2))
    if not columns.size:
        return None
    ratios = np.where(np.isfinite(ratios), ratios, np.nan)[:, columns]
    steps = np.nan_to_num(column_quantiles(ratios.T, (0.5,))[0])
    first = min(OPENING, len(steps) // 2)
    ratio = float(np.median(steps[first:]))
    _, low, high = geometric_interval(steps[first:])
    return Pace(
        answer,
        tuple(limits[name] for name in JUDGED_BY[answer.start]),
        tuple(clean_text(answer.parameters[place]) for place in columns),
        steps,
        np.nan_to_num(column_quantiles(ratios[first:], (0.5,))[0]),
        float(np.nan_to_num(geometric_interval(steps[:first])[0])),
        ratio,
        min(ratio, low) if ratio > 0 else 0.0,
        max(ratio, high) if ratio > 0 else 0.0,
    )


def _beyond(ratio: float, limits: tuple[Limit, ...]) -> bool:
    return any(limit.verdict(ratio) is not Verdict.PASS for limit in limits)


def _still(paces: list[Pace]) -> list[str]:
    """Return the tensors that did not move from a start from which others did."""
    moving = [pace for pace in paces if pace.typical.any()]
    return sorted({p.names[place] for p in moving for place in np.flatnonzero(p.typical == 0)})


def _where(paces: list[Pace], still: list[str]) -> tuple[Place, ...]:
    """Return the tensors that did not move and those beyond a limit, farthest from 1e-3 first."""
    found = [
        (-abs(np.log(ratio / TARGET)), name, f"moves by {ratio:.2g} a step from {pace.start}")
        for pace in paces
        for name, ratio in zip(pace.names, pace.typical, strict=True)
        if ratio > 0 and _beyond(float(ratio), pace.limits)
    ]
    rows = [(name, "did not move") for name in still] + [row[1:] for row in sorted(found)]
    return tuple(Place("parameter", name, note) for name, note in rows)


def _diverged(answer: UpdateRatios) -> Judgement:
    step = int(np.argmin(np.isfinite(answer.losses)))
    start, rate = STARTS[answer.start], answer.learning_rate
    summary = f"With {start} the loss is not finite before any step is made."
    advice = (
        "The learning rate has no part in this: look for NaN or infinity in the weights, inputs "
        "and targets, then for a logarithm or division in the loss."
    )
    if step:
        when = f"step {step + 1} of {len(answer.losses):,} with {clean_text(answer.optimizer)}"
        summary = f"From {start} the loss was no longer finite at {when}."
        advice = f"Try a learning rate of `{rate / 10:.2g}`, then `{rate / 100:.2g}`."
    return Judgement(
        Verdict.FAIL,
        summary,
        metrics=(Metric("steps made before the loss broke", step),),
        where=(Place("setting", "training.optimizer.lr", f"{rate:g}"),) if step else (),
        advice=(advice,),
    )


def _advice(pace: Pace, still: list[str]) -> tuple[str, ...]:
    lines = []
    if pace.ratio == 0:
        lines.append(
            "Make sure that `optimizer.step()` sees the model's own parameters, that they require "
            "gradients, and that these are neither zero nor too small for the weights' precision."
        )
    elif pace.verdict is not Verdict.PASS:
        ratio = max(pace.ratio, pace.opening) if pace.seen.start == "fresh" else pace.ratio
        aim = pace.seen.learning_rate * TARGET / ratio
        side = "down" if ratio > TARGET else "up"
        warm = ", or a warm-up where only the start is rough" if side == "down" else ""
        lines.append(
            f"Bring the learning rate of {clean_text(pace.seen.optimizer)} {side} from "
            f"`{pace.seen.learning_rate:g}` to about `{aim:.2g}`, which moves the median weight by "
            f"1e-3 a step; try `{aim / 3:.2g}` and `{aim * 3:.2g}` as well{warm}."
        )
    if still:
        lines.append(
            f"Make sure that `{still[0]}` is among the optimiser's parameters and used in "
            "`forward`, or freeze it with `requires_grad_(False)`. If it is, its gradient is zero "
            "(a dead layer, `detach()`), or its steps underflow: too small for its precision."
        )
    return tuple(lines)


def _figures(paces: list[Pace]) -> tuple[Figure, ...]:
    guides = [
        (Guide(TARGET, "healthy: 1e-3"), *(line for own in pace.limits for line in own.guides()))
        for pace in paces
    ]
    moments = " The optimiser's moments from the checkpoint were used."
    restored = moments if any(pace.seen.restored for pace in paces) else ""
    over_steps = Lines(
        title="Update ratio over steps",
        caption=f"Median over weights of |Δw| / |w|, step by step.{restored}",
        x_label="step",
        y_label="|Δw| / |w|",
        series=tuple(
            Series(f"from {p.start}", tuple(np.arange(1.0, len(p.steps) + 1)), tuple(p.steps))
            for p in paces
        ),
        guides=max(guides, key=len),
        y_log=True,
    )
    bars = tuple(
        Bars(
            title=f"Update ratio of each weight from {pace.start}",
            caption="Median over steps after the opening of |Δw| / |w|, in the model's own order.",
            label="|Δw| / |w|",
            labels=pace.names[:60],
            values=tuple(pace.typical[:60]),
            marked=tuple(bool(r == 0) or _beyond(r, pace.limits[:1]) for r in pace.typical[:60]),
            guides=lines,
            log=True,
        )
        for pace, lines in zip(paces, guides, strict=True)
    )
    return (over_steps, *bars)
