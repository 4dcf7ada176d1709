"""Steps of the optimiser that are far too long or too short for the weights.

What it does
------------
Trains a copy for a few steps with the declared optimiser, from fresh weights and from those of the
checkpoint, and measures by what fraction of its norm each step moves each weight.

Why it matters
--------------
A learning rate is only large or small relative to weights and gradients. Steps of a tenth of the
weights and more overwrite in a few dozen steps what was learnt; steps of a millionth go nowhere in
any affordable time. Both look like "the model does not learn".

How it is measured
------------------
The ratio is |Δw| / |w| by 2-norms, for tensors of two or more dimensions (biases start at zero).
Each step counts with its median tensor; the figure is the median over steps, with Student's
interval of the logarithms. About 1e-3 is healthy. The first six steps are left out, since an
optimiser without a history behaves differently, but from fresh weights their geometric mean is
judged as well: steps that are too long blow the weights up, and |w| in the denominator then hides
it (with Adam the ratio ends near 1/t for any learning rate above 1e-2). Too long is judged from
either start, too short from fresh weights alone: a converged checkpoint has small gradients, which
is how it should be.

When it misleads
----------------
Steps follow one another, so the interval is somewhat too narrow. The declared learning rate may be
the peak of a schedule with a warm-up, or the end of one. Adam moves each value by about the
learning rate at first, whatever the gradient: fresh wide layers show 1e-2 and more without harm.
Fine-tuning uses short steps on purpose.

What to do
----------
Scale the learning rate by 1e-3 over the ratio found; the advice gives the number. Try a third and
three times that.

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


@dataclass(frozen=True)
class Pace:
    """The updates from one start.

    `steps` is the median tensor's ratio at each step; `opening` the geometric mean over the first
    ones; `ratio` the median over the others, in [low, high]; `typical` each tensor's own median.
    """

    seen: UpdateRatios
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
        return "fresh weights" if self.seen.start == "fresh" else "the checkpoint"


@check(
    title="Updates have a healthy size",
    failure_title="Updates are far too large or too small",
    needs=(CHECKPOINT,),
    wants=(FRESH,),
    limits={
        "ratio_high": Limit(
            warn=0.1,
            fail=0.3,
            source="two decades above the 1e-3 of the CS231n notes: at its default of 1e-3 Adam "
            "opens with up to 0.04 on layers of 1,024 units without harm, at 0.1 with 0.3 and "
            "more, which replaces the weights in three steps",
        ),
        "ratio_low": Limit(
            warn=3.2e-5,
            fail=1e-6,
            bad="below",
            source="1.5 and 3 decades below the 1e-3 of the CS231n notes: at 1e-6 a million steps "
            "move the weights by their own size at most",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the median update ratio, from the checkpoint's weights and from fresh ones."""
    answers = [answer for answer in (seen.get(FRESH), seen[CHECKPOINT]) if answer is not None]
    lost = [answer for answer in answers if not np.isfinite(answer.losses).all()]
    if lost:
        return _diverged(lost[0])
    paces = [pace for answer in answers if (pace := _pace(answer)) is not None]
    if not paces:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No step moved a weight of two or more dimensions that could be measured.",
        )
    verdicts = {pace.start: _verdict(pace, limits) for pace in paces}
    top = max(paces, key=lambda pace: SEVERITY[verdicts[pace.start]])
    verdict = verdicts[top.start]
    still = sorted(
        {name for p in paces for name in _still(p)} if verdict is not Verdict.FAIL else ()
    )
    if still:
        verdict = worst((verdict, Verdict.WARN))
    summary = " ".join(
        f"From {pace.start} a step of {clean_text(pace.seen.optimizer)} moves the median weight by "
        f"{pace.ratio:.2g} of its norm (95 % interval {pace.low:.2g} to {pace.high:.2g})."
        if pace.ratio > 0
        else f"From {pace.start} {clean_text(pace.seen.optimizer)} does not move the median weight "
        "at all."
        for pace in paces
    )
    if seen.get(FRESH) is None:
        summary += (
            " Whether steps are too short was not judged, which takes fresh weights: "
            f"{seen.missing(FRESH) or 'not asked for'}."
        )
    if top.opening > 2 * top.ratio and verdicts[top.start] is not Verdict.PASS:
        summary += (
            f" Its first steps moved it by {top.opening:.2g} each, which made the weights larger "
            "and the later ratios smaller."
        )
    if still:
        summary += f" {counted(len(still), 'weight')} did not move at all: {listed(still, 3)}."
    return Judgement(
        verdict,
        summary,
        metrics=(
            *(
                Metric(
                    f"update ratio from {pace.start}", pace.ratio, "", pace.low, pace.high, limit
                )
                for pace in paces
                for limit in _judged_by(pace, limits)[-1:]
            ),
            *(
                Metric(
                    f"update ratio of the first steps from {pace.start}",
                    pace.opening,
                    limit=limits["ratio_high"] if pace.seen.start == "fresh" else None,
                )
                for pace in paces
            ),
        ),
        where=(
            *(Place("parameter", name, "did not move") for name in still or _all_still(paces)),
            *_outliers(paces, limits),
        ),
        advice=() if verdict is Verdict.PASS else _advice(top, still, verdicts[top.start]),
        figures=_figures(paces, limits),
    )


