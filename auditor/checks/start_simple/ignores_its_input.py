"""A model that answers alike whatever it is shown.

What it does
------------
Gives the checkpoint each example's target with the inputs of another example, on validation and on
training data, and trains fresh models on the real inputs and on zeros in their place.

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
the verdict at 99 % for both together. The model passes where it certainly worsens by more than a
hundredth, and fails where it certainly does not by any measure. It warns where the loss certainly
does not though answers may, and where nothing shows that the loss worsens though it
is far above a constant's beyond doubt (a fifth of an error, twice a cross-entropy): there the
model claims much that is not so. It warns too where the checkpoint uses the inputs of validation
data but, by the same rules, not those of the data that models are to be trained on. The short runs
are compared on the same training batches, from the same first weights, after the same number of
steps. They explain, and count on their own only where zeros train as well to five digits: a hundred
steps may be too few to make use of the inputs, which is no fault of a checkpoint that does.

When it misleads
----------------
Where inputs tell next to nothing of the targets (less than about half a per cent of their variance)
a good model looks like one that ignores them; where they tell little, many examples are needed to
see it. Targets that are all alike in the first batches can't be judged; shuffle the loader.

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

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Lines, Series
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, mean_interval
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.input_use import SURE, InputUse, InputUseOver, Worsening
from auditor.observations.short_run import SAME, Gain, ShortRuns, ShortRunsOver

USE = InputUseOver()
TRAINED_ON = InputUseOver(split="train")
REAL = ShortRunsOver()
BLANK = ShortRunsOver(inputs="blank")

NIL = 0.01
"""Share of what a constant answer gets that is practically nothing: of a best linear answer that
explains a share R² of the variance the worsening is 2 R², so half a per cent is explained."""
CLAIMS = 0.2
"""Share by which an error lies above a constant's where a model claims much and is wrong."""
CLAIMS_ENTROPY = 1.0
"""The same of a cross-entropy, which a class weight or a bias that is still off may raise."""
FEWEST = 20
"""Examples below which the bootstrap's interval can't be trusted."""


@dataclass(frozen=True)
class Exchange:
    """What exchanged inputs show of a split.

    `related` tells whether the answers have to do with the targets all the same.
    """

    verdict: Verdict
    said: str
    metrics: tuple[Metric, ...] = ()
    figures: tuple[Figure, ...] = ()
    related: bool = False

    @property
    def faulty(self) -> bool:
        """Tell whether inputs are provably not made use of as they should."""
        return self.verdict in (Verdict.WARN, Verdict.FAIL)


