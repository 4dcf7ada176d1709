"""A loss that does not fall within a hundred steps from fresh weights.

What it does
------------
Trains fresh models with the declared optimiser for a hundred steps, on the batches as the training
loader yields them, and again at ten times and a tenth of the learning rate.

Why it matters
--------------
A run that is going to work shows it early. A loss that stands still, rises or is lost costs nothing
to find now and days to find later, and most often one number is at fault: the learning rate.

How it is measured
------------------
The loss of up to eight training batches is taken before, half way through and after each run, with
dropout off and batch norm on the statistics of the batch, so that each batch is compared with
itself. The fall is the mean over batches and fresh models as a share of the loss before, with
Student's interval; the verdict uses the interval of 99 %. Where no rate falls by a hundredth, rates
further away are tried. What a constant answer gets is the entropy of the class frequencies, or the
variance or mean absolute deviation of numeric targets. Without a declared optimiser Adam at 1e-3 is
used. Validation data, where there is no other, is mixed first.

When it misleads
----------------
A hundred steps are few for a hard task, so a fall that is small but certain is not held against the
model; a loss that still is that of a constant answer is only where a smaller rate, or one at least
a hundred times larger, leaves it well behind, or where blank inputs give the same to five digits. A
factory that hands out trained weights, or a model that passes its input on to its output, starts
where others end. A schedule that warms up spares a high learning rate its first steps. Where
batches had to be cut, the rate may be too high for what is left of them.

What to do
----------
Take the learning rate that the finding names; if none helps, overfit one batch first.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" ("visualize the training", "learning rate");
Smith 2017, "Cyclical Learning Rates", section 3.3 (short runs to find the range of rates); Bengio
2012, "Practical recommendations", section 3.1.1 (the learning rate as the first thing to tune).
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Guide, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.short_run import SAME, Run, ShortRuns, ShortRunsOver

RUNS = ShortRunsOver()
BLANK = ShortRunsOver(inputs="blank")

SURE = 0.99
KNOWN = 0.5
"""A loss below this share of a constant answer's, before any training, was learnt elsewhere."""
FASTER = 3.0
"""Times by which another rate has to fall faster to be spoken of."""
WELL = 0.9
"""A loss below this share of a constant answer's is well below it."""
SMALL = 0.01
"""A fall below this share of the loss is small enough to look for a better rate."""
LARGER = 100.0
"""Times by which a rate is too small beyond doubt; one ten times too small may be chosen so."""


@dataclass(frozen=True)
class Fall:
    """A share of the loss, with the intervals of 95 and 99 %."""

    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float


