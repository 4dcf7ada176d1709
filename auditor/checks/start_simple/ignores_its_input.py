"""A model whose answers have nothing to do with its inputs.

What it does
------------
Gives the checkpoint each example's target with the inputs of another example, and trains fresh
models on the real inputs and on zeros in their place.

Why it matters
--------------
A model that does as well on anybody's inputs reads none of them: the inputs are lost on the way, a
layer passes nothing on, inputs and targets are out of step, or the weights never arrived. Its score
is that of a good guess, and can look respectable.

How it is measured
------------------
The inputs of validation examples are exchanged at random, none keeping its own, several times. The
worsening is the mean increase of an example's loss (cross-entropy, squared or absolute error), as a
share of what the best constant answer gets, and where classes are told also that of the share of
wrong answers, which overconfidence does not make noisy. Intervals come from a paired bootstrap, for
the verdict at 99 % for both together. The model passes where it certainly worsens; it fails or
warns where the worsening may be nothing and is certainly small, and fails where it is certainly
less than a hundredth. The short runs are compared on the same training batches, from the same
first weights, after the same number of steps. They explain, and count on their own only where zeros
train as well to five digits: a hundred steps may be too few to make use of the inputs, which is no
fault of a checkpoint that does.

When it misleads
----------------
Where inputs tell next to nothing of the targets (less than about half a per cent of their variance)
a good model looks like one that ignores them. Targets that are all alike in the first validation
batches can't be judged; shuffle the loader.

What to do
----------
Look at a few inputs with their targets just before the model. If training on real inputs works, the
fault is in the checkpoint or the validation data; if not, in the model or the training data.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" ("input independent baseline"); Breiman 2001,
"Random Forests", Machine Learning 45 (loss under permuted inputs); Fisher, Rudin, Dominici 2019,
"All Models are Wrong, but Many are Useful", JMLR 20 (model reliance).
"""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, mean_interval, paired_bootstraps
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.input_use import InputUse, InputUseOver
from auditor.observations.short_run import Run, ShortRuns, ShortRunsOver

USE = InputUseOver()
REAL = ShortRunsOver()
BLANK = ShortRunsOver(inputs="blank")

SURE = 0.995
"""Confidence of an interval that decides: 99 % for the two measures together."""
NIL = 0.01
"""Share of what a constant answer gets that is practically nothing: of a best linear answer that
explains a share R² of the variance the worsening is 2 R², so half a per cent is explained."""
FEWEST_WRONG = 30
"""Examples that the constant must get wrong for accuracy to be compared."""
FEWEST = 20
"""Examples below which the bootstrap's interval can't be trusted."""
SAME = 1e-5
"""Share of a loss that rounding stays below."""


@dataclass(frozen=True)
class Contest:
    """The worsening by one measure, as a share of what a constant gets, with its intervals."""

    name: str
    value: float
    low: float
    high: float
    sure_low: float
    sure_high: float


@dataclass(frozen=True)
class Gain:
    """What real inputs give over zeros in the short runs, as a share of the loss on zeros.

    `same` tells whether they give nothing, to five digits.
    """

    value: float
    low: float
    high: float
    same: bool