@check(
    title="The model uses its inputs",
    failure_title="The model ignores its inputs",
    needs=(USE,),
    wants=(TRAINED_ON, REAL, BLANK),
    limits={
        "worsening": Limit(
            warn=0.2,
            fail=NIL,
            bad="below",
            source="share of what a constant answer gets, by the upper bound: an answer that "
            "explains a share of the variance worsens by twice that; it warns only where the lower "
            "bound is not above 0 and the loss is far above a constant's",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the worsening under exchanged inputs, and what training data and short runs add."""
    use, real, blank = seen[USE], seen.get(REAL), seen.get(BLANK)
    limit = limits["worsening"]
    gain = real.gain_over(blank) if real and blank else None
    found = _exchanged(use, limit, seen.rng)
    verdict, said, metrics, figures = found.verdict, found.said, found.metrics, found.figures
    trained_on = seen.get(TRAINED_ON)
    there = _exchanged(trained_on, limit, seen.rng) if trained_on else None
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()
    if found.faulty:
        sound = there is not None and there.verdict is Verdict.PASS
        if sound:
            said += " It does use the inputs of training data."
        where, advice = _blame(use, found, gain, sound=sound)
    elif trained_on and there and there.faulty and verdict is Verdict.PASS:
        verdict, said = Verdict.WARN, f"{said} {there.said}"
        metrics, figures = (*metrics, *there.metrics), (*figures, *there.figures)
        where, advice = _blame(trained_on, there, gain, sound=True)
    if gain is not None and real is not None:
        said += _trained(gain)
        metrics = (*metrics, _metric(gain))
        figures = (*figures, *_curves(real, blank))
        if gain.same and not where:
            verdict = Verdict.WARN
            where, advice = _training_blamed(real)
    missing = seen.missing(REAL) or seen.missing(BLANK)
    if gain is None and missing:
        said += f" Training on blank inputs was not compared: {missing}."
    return Judgement(verdict, said, metrics=metrics, where=where, advice=advice, figures=figures)


def _exchanged(use: InputUse, limit: Limit, rng: np.random.Generator) -> Exchange:
    """Judge the loss under exchanged inputs."""
    own, others = np.asarray(use.own, float), np.asarray(use.others, float)
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        text = "The losses of the checkpoint are not finite, so they can't be compared."
        return Exchange(Verdict.NOT_APPLICABLE, text)
    if use.targets < 2:
        text = (
            f"All {counted(use.examples, 'example')} looked at have the same target, so exchanging "
            "their inputs shows nothing; a loader that shuffles would help."
        )
        return Exchange(Verdict.NOT_APPLICABLE, text)
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
        return Exchange(
            Verdict.FAIL,
            f"{start}: not one {use.per}'s loss moves, so the inputs are not used at all.",
            (Metric("worsening", 0.0, "of a constant's loss", 0.0, 0.0, limit),),
            figures,
        )
    found = use.worsenings(rng)
    if not found:
        return _by_batches(use, start, others.mean(axis=0), figures)
    if len(own) < FEWEST:
        text = f"{start}; at least {FEWEST} examples are needed to judge that."
        return Exchange(Verdict.INFO, text, (), figures)
    on = "" if use.split == "val" else f" on {_split(use)} data"
    metrics = tuple(
        Metric(
            f"worsening of the {w.measure}{on}", w.value, "of a constant's", w.low, w.high, limit
        )
        for w in found
    )
    main = found[0]
    start += (
        f"; that is worse by {_percent(main.value)} of what a constant answer "
        f"gets (95 % interval {_percent(main.low)} to {_percent(main.high)})"
    )
    verdict, said = _weighed(use, found, limit)
    related = any(one.sure_low > NIL for one in found)
    return Exchange(verdict, start + said, metrics, figures, related)


def _weighed(use: InputUse, found: list[Worsening], limit: Limit) -> tuple[Verdict, str]:
    """Judge the worsening by all measures together."""
    main = found[0]
    if all(one.sure_high < NIL for one in found):
        return Verdict.FAIL, ": its answers have nothing to do with these targets."
    if main.sure_high < NIL:
        return Verdict.WARN, (
            ": the loss makes certainly nothing of the inputs, even where the answers do, as if "
            "the weights were untrained or the scale of the outputs lost."
        )
    if any(one.sure_low > NIL for one in found):
        return Verdict.PASS, "."
    least = min(found, key=lambda one: one.sure_high)
    unproven = all(one.sure_low <= 0 for one in found)
    # A model that claims little may be a sound one of what can hardly be told from its inputs.
    claims = use.excess > (CLAIMS_ENTROPY if use.metric == "cross-entropy" else CLAIMS)
    if unproven and claims and limit.verdict(least.sure_high) is not Verdict.PASS:
        return Verdict.WARN, (
            f" and far above that, {use.constant:.4g}: nothing shows that its answers have to do "
            f"with these targets; by its {least.measure} they make a difference of "
            f"{least.sure_high:.1%} at most."
        )
    needed = examples_to_settle(len(use.own), main.value, main.sure_low, main.sure_high, NIL)
    settle = f"; {needed:,} examples would settle it" if needed else ""
    return Verdict.INFO, f", which is too uncertain to judge{settle}."


def _by_batches(use: InputUse, start: str, moved: Array, figures: tuple[Figure, ...]) -> Exchange:
    """Judge a loss of which nothing but batches is known: a change that is certain will do."""
    low, high = mean_interval(moved - np.asarray(use.own, float), SURE)
    value = float((moved - use.own).mean())
    metric = Metric("worsening", value, "of the loss itself", low, high)
    if low > 0:
        text = f"{start}, which is worse beyond doubt."
        return Exchange(Verdict.PASS, text, (metric,), figures)
    text = f"{start}, which is too uncertain to judge; more data would settle it."
    return Exchange(Verdict.INFO, text, (metric,), figures)


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


def _blame(
    use: InputUse, found: Exchange, gain: Gain | None, *, sound: bool
) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Return where things went wrong, and what to do.

    A checkpoint is `sound` that uses the inputs of the other split.
    """
    data = f"data.{use.split}"
    if use.inputs < 2:
        return (
            (Place("setting", data, "all inputs are the same"),),
            (
                step(
                    f"Print a batch of `{data}`: every example has the same inputs, so they are "
                    "lost between the file and the loader.",
                    probes.examples_shown(f"{use.split}_loader"),
                ),
            ),
        )
    pairing = Place("setting", data, "inputs and targets may be out of step")
    show = step(
        f"Show 20 examples of `{data}` with their targets just before the model: a shuffle, sort, "
        "filter or shift that reaches only one of the two puts them out of step.",
        probes.examples_shown(f"{use.split}_loader"),
    )
    if sound:
        return (pairing,), (
            show,
            "Compare their scale and encoding with those of the other split, which the checkpoint "
            "does make use of.",
        )
    if gain is not None and gain.same:
        return (
            (Place("setting", "model.factory", "the output does not depend on the input"),),
            (
                step(
                    "Walk through `forward` with two different inputs and find the layer behind "
                    "which they are equal: a product with zero, a wrong variable, an attention or "
                    "mask that lets nothing through, a rectifier that is dead.",
                    probes.alike_behind(f"{use.split}_loader"),
                ),
            ),
        )
    arrive = step("Make sure that the weights arrive:", probes.STRICT)
    if found.related:
        return (Place("setting", "model.checkpoint", "its loss is as if untrained"),), (
            arrive,
            "Look for what shrinks the outputs before the loss: a temperature, a normalisation.",
        )
    checkpoint = Place("setting", "model.checkpoint", "answers as well on anybody's inputs")
    return (checkpoint, pairing), (
        show,
        arrive,
        "Look at how the checkpoint was trained: on labels out of step, or with a learning rate "
        "that lost the model.",
    )


def _training_blamed(real: ShortRuns) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    data = f"data.{real.split}"
    if real.alike:
        return (
            (Place("setting", data, "all inputs are the same"),),
            (
                step(
                    f"Print a batch of `{data}`: every example has the same inputs.",
                    probes.examples_shown(f"{real.split}_loader"),
                ),
            ),
        )
    return (
        (Place("setting", "model.factory", "trains the same without inputs"),),
        (
            step(
                "Find the layer of a fresh model behind which two different inputs are equal.",
                probes.alike_behind(f"{real.split}_loader"),
            ),
        ),
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