@check(
    title="The loss falls in a short run",
    failure_title="The loss does not fall in a short run",
    needs=(RUNS,),
    wants=(BLANK,),
    limits={
        "fall": Limit(
            fail=1e-4,
            bad="below",
            source="share of the loss per hundred steps: at this pace a million steps, more than "
            "most trainings have, would use the loss up; LeNet on CIFAR-10 at its customary rate "
            "starts with 5e-4",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the fall of the loss by its interval, and name a rate that does better."""
    runs = seen[RUNS]
    if any(not np.isfinite(run.probes[0]).all() for run in runs.runs):
        return Judgement(
            Verdict.FAIL,
            "The loss of fresh models is not finite before the first step.",
            where=(Place("setting", "loss", "not finite at the start"),),
            advice=(
                step(
                    "Look for NaN in inputs and targets, then for a logarithm of zero. This names "
                    "the batches:",
                    probes.NOT_FINITE,
                ),
            ),
            figures=_figures(runs),
        )
    lost = [run for run in runs.runs if not run.finite]
    if lost:
        return _lost(runs, lost)
    fall = _fall(runs.runs)
    per_hundred = 100 / runs.steps
    limit = limits["fall"]
    nil = (limit.fail or 0.0) / per_hundred
    before, after = (_mean(runs.runs, look) for look in (0, -1))
    said = (
        f"In {counted(runs.steps, 'step')} of {clean_text(runs.optimizer, 80)} the loss of "
        f"{counted(len(runs.runs), 'fresh model')} goes from {before:.4g} to {after:.4g}, a "
        f"{'fall' if fall.value >= 0 else 'rise'} of {_percent(abs(fall.value))}{_between(fall)}."
    )
    if runs.instead:
        said += f" That is not the declared optimizer: {runs.instead}."
    if runs.note:
        said += f" For want of means {runs.note}."
    better = _better(runs)
    other = _smaller(runs, after) or (_larger(runs, after) if fall.value < SMALL else None)
    verdict = Verdict.PASS
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    if before < KNOWN * runs.constant and fall.sure_low <= nil:
        verdict = Verdict.INFO
        said += (
            f" They start far below what a constant answer gets, {runs.constant:.4g}: the factory "
            "hands out weights that know the task, or the model passes on an input that is nearly "
            "the answer, so whether training works can't be told."
        )
    elif fall.sure_high < nil and runs.note and better is not None and better.factor < 1:
        verdict = Verdict.INFO
        said += f" Smaller batches want a smaller rate. {_remedy(runs, better)}"
    elif fall.sure_high < nil:
        verdict = Verdict.FAIL
        cause, where, advice = _cause(runs, better)
        said += f" {cause}"
    elif other is not None:
        verdict = Verdict.WARN
        said += f" That is no better than a constant answer's, {runs.constant:.4g}. "
        cause, where, advice = _cause(runs, other)
        said += cause
    elif _constant(runs, seen.get(BLANK), after):
        verdict = Verdict.WARN
        said += (
            f" That is no better than a constant answer's, {runs.constant:.4g}, and to five digits "
            "what the same models reach when every input is zero: the answer is all they learn."
        )
        where = (Place("setting", "model.factory", "learns a constant answer only"),)
        if runs.alike:
            said += " All inputs looked at are the same."
            where = (Place("setting", f"data.{runs.split}", "all inputs are the same"),)
        advice = NOT_THE_RATE
    elif fall.sure_low <= nil:
        verdict = Verdict.INFO
        said += " That is too little to tell from standing still."
    elif after > 0.99 * runs.constant and fall.value < 10 * SMALL:
        said += f" That is not yet below a constant answer's, {runs.constant:.4g}."
    if verdict in (Verdict.PASS, Verdict.INFO) and better is not None and fall.value < SMALL:
        said += f" {_remedy(runs, better)}" if better.factor > 1 else ""
    return Judgement(
        verdict,
        said,
        metrics=(
            Metric(
                "fall of the loss per hundred steps",
                fall.value * per_hundred,
                "of the loss",
                fall.low * per_hundred,
                fall.high * per_hundred,
                limit,
            ),
            Metric("loss before", before),
            Metric("loss after", after),
            Metric("loss of a constant answer", runs.constant),
        ),
        where=where,
        advice=advice,
        figures=_figures(runs),
    )


NOT_THE_RATE = (
    step(
        "Overfit one batch (`cannot-overfit-one-batch`): where that fails too, the model or the "
        "loss is at fault, not the optimizer.",
        probes.ONE_BATCH,
    ),
    step(
        "Look whether inputs and targets are in step, and whether the inputs arrive at all, just "
        "before the model:",
        probes.examples_shown("train_loader"),
    ),
)


def _fall(runs: tuple[Run, ...], start: int = 0) -> Fall:
    """Return the fall from look number `start` to the last, as a share of the loss there."""
    before = np.concatenate([np.asarray(run.probes[start], float) for run in runs])
    after = np.concatenate([np.asarray(run.probes[-1], float) for run in runs])
    level = abs(float(before.mean()))
    if not level:
        gone = 0.0 if not after.any() else -math.inf
        return Fall(gone, gone, gone, gone, gone)
    shares = (before - after) / level
    if len(shares) < 2:  # the one batch, compared with itself
        return Fall(*[float(shares.mean())] * 5)
    return Fall(float(shares.mean()), *mean_interval(shares), *mean_interval(shares, SURE))


def _mean(runs: tuple[Run, ...], look: int) -> float:
    return float(np.mean([np.asarray(run.probes[look], float).mean() for run in runs]))


def _better(runs: ShortRuns) -> Run | None:
    """Return the run at another rate that falls most, where that is much more than the usual."""
    usual = max(_fall(runs.runs[:1]).value, 0.0)
    finite = [run for run in runs.others if run.finite]
    best = max(finite, key=lambda run: _fall((run,)).value, default=None)
    if best is None:
        return None
    fall = _fall((best,)).value
    return best if fall > max(FASTER * usual, usual + SMALL / 2) else None


def _remedy(runs: ShortRuns, better: Run) -> str:
    times = f"{better.factor:g} times" if better.factor > 1 else f"1/{1 / better.factor:g} of"
    return (
        f"At {times} the learning rate, {runs.learning_rate * better.factor:.2g}, the same steps "
        f"bring it to {better.probes[-1].mean():.4g}."
    )


def _cause(runs: ShortRuns, better: Run | None) -> tuple[str, tuple[Place, ...], tuple[str, ...]]:
    """Return why the loss does not fall, where that is, and what to do."""
    if better is not None:
        rate = runs.learning_rate * better.factor
        size = "small" if better.factor > 1 else "large"
        return (
            f"The learning rate is too {size}: {_lower(_remedy(runs, better))}",
            (Place("setting", "training.optimizer.lr", f"{runs.learning_rate:.3g} is too {size}"),),
            (
                step(
                    f"Set the learning rate to about {rate:.2g}, instead of "
                    f"{runs.learning_rate:.3g}; that was tried and works.",
                    snippets.rebuilt(runs.optimizer, rate),
                ),
            ),
        )
    tried = (*runs.runs, *runs.others[:2])
    still = all(np.array_equal(run.probes[0], run.probes[-1]) for run in tried)
    if still:
        return (
            "No step changes the loss in the least, at any learning rate: the loss does not depend "
            "on what is trained.",
            (Place("setting", "model.factory", "training changes nothing"),),
            (
                step(
                    "Look for what cuts the loss off from the weights: `.detach()`, "
                    "`torch.no_grad()`, frozen parameters, a rectifier behind the last layer, a "
                    "softmax over one output. This names the parameters without a gradient:",
                    probes.gradients_listed(),
                ),
                *NOT_THE_RATE[:1],
            ),
        )
    rates = ", ".join(f"{runs.learning_rate * run.factor:.2g}" for run in runs.others)
    return (
        f"No other learning rate helps ({rates} were tried).",
        (Place("setting", "model.factory", "does not learn at any learning rate"),),
        NOT_THE_RATE,
    )


def _smaller(runs: ShortRuns, after: float) -> Run | None:
    """Return the best run at a smaller rate, where the usual one ends with a constant answer."""
    return _ahead(runs, after, [run for run in runs.others if run.factor < 1])


def _larger(runs: ShortRuns, after: float) -> Run | None:
    """Return the best run at a far larger rate, where the usual one ends with a constant answer."""
    return _ahead(runs, after, [run for run in runs.others if run.factor >= LARGER])


def _ahead(runs: ShortRuns, after: float, others: list[Run]) -> Run | None:
    """Return the best of these runs, where it leaves a constant answer well behind.

    Training batches alone are judged, and whole ones: the rate was chosen for them.
    """
    if runs.note or runs.split != "train" or not after > 0.99 * runs.constant:
        return None
    kept = [run for run in others if run.finite]
    best = min(kept, key=lambda run: run.probes[-1].mean(), default=None)
    return best if best is not None and best.probes[-1].mean() < WELL * runs.constant else None


def _constant(runs: ShortRuns, blank: ShortRuns | None, after: float) -> bool:
    """Tell whether the loss is a constant answer's and that of the same run on blank inputs."""
    if blank is None or not after > 0.99 * runs.constant or len(blank.runs) != len(runs.runs):
        return False
    pairs = zip(runs.runs, blank.runs, strict=True)
    return all(np.allclose(a.probes[-1], b.probes[-1], rtol=SAME, atol=0) for a, b in pairs)


def _lost(runs: ShortRuns, lost: list[Run]) -> Judgement:
    first = min(run.lost or runs.steps for run in lost)
    kept = [run for run in runs.others if run.finite and _fall((run,)).value > SMALL]
    best = max(kept, key=lambda run: _fall((run,)).value, default=None)
    smaller = [run for run in runs.others if run.factor < 1 and run.finite]
    said = (
        f"{len(lost)} of {counted(len(runs.runs), 'fresh model')} lose their loss (not finite), "
        f"the first at step {first:,}, with {clean_text(runs.optimizer, 80)}."
    )
    if best is not None or smaller:
        run = best or smaller[0]
        said += f" The learning rate is too large: {_lower(_remedy(runs, run))}"
        advice = (
            step(
                f"Set the learning rate to about {runs.learning_rate * run.factor:.2g}, instead of "
                f"{runs.learning_rate:.3g}; that was tried and stays finite.",
                snippets.rebuilt(runs.optimizer, runs.learning_rate * run.factor),
            ),
        )
        where = Place("setting", "training.optimizer.lr", f"{runs.learning_rate:.3g} is too large")
    else:
        said += " Smaller learning rates lose it too."
        advice = (
            "Look in the model and the loss for a logarithm, root or division that meets zero, and "
            "in the data for values far from the others.",
        )
        where = Place("setting", "loss", f"not finite at step {first:,}")
    return Judgement(
        Verdict.FAIL,
        said,
        metrics=(Metric("runs that lost their loss", len(lost), f"of {len(runs.runs)}"),),
        where=(where,),
        advice=advice,
        figures=_figures(runs),
    )


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _percent(share: float) -> str:
    return f"{share:.2%}" if abs(share) < 0.1 else f"{share:.0%}"


def _between(fall: Fall) -> str:
    low, high = (fall.low, fall.high) if fall.value >= 0 else (-fall.high, -fall.low)
    if not math.isfinite(low) or low == high:
        return ""
    return f" (95 % interval {_percent(low)} to {_percent(high)})"


def _figures(runs: ShortRuns) -> tuple[Figure, ...]:
    whole = [run for run in runs.runs if len(run.losses)]
    length = min((len(run.losses) for run in whole), default=0)
    table = np.asarray([np.asarray(run.losses[:length], float) for run in whole])
    table = np.where(np.isfinite(table), table, np.nan)
    steps = [n for n in range(length) if np.isfinite(table[:, n]).all()]
    series = [_band("declared rate" if not runs.instead else "Adam", table[:, steps], steps)]
    shown = sorted(runs.others, key=lambda run: abs(math.log10(run.factor)))[:2]
    better = _better(runs)
    if better is not None and better not in shown:
        shown.append(better)
    for run in shown:
        own = np.asarray(run.losses, float)
        kept = [n for n in range(len(own)) if np.isfinite(own[n])]
        series.append(_band(f"{run.factor:g} times", own[None, kept], kept))
    guides = (Guide(runs.constant, "constant answer"),) if math.isfinite(runs.constant) else ()
    rows = tuple(
        (
            runs.learning_rate * run.factor,
            float(run.probes[0].mean()),
            float(run.probes[1].mean()),
            float(run.probes[-1].mean()),
        )
        for run in sorted((*runs.runs, *runs.others), key=lambda run: run.factor)
    )
    return (
        Lines(
            title="The first steps of training",
            caption="Loss of each batch before its step, in training mode; the band spans the "
            "fresh models. It has to fall.",
            x_label="step",
            y_label="loss",
            series=tuple(found for found in series if found.x),
            guides=guides,
        ),
        Table(
            title="The same steps at other learning rates",
            caption="Mean loss of the same training batches, dropout off; a row for each run.",
            columns=("learning rate", "before", "half way", "after"),
            rows=rows,
        ),
    )


def _band(name: str, table: Array, steps: list[int]) -> Series:
    """Return the mean over runs, smoothed over a few steps, with the span of the runs."""
    width = max(1, len(steps) // 20)
    weights = np.ones(width) / width

    def smooth(row: Array) -> tuple[float, ...]:
        padded = np.concatenate([row[:1].repeat(width - 1), row]) if width > 1 else row
        return tuple(np.convolve(padded, weights, "valid").tolist())

    if not steps:
        return Series(name, (), ())
    low, high = (smooth(edge) for edge in (table.min(axis=0), table.max(axis=0)))
    several = len(table) > 1
    return Series(
        name,
        tuple(float(step) for step in steps),
        smooth(table.mean(axis=0)),
        low if several else (),
        high if several else (),
    )