@check(
    title="The model uses its inputs",
    failure_title="The model ignores its inputs",
    needs=(USE,),
    wants=(REAL, BLANK),
    limits={
        "worsening": Limit(
            warn=0.2,
            fail=0.1,
            bad="below",
            source="share of what a constant answer gets, by the upper bound where the lower is "
            "not above 0; an answer that explains a tenth of the variance worsens by 0.2",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the worsening under exchanged inputs, and what the short runs say of its cause."""
    use = seen[USE]
    gain = _gain(seen.get(REAL), seen.get(BLANK))
    verdict, said, metrics, figures = _exchanged(use, limits["worsening"], seen.rng)
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    trained = ""
    real = seen.get(REAL)
    if verdict in (Verdict.WARN, Verdict.FAIL):
        where, advice = _blame(use, gain)
    if gain is not None and real is not None:
        trained = _trained(gain)
        metrics = (*metrics, _metric(gain))
        if gain.same and not where:
            verdict = Verdict.WARN
            where, advice = _training_blamed(real)
    curves = _curves(real, seen.get(BLANK)) if gain is not None and real is not None else ()
    missing = seen.missing(REAL) or seen.missing(BLANK)
    if gain is None and missing:
        trained = f" Training on blank inputs was not compared: {missing}."
    return Judgement(
        verdict,
        said + trained,
        metrics=metrics,
        where=where,
        advice=advice,
        figures=(*figures, *curves),
    )


Part = tuple[Verdict, str, tuple[Metric, ...], tuple[Figure, ...]]


def _exchanged(use: InputUse, limit: Limit, rng: np.random.Generator) -> Part:
    """Judge the loss under exchanged inputs."""
    own, others = np.asarray(use.own, float), np.asarray(use.others, float)
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        text = "The losses of the checkpoint are not finite, so they can't be compared."
        return Verdict.NOT_APPLICABLE, text, (), ()
    if use.targets < 2:
        text = (
            f"All {counted(use.examples, 'example')} looked at have the same target, so exchanging "
            "their inputs shows nothing; a loader that shuffles would help."
        )
        return Verdict.NOT_APPLICABLE, text, (), ()
    figures = (_bars(use),)
    change = f"{use.metric} goes from {own.mean():.4g} to {others.mean():.4g}"
    if len(use.wrong):
        right = 1 - np.asarray(use.wrong).mean(), 1 - np.asarray(use.wrong_others).mean()
        change += f" and its accuracy from {right[0]:.3g} to {right[1]:.3g}"
    start = (
        f"When {counted(use.examples, 'example')} of {_split(use)} data exchange their inputs, the "
        f"checkpoint's {change}"
    )
    if np.allclose(others, own[None], rtol=SAME, atol=1e-12):
        return (
            Verdict.FAIL,
            f"{start}: not one {use.per}'s loss moves, so the inputs are not used at all.",
            (Metric("worsening", 0.0, "of a constant's loss", 0.0, 0.0, limit),),
            figures,
        )
    contests = _contests(use, rng)
    if not contests:
        return _by_batches(use, start, others.mean(axis=0), figures)
    if len(own) < FEWEST:
        text = f"{start}; at least {FEWEST} examples are needed to judge that."
        return Verdict.INFO, text, (), figures
    metrics = tuple(
        Metric(f"worsening of the {c.name}", c.value, "of a constant's", c.low, c.high, limit)
        for c in contests
    )
    main = contests[0]
    start += (
        f"; that is worse by {_percent(main.value)} of what a constant answer "
        f"gets (95 % interval {_percent(main.low)} to {_percent(main.high)})"
    )
    if any(c.sure_low > NIL for c in contests):
        return Verdict.PASS, f"{start}.", metrics, figures
    best = min(contests, key=lambda c: c.sure_high)
    verdict = limit.verdict(best.sure_high)
    if best.sure_high < NIL:
        text = f"{start}: its answers have nothing to do with these targets."
        return Verdict.FAIL, text, metrics, figures
    if best.sure_low <= 0 and verdict is not Verdict.PASS:
        text = (
            f"{start}: nothing shows that its answers have to do with these targets; by its "
            f"{best.name} they make a difference of {best.sure_high:.1%} at most."
        )
        return verdict, text, metrics, figures
    needed = examples_to_settle(len(own), main.value, main.sure_low, main.sure_high, NIL)
    settle = f"; {needed:,} examples would settle it" if needed else ""
    return Verdict.INFO, f"{start}, which is too uncertain to judge{settle}.", metrics, figures


def _contests(use: InputUse, rng: np.random.Generator) -> list[Contest]:
    """Return the worsening by each measure whose constant answer is known."""
    found = []
    sides = (
        (use.metric, use.own, use.others, use.constant, 0.0),
        ("share of wrong answers", use.wrong, use.wrong_others, use.wrong_constant, FEWEST_WRONG),
    )
    for name, own, others, constant, least in sides:
        if not (len(own) and constant > 0 and constant * len(own) > least):
            continue
        rows, moved = np.asarray(own, float), np.asarray(others, float).mean(axis=0)
        value = float((moved - rows).mean()) / constant
        spans = paired_bootstraps(moved, rows, rng, (0.95, SURE))
        (low, high), (sure_low, sure_high) = ((a / constant, b / constant) for a, b in spans)
        bounds = min(low, value), max(high, value), min(sure_low, value), max(sure_high, value)
        found.append(Contest(name, value, *bounds))
    return found


def _by_batches(use: InputUse, start: str, moved: Array, figures: tuple[Figure, ...]) -> Part:
    """Judge a loss of which nothing but batches is known: a change that is certain will do."""
    low, high = mean_interval(moved - np.asarray(use.own, float), SURE)
    value = float((moved - use.own).mean())
    metric = Metric("worsening", value, "of the loss itself", low, high)
    if low > 0:
        return Verdict.PASS, f"{start}, which is worse beyond doubt.", (metric,), figures
    text = f"{start}, which is too uncertain to judge; more data would settle it."
    return Verdict.INFO, text, (metric,), figures


def _gain(real: ShortRuns | None, blank: ShortRuns | None) -> Gain | None:
    """Return what real inputs give over blank ones; None where runs are missing or lost."""
    if real is None or blank is None or len(real.runs) != len(blank.runs):
        return None
    if not all(run.finite for run in (*real.runs, *blank.runs)):
        return None
    ours, theirs = (np.concatenate([_last(run) for run in side.runs]) for side in (real, blank))
    if ours.shape != theirs.shape:
        return None
    level = abs(float(theirs.mean())) or 1.0
    shares = (theirs - ours) / level
    value = float(shares.mean())
    low, high = mean_interval(shares) if len(shares) > 1 else (value, value)
    return Gain(value, low, high, bool(np.allclose(ours, theirs, rtol=SAME, atol=1e-12)))


def _last(run: Run) -> Array:
    return np.asarray(run.probes[-1], float)


def _trained(gain: Gain) -> str:
    if gain.same:
        return (
            " Fresh models trained on the training inputs and on zeros end, to five digits, with "
            "the same loss."
        )
    if gain.low > 0:
        return f" Fresh models trained on real inputs end {gain.value:.1%} below those on zeros."
    return (
        " Fresh models trained for as short a time do not yet end lower on real inputs than on "
        "zeros, which is not held against the checkpoint."
    )


def _metric(gain: Gain) -> Metric:
    return Metric(
        "gain of real inputs over zeros in a short run",
        gain.value,
        "of the loss",
        gain.low,
        gain.high,
    )


def _blame(use: InputUse, gain: Gain | None) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Return where a checkpoint that ignores its inputs went wrong, and what to do."""
    data = f"data.{use.split}"
    if use.inputs < 2:
        return (
            (Place("setting", data, "all inputs are the same"),),
            (
                f"Print a batch of `{data}`: every example has the same inputs, so they are lost "
                "between the file and the loader.",
            ),
        )
    if gain is not None and gain.same:
        return (
            (Place("setting", "model.factory", "the output does not depend on the input"),),
            (
                "Walk through `forward` with two different inputs and find the layer behind which "
                "they are equal: a product with zero, a wrong variable, an attention or mask that "
                "lets nothing through, a rectifier that is dead.",
            ),
        )
    checkpoint = Place("setting", "model.checkpoint", "answers as well on anybody's inputs")
    step = Place("setting", data, "inputs and targets may be out of step")
    advice = (
        f"Show 20 examples of `{data}` with their targets just before the model: a shuffle, sort, "
        "filter or shift that reaches only one of the two puts them out of step.",
        "Make sure that the weights arrive: `load_state_dict(..., strict=True)`, with no key "
        "missing.",
        "Look at how the checkpoint was trained: on labels out of step, or with a learning rate "
        "that lost the model.",
    )
    return (checkpoint, step), advice


def _training_blamed(real: ShortRuns) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    data = f"data.{real.split}"
    if real.alike:
        return (
            (Place("setting", data, "all inputs are the same"),),
            (f"Print a batch of `{data}`: every example has the same inputs.",),
        )
    return (
        (Place("setting", "model.factory", "trains the same without inputs"),),
        ("Find the layer of a fresh model behind which two different inputs are equal.",),
    )


def _percent(share: float) -> str:
    return f"{share:.1%}" if abs(share) < 0.1 else f"{share:.0%}"


def _split(use: InputUse) -> str:
    return "validation" if use.split == "val" else "training"


def _bars(use: InputUse) -> Figure:
    own = np.asarray(use.own, float)
    others = np.asarray(use.others, float)
    rows = [own, *others]
    means = [float(row.mean()) for row in rows]
    spans = [mean_interval(row) for row in rows]
    known = all(math.isfinite(low) and math.isfinite(high) for low, high in spans)
    guides = (Guide(use.constant, "constant answer"),) if math.isfinite(use.constant) else ()
    return Bars(
        title="Loss with one's own inputs and with another's",
        caption="Mean loss over the examples, with 95 % intervals; a model that uses its inputs "
        "does much worse on those of others.",
        label=use.metric,
        labels=("own", *(f"exchange {number}" for number in range(1, len(rows)))),
        values=tuple(means),
        low=tuple(low for low, _ in spans) if known else (),
        high=tuple(high for _, high in spans) if known else (),
        guides=guides,
    )


def _curves(real: ShortRuns, blank: ShortRuns | None) -> tuple[Figure, ...]:
    if blank is None:
        return ()
    sides = (("real inputs", real), ("zeros", blank))
    return (
        Lines(
            title="Training on real inputs and on zeros",
            caption="Mean loss of the same training batches before, half way through and after the "
            "runs, dropout off; the band spans the fresh models.",
            x_label="step",
            y_label="loss",
            series=tuple(_series(name, side) for name, side in sides),
        ),
    )


def _series(name: str, runs: ShortRuns) -> Series:
    table = np.asarray([np.asarray(run.probes, float).mean(axis=1) for run in runs.runs])
    several = len(table) > 1
    return Series(
        name,
        (0.0, float(runs.steps // 2), float(runs.steps)),
        tuple(table.mean(axis=0)),
        tuple(table.min(axis=0)) if several else (),
        tuple(table.max(axis=0)) if several else (),
    )