def _pace(answer: UpdateRatios) -> Pace | None:
    columns = [place for place, count in enumerate(answer.dimensions) if count >= 2]
    ratios = np.asarray(answer.ratios, float)
    if not columns or not ratios.size:
        return None
    ratios = np.where(np.isfinite(ratios), ratios, np.nan)[:, columns]
    known = ~np.isnan(ratios).all(axis=0)
    if not known.any():
        return None
    names = [clean_text(answer.parameters[place]) for place in columns]
    steps = np.nan_to_num(column_quantiles(ratios[:, known].T, (0.5,))[0])
    first = min(OPENING, len(steps) // 2)
    opening = geometric_interval(steps[:first])[0]
    ratio = float(np.median(steps[first:]))
    _, low, high = geometric_interval(steps[first:])
    return Pace(
        answer,
        tuple(name for name, there in zip(names, known, strict=True) if there),
        steps,
        np.nan_to_num(column_quantiles(ratios[first:, known], (0.5,))[0]),
        opening if np.isfinite(opening) else 0.0,
        ratio,
        min(ratio, low) if ratio > 0 else 0.0,
        max(ratio, high) if ratio > 0 else 0.0,
    )


def _judged_by(pace: Pace, limits: Limits) -> tuple[Limit, ...]:
    high, low = limits["ratio_high"], limits["ratio_low"]
    return (high, low) if pace.seen.start == "fresh" else (high,)


def _verdict(pace: Pace, limits: Limits) -> Verdict:
    verdicts = [
        limit.verdict(pace.ratio, pace.low, pace.high) for limit in _judged_by(pace, limits)
    ]
    if pace.seen.start == "fresh":
        verdicts.append(limits["ratio_high"].verdict(pace.opening))
    return worst(verdicts)


def _still(pace: Pace) -> list[str]:
    """Return the tensors that did not move while others did."""
    names = [name for name, ratio in zip(pace.names, pace.typical, strict=True) if ratio == 0]
    return [] if len(names) == len(pace.names) else names


def _all_still(paces: list[Pace]) -> list[str]:
    """Return all tensors where not one moved from any start."""
    moved = any(ratio > 0 for pace in paces for ratio in pace.typical)
    return [] if moved else list(paces[0].names)


def _outliers(paces: list[Pace], limits: Limits) -> list[Place]:
    """Return the tensors whose own ratio is beyond a limit, the farthest from 1e-3 first."""
    found = []
    for pace in paces:
        for name, ratio in zip(pace.names, pace.typical, strict=True):
            beyond = any(
                limit.verdict(float(ratio)) is not Verdict.PASS
                for limit in _judged_by(pace, limits)
            )
            if beyond and ratio > 0:
                place = Place("parameter", name, f"moves by {ratio:.2g} a step from {pace.start}")
                found.append((abs(np.log(ratio / TARGET)), place))
    return [place for _, place in sorted(found, key=lambda item: -item[0])]


def _diverged(answer: UpdateRatios) -> Judgement:
    step = int(np.argmin(np.isfinite(answer.losses)))
    start = "fresh weights" if answer.start == "fresh" else "the checkpoint"
    rate = answer.learning_rate
    return Judgement(
        Verdict.FAIL,
        f"From {start} the loss was no longer finite at step {step + 1} of {len(answer.losses):,} "
        f"with {clean_text(answer.optimizer)}.",
        metrics=(Metric("steps until the loss broke", step + 1),),
        where=(Place("setting", "training.optimizer.lr", f"{rate:g}"),),
        advice=(
            f"Try a learning rate of `{rate / 10:.2g}`, and `{rate / 100:.2g}` if that breaks too; "
            "where the weights or the data hold NaN already, mend these first.",
        ),
    )


def _advice(pace: Pace, still: list[str], verdict: Verdict) -> tuple[str, ...]:
    lines = []
    rate = pace.seen.learning_rate
    if pace.ratio == 0:
        lines.append(
            "No weight moves at all: make sure that `optimizer.step()` sees the model's own "
            "parameters, that they require gradients, and that the loss depends on them."
        )
    elif verdict is not Verdict.PASS:
        ratio = max(pace.ratio, pace.opening) if pace.seen.start == "fresh" else pace.ratio
        aim = rate * TARGET / ratio
        side = "down" if ratio > TARGET else "up"
        lines.append(
            f"Bring the learning rate of {clean_text(pace.seen.optimizer)} {side} from "
            f"`{rate:g}` to about `{aim:.2g}`, which moves the median weight by 1e-3 a step; try "
            f"`{aim / 3:.2g}` and `{aim * 3:.2g}` as well."
        )
        if side == "down":
            lines.append("If only the start is rough, warm up over the first few hundred steps.")
    if still:
        lines.append(
            f"Make sure that `{still[0]}` is among the optimiser's parameters and used in "
            "`forward`, or freeze it on purpose with `requires_grad_(False)`."
        )
    return tuple(lines)


def _figures(paces: list[Pace], limits: Limits) -> tuple[Figure, ...]:
    lines = (Guide(TARGET, "healthy: 1e-3"), *limits["ratio_high"].guides())
    low = limits["ratio_low"].guides() if any(p.seen.start == "fresh" for p in paces) else ()
    over_steps = Lines(
        title="Update ratio over steps",
        caption="Median over weights of |Δw| / |w|, step by step.",
        x_label="step",
        y_label="|Δw| / |w|",
        series=tuple(
            Series(
                f"from {pace.start}",
                tuple(float(step + 1) for step in range(len(pace.steps))),
                tuple(pace.steps),
            )
            for pace in paces
        ),
        guides=(*lines, *low),
        y_log=True,
    )
    bars = tuple(
        Bars(
            title=f"Update ratio of each weight from {pace.start}",
            caption="Median over steps after the opening of |Δw| / |w|, in the model's own order.",
            label="|Δw| / |w|",
            labels=pace.names[:60],
            values=tuple(pace.typical[:60]),
            marked=tuple(
                bool(ratio == 0) or limits["ratio_high"].verdict(float(ratio)) is not Verdict.PASS
                for ratio in pace.typical[:60]
            ),
            guides=lines if pace.seen.start == "checkpoint" else (*lines, *low),
            log=True,
        )
        for pace in paces
    )
    return (over_steps, *bars)
