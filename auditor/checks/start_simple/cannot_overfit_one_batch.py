"""A model that can't learn a few examples by heart, and the learning rate that would.

What it does
------------
Trains fresh models on two examples and on sixteen, over and over, until they know them. It looks
for parameters that get no gradient meanwhile, and asks models that were shown nothing, and those
that were shown two examples, about the validation data.

Why it matters
--------------
Learning a few examples by heart is the easiest thing that can be asked of a network. One that can't
is broken, in its layers, its loss, its labels or its learning rate, and neither more data nor more
time will help.

How it is measured
------------------
Examples with inputs of their own are taken from the first batches, their classes in turn. The
declared optimiser is tried first, with its clipping, then Adam at 1e-3, 1e-2 and 1e-4 without
weight decay, and the best of them once more for three times as long; dropout is off, batch norm
uses the statistics of the batch. A model knows the examples when every target is predicted right
and the loss is near its floor. The floor is 0 for labels, the entropy of smoothed or soft ones, and
of sequences what equal beginnings leave open; near is 5 % of the loss at chance, or 1 % of the
variance of numeric targets (10 % of their mean absolute deviation). Of a loss of your own the floor
is not known: half its start counts where targets can be counted right, a twentieth where not. All
is done from three fresh models.

A parameter that gets no gradient is cut off where the loss changes when the parameter does; one
that the loss does not use, such as a spare head, or that nothing passes through is not. That is
tried with all weights moved a little, so that an initialisation with zeros cuts nothing off. What
is cut off warns, whatever was learnt without it, as does a model that mostly gets no gradient.

Validation accuracy after two examples can't honestly exceed the share of examples whose class was
shown by much; half of the rest is the limit. Before the first step it can't exceed the share of the
commonest class by as much: a model that knows nothing is as likely to give the classes in any other
order, so it does with a probability of one in C at most, and so many fresh models are asked that
for all of them it is less than 1 %. Where the factory draws the same weights for every seed they
count as one model, and are held against it where they are those of the checkpoint.

When it misleads
----------------
A model with fewer weights than targets (or ten for each, where it did learn two examples) can't be
expected to know them all, nor can one that may not use all of its input (a bigram model); the first
is told and not judged. Some models want more steps: one that is still on its way is not judged
either. With two classes, good validation accuracy after two examples may only mean that the task is
easy. A part that is meant to stay as it is, such as a pretrained body under `torch.no_grad()`, is
taken for one that is cut off until its parameters say `requires_grad=False`.

What to do
----------
Follow the gradient: the finding names the parameters that get none. Then print one example with its
target just before the model, and compute the loss by hand.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" ("overfit one batch"); Goodfellow, Bengio,
Courville 2016, "Deep Learning", section 11.5 ("fit a tiny dataset").
"""

import math
from collections.abc import Sequence

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import clopper_pearson
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.overfit import (
    KNOWING,
    LONG,
    SURE,
    Fit,
    OverfitTrials,
    OverfitTrialsOver,
    seeds_for,
)

TRIALS = OverfitTrialsOver()

TWICE = 0.02
"""How far, as a share, a loss may be from that of a softmax applied twice to be taken for it."""
NIL = 1e-4
"""Share of the loss per hundred steps: at this pace a million steps use the loss up."""
AMPLE = 10
"""Weights for each target with which a failure says nothing but that the model is small, where it
did learn two examples: one suffices to represent them (Zhang et al. 2017, theorem 1), not to find
them."""
AFFORDED = 100
"""Steps below which an attempt that failed was cut short by its cost."""
FAR = 3.0
"""Times the loss of the best constant answer from which on outputs start far off the targets."""
EASY = 0.9


@check(
    title="A few examples can be learnt by heart",
    failure_title="A few examples can't be learnt by heart",
    needs=(TRIALS,),
    limits={
        "way": Limit(
            warn=0.95,
            fail=0.5,
            bad="below",
            source="Karpathy 2019, overfit one batch to the lowest achievable loss; a model that "
            "takes less than half of the way from a constant answer has not learnt the targets",
        ),
        "knowing": Limit(
            warn=KNOWING,
            source="a model knows the classes that it was shown, and nothing of the others; half "
            "of those is far above what luck gives it",
        ),
        "untrained": Limit(
            warn=0.5,
            source="a model of which more is left as it was initialised than is trained; a head "
            "or pooler that the loss does not use is far less",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether fresh models came to know the examples, and with which optimiser."""
    trials = seen[TRIALS]
    if not trials.fits:
        return _alike(trials)
    large, small = trials.on(trials.many), trials.on(trials.few)
    learnt = [any(fit.reached for fit in fits) for fits in large.values()]
    learnt_few = [any(fit.reached for fit in fits) for fits in small.values()]
    everywhere = all(learnt) and all(learnt_few)
    if not trials.floor_known and not everywhere and trials.best.fall > FALLEN:
        outcome = _unknown(trials)
    elif not any(learnt):
        outcome = _none(trials, any(learnt_few), limits["way"])
    elif not everywhere:
        outcome = _some(trials, learnt, learnt_few)
    else:
        outcome = _all(trials)
    verdict, said, where, advice = _joined(
        outcome, _silenced(trials, outcome, limits["untrained"]), _given(trials, limits["knowing"])
    )
    best = trials.best
    metrics = [
        Metric(f"fresh models that know {trials.many} examples", sum(learnt), f"of {len(learnt)}"),
        Metric(
            "way from a constant answer to the floor",
            best.way,
            limit=limits["way"] if not math.isnan(best.constant) else None,
        ),
        Metric("loss in the end", best.last),
        Metric("steps taken", len(best.losses)),
    ]
    if not math.isnan(best.accuracy):
        metrics.append(Metric("targets right", best.accuracy))
    if trials.silent_share:
        share = trials.silent_share
        metrics.append(
            Metric("weights without a gradient", share, "share", limit=limits["untrained"])
        )
    if trials.validation.size:
        metrics.append(_validation(trials))
    return Judgement(
        verdict,
        said,
        metrics=tuple(metrics),
        where=where,
        advice=advice,
        figures=(_curves(trials), *_table(trials)),
    )


FALLEN = 0.25
"""Share of its start that a loss of unknown floor has to lose to show that something is learnt."""

Part = tuple[Verdict, str, tuple[Place, ...], tuple[str, ...]]

NOTHING: Part = Verdict.NOT_APPLICABLE, "", (), ()


def _joined(outcome: Part, *more: Part) -> Part:
    """Return what was learnt, with what was found beside it; that comes first where it warns."""
    said = outcome[1] + "".join(part[1] for part in more)
    parts = sorted((*more, outcome), key=lambda part: -SEVERITY[part[0]])
    verdict = parts[0][0]
    if verdict is Verdict.PASS and any(part[0] is Verdict.INFO for part in parts):
        verdict = Verdict.INFO
    where = dict.fromkeys(place for part in parts for place in part[2])
    advice = dict.fromkeys(step for part in parts for step in part[3])
    return verdict, said, tuple(where), tuple(advice)


def _all(trials: OverfitTrials) -> Part:
    """Judge trials of which every fresh model came to know both sets."""
    first = trials.on(trials.many)[0]
    winner, tried = next(fit for fit in first if fit.reached), first[0]
    if all(len(fit.losses) == 1 for fit in trials.fits):
        return (
            Verdict.INFO,
            f"Models that the factory hands out know {trials.many} examples before the first step, "
            "so whether they can learn was not seen.",
            (),
            (),
        )
    said = (
        f"Fresh models learn {trials.few} and {trials.many} examples by heart, the larger set in "
        f"{counted(len(winner.losses), 'step')} of {clean_text(winner.optimizer, 80)} "
        f"{'with the declared clipping ' if trials.clipped and winner.declared else ''}"
        f"(loss {winner.losses[0]:.3g} to {winner.last:.3g}; the floor is {trials.floor})."
    )
    if trials.instead:
        said += f" That is not the declared optimizer: {trials.instead}."
    if not tried.declared or winner.declared:
        return Verdict.PASS, said, (), ()
    verdict, more, where, advice = _declared_fails(trials, tried)
    return verdict, said + more, where, advice


def _silenced(trials: OverfitTrials, outcome: Part, untrained: Limit) -> Part:
    """Judge the parameters that get no gradient, where the outcome does not name them."""
    much = untrained.verdict(trials.silent_share) is not Verdict.PASS
    if any(place.kind == "parameter" for place in outcome[2]) or not (trials.cut_off or much):
        return NOTHING
    names = trials.cut_off or tuple(n for n in trials.silent if n in trials.silent_after)
    which = (
        f"though the loss hangs on {'it' if len(names) == 1 else 'them'}"
        if trials.cut_off
        else f"{trials.silent_share:.0%} of the weights"
    )
    modules = _modules(names)
    return (
        Verdict.WARN,
        f" But {len(names)} of {counted(trials.tensors, 'parameter')} "
        f"{'gets' if len(names) == 1 else 'get'} no gradient, {which}: in {listed(modules, 4)}.",
        tuple(Place("parameter", name, "gets no gradient") for name in names[:20]),
        (
            step(
                f"Follow the output back from the loss to `{clean_text(modules[0])}`: a "
                "`.detach()`, `torch.no_grad()`, `argmax`, a comparison or rounding, or a "
                "rectifier that lets nothing through keeps the gradient from it. Where it is meant "
                "to stay as it is, set its `requires_grad` to `False`.",
                snippets.frozen(names),
            ),
        ),
    )


def _modules(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _given(trials: OverfitTrials, knowing: Limit) -> Part:
    """Judge whether models know what they were not shown."""
    factory = (Place("setting", "model.factory", "knows what it was not shown"),)
    unshown = trials.unshown
    known = unshown is not None and all(
        _beyond(share, unshown.examples, unshown.common, knowing) for share in unshown.accuracies
    )
    before = ""
    if unshown is not None and known:
        before = (
            f" But before the first step they get {np.mean(unshown.accuracies):.0%} of the "
            f"validation data right, of which {unshown.common:.0%} is of the commonest class: the "
            "factory hands out "
        )
        asked = 1 if unshown.alike else len(unshown.accuracies)
        if unshown.trained:
            return Verdict.WARN, f"{before}the weights of the checkpoint.", factory, LEAK
        if asked >= seeds_for(trials.outputs):
            return Verdict.WARN, f"{before}weights that know the task.", factory, LEAK
    if not trials.validation.size:
        return NOTHING
    right = float(trials.validation.mean())
    count = trials.validation.size // max(1, len(trials.on(trials.few)))
    if trials.shown < 1 and _beyond(right, count, trials.shown, knowing):
        return (
            Verdict.WARN,
            f" But after two examples they get {right:.0%} of the validation data right, though "
            f"only {trials.shown:.0%} of it is of a class that they were shown: something tells "
            "them the answer.",
            factory,
            LEAK,
        )
    if before:
        return (
            Verdict.INFO,
            f"{before}the same weights whatever the seed, so that they know the task, or "
            "hit on it by luck.",
            (),
            (),
        )
    if right > EASY:
        return (
            Verdict.PASS,
            f" After two examples they get {right:.0%} of the validation data right: either the "
            "task is that easy, or the inputs hold the answer.",
            (),
            (),
        )
    return NOTHING


def _beyond(share: float, count: int, known: float, knowing: Limit) -> bool:
    """Tell whether more is right, beyond doubt, than what may be known of so many examples."""
    if knowing.warn is None:
        return False
    low, _ = clopper_pearson(min(count, round(share * count)), count, SURE)
    return low > known + knowing.warn * (1 - known)


LEAK = (
    "Look whether the factory loads weights that were trained on this task, and whether a column "
    "of the inputs, a file name or the order of the data gives the target away.",
)


def _declared_fails(trials: OverfitTrials, tried: Fit) -> Part:
    """Judge a declared optimizer that failed where Adam did not."""
    name = clean_text(tried.optimizer, 80)
    rescue = next((f for f in trials.fits if f.reached and f.factor < 1), None)
    if rescue is not None:
        rate = trials.learning_rate * rescue.factor
        note = f"{tried.optimizer} {_course(tried)}"
        return (
            Verdict.WARN,
            f" The declared {name} does not: in {counted(len(tried.losses), 'step')} it "
            f"{_course(tried)}. With a learning rate {1 / rescue.factor:g} times smaller it does.",
            (Place("setting", "training.optimizer.lr", clean_text(note, 120)),),
            (
                step(
                    f"Set the learning rate to {rate:.2g}, at which the same optimizer succeeds.",
                    snippets.rebuilt(tried.optimizer, rate),
                ),
            ),
        )
    nowhere = not tried.finite or tried.fall < NIL * len(tried.losses) / 100
    if nowhere:
        return (
            Verdict.WARN,
            f" The declared {name} does not: in {counted(len(tried.losses), 'step')} it "
            f"{_course(tried)}.",
            (Place("setting", "training.optimizer", clean_text(_course(tried), 120)),),
            (
                step(
                    "Train with Adam as it succeeded here, then look for a rate of your own "
                    "optimizer.",
                    _built(next((f for f in trials.fits if f.reached), None)),
                ),
            ),
        )
    return (
        Verdict.PASS,
        f" The declared {name} takes longer: in {counted(len(tried.losses), 'step')} it "
        f"{_course(tried)}.",
        (),
        (),
    )


def _built(fit: Fit | None) -> str:
    """Return code that builds the optimizer of an attempt; empty where there is none."""
    if fit is None:
        return ""
    kind, settings = snippets.read(fit.optimizer)
    return snippets.optimizer(kind, settings)


def _unknown(trials: OverfitTrials) -> Part:
    """Judge trials of a loss that falls, though how far it can is not known."""
    best = trials.best
    said = (
        f"How low this loss can come is not known, so whether {trials.many} examples can be learnt "
        f"by heart is not either: the best of the attempts, {clean_text(best.optimizer, 80)}, "
        f"{_course(best)}."
    )
    return Verdict.INFO, said, (), ()


def _some(trials: OverfitTrials, learnt: list[bool], learnt_few: list[bool]) -> Part:
    """Judge trials of which some fresh models came to know a set and others did not."""
    most = sum(learnt) * 2 > len(learnt) or trials.parameters < AMPLE * trials.values
    most = most and sum(learnt_few) * 2 > len(learnt_few)
    came = (
        f"{sum(learnt)} of {counted(len(learnt), 'fresh model')} came to know {trials.many} "
        f"examples, {sum(learnt_few)} of {len(learnt_few)} two"
    )
    if not most and trials.rest_falling:
        return Verdict.INFO, f"{came}; the loss of the others was still falling.", (), ()
    return (
        Verdict.INFO if most else Verdict.WARN,
        f"{came}; whether a model can learn hangs on its first weights.",
        () if most else (Place("setting", "model.factory", "not every initialisation can learn"),),
        ()
        if most
        else (
            step(
                "Look at the initialisation: weights that are too small or too large, or "
                "rectifiers that start dead, make learning a matter of luck. Sizes near "
                "1 / sqrt(inputs) are usual:",
                "for name, p in model.named_parameters():\n"
                "    print(name, tuple(p.shape), p.mean().item(), p.std().item())",
            ),
        ),
    )


def _none(trials: OverfitTrials, few: bool, way: Limit) -> Part:
    """Judge trials of which no fresh model came to know the large set."""
    best = trials.best
    tried = len(trials.on(trials.many)[0])
    start = (
        f"No fresh model learnt {trials.many} examples by heart, whatever was tried "
        f"({counted(tried, 'attempt')} from the first weights)"
    )
    shown = f"the best, {clean_text(best.optimizer, 80)}, {_course(best)}"
    if best.known and math.isfinite(best.floor):
        return _off_floor(trials, best)
    if best.finite and len(best.losses) < AFFORDED:
        return (
            Verdict.INFO,
            f"{start}, but a step is so costly that an attempt had only "
            f"{counted(len(best.losses), 'step')}; {shown}.",
            (),
            (),
        )
    if best.finite and trials.parameters < (AMPLE if few else 1) * trials.values:
        return (
            Verdict.INFO,
            f"{start}; {shown}. With {counted(trials.parameters, 'weight')} for "
            f"{counted(trials.values, 'target')} it may be too small to know them all.",
            (),
            (),
        )
    if best.finite and best.falling:
        return (
            Verdict.INFO,
            f"{start}, but the loss was still falling: {shown}. More steps would settle it.",
            (),
            (),
        )
    gone = best.way if not math.isnan(best.constant) else best.fall
    verdict = way.verdict(gone) if best.finite else Verdict.FAIL
    if verdict is Verdict.FAIL and few and gone > 0:
        verdict = Verdict.WARN
    said = f"{start}: {shown}, where the floor is {trials.floor}."
    if few:
        said += " Two examples were learnt."
    cause, where, advice = _cause(trials, best)
    return worst((verdict, Verdict.WARN)), f"{said} {cause}", where, advice


def _off_floor(trials: OverfitTrials, best: Fit) -> Part:
    """Judge a model that predicts every target right at a loss that stays high."""
    classes = trials.outputs or 0
    twice = math.log(1 + (classes - 1) / math.e) if classes > 1 else math.nan
    same = abs(best.last - twice) < TWICE * twice
    said = (
        f"Fresh models predict all {trials.many} examples right, but their loss stays at "
        f"{best.last:.4g}, where the floor is {trials.floor}."
    )
    if best.falling:
        return Verdict.INFO, f"{said} It was still falling.", (), ()
    if (same or trials.probabilities) and trials.loss == "cross_entropy":
        return (
            Verdict.WARN,
            f"{said} The outputs are probabilities already and `cross_entropy` applies a softmax "
            f"to them once more: with {classes} classes it can't go below {twice:.4f}.",
            (
                Place("setting", "loss", "cross_entropy is given probabilities"),
                Place("setting", "model.factory", "ends in a softmax"),
            ),
            (
                "Take the softmax off the end of the model, so that `cross_entropy` gets logits; "
                "apply it only when probabilities are read off.",
            ),
        )
    return (
        Verdict.WARN,
        f"{said} Something keeps the outputs from becoming sure.",
        (Place("setting", "model.factory", f"loss stays at {best.last:.4g}"),),
        (
            "Look at what bounds the outputs: a squashing function at the end of the model "
            "(sigmoid, tanh, softmax), a normalised or scaled output, strong weight decay.",
        ),
    )


def _cause(trials: OverfitTrials, best: Fit) -> tuple[str, tuple[Place, ...], tuple[str, ...]]:
    """Return what probably keeps the model from learning, where it is, and what to do."""
    silent = trials.silent
    late = () if best.reached else tuple(n for n in trials.silent_after if n not in silent)
    places = tuple(Place("parameter", name, "gets no gradient") for name in silent)
    places += tuple(Place("parameter", name, "stopped getting a gradient") for name in late)
    if len(silent) == trials.tensors:
        return (
            "No parameter gets a gradient: the loss does not depend on them.",
            places[:20],
            (
                step(
                    "Look for what cuts the graph or makes the output constant: `.detach()`, "
                    "`.data`, `.item()`, `argmax`, `torch.no_grad()`, a rectifier or clamp behind "
                    "the last layer, a softmax over one output. This has to pass:",
                    "inputs, targets = next(iter(train_loader))\n"
                    "assert model(inputs).grad_fn is not None\n"
                    "assert loss_fn(model(inputs), targets).grad_fn is not None",
                ),
            ),
        )
    if silent or late:
        modules = _modules((*silent, *late))
        text = (
            f"{len(silent) + len(late)} of {counted(trials.tensors, 'parameter')} get no gradient"
        )
        when = "" if silent else " in the end, though they did at first"
        advice = (
            step(
                f"Follow the output back from the loss to `{clean_text(modules[0])}`: a "
                "`.detach()`, weights of nothing but zeros behind it, or a rectifier that lets "
                "nothing through keeps the gradient from it. This names what gets none:",
                probes.gradients_listed(),
            ),
        )
        return f"{text}{when}: in {listed(modules, 4)}.", places[:20], advice
    if not best.finite:
        return (
            "Every attempt ended in a loss that is not finite.",
            (Place("setting", "loss", "is not finite"),),
            (
                step(
                    "Look for a logarithm, root or division that meets zero, in the model or the "
                    "loss. This names the operation:",
                    probes.anomaly(0),
                ),
            ),
        )
    times = float(best.losses[0]) / best.constant if best.constant > 0 else math.nan
    if times > FAR:
        return (
            f"The first loss is {times:.3g} times that of the best constant answer: the steps went "
            "into bringing the outputs near the targets, before anything could be told apart.",
            (Place("setting", "data", f"loss starts at {float(best.losses[0]):.3g}"),),
            (
                "Standardise the inputs, and numeric targets, and leave the weights as PyTorch's "
                "layers draw them; `initial-loss-off-chance` tells which of these it is. Then try "
                "again.",
            ),
        )
    return (
        "Every parameter gets a gradient, so it is too weak, or points elsewhere.",
        (Place("setting", "model.factory", f"loss stays at {best.last:.4g}"),),
        (
            step(
                "Compute the loss of one example by hand and compare; make sure that it is this "
                "example's target.",
                "inputs, targets = next(iter(train_loader))\n"
                "outputs = model(inputs[:2])\n"
                "print(inputs[:2], targets[:2], outputs, loss_fn(outputs, targets[:2]))",
            ),
            "Look at the gradient norms by layer: deep stacks of sigmoids or tanh let them vanish; "
            "use rectifiers, normalisation or shortcuts.",
            step(
                "Standardise the inputs, and numeric targets. Look what they are:",
                probes.BATCH_CHECKED,
            ),
        ),
    )


def _alike(trials: OverfitTrials) -> Judgement:
    """Judge data of which no two examples have different inputs."""
    if trials.labels < 2:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"All {counted(trials.read, 'example')} looked at have the same inputs and the same "
            "target, so there is nothing to tell apart.",
        )
    return Judgement(
        Verdict.FAIL,
        f"All {trials.read:,} examples looked at have the same inputs but "
        f"{trials.labels:,} different targets: no model can tell them apart.",
        metrics=(Metric("different inputs", trials.different, f"of {trials.read}"),),
        where=(Place("setting", f"data.{trials.split}", "all inputs are the same"),),
        advice=(
            step(
                "Print one batch as the loader yields it: the inputs are lost on the way, by a "
                "normalisation that divides by too much, a cast to integers, an index that does "
                "not move, or a buffer that is never filled.",
                probes.BATCH_CHECKED,
            ),
        ),
        figures=(
            Bars(
                title="How many inputs differ",
                caption=f"Of {trials.read:,} examples looked at.",
                label="count",
                labels=("different inputs", "different targets"),
                values=(float(trials.different), float(trials.labels)),
                marked=(True, False),
            ),
        ),
    )


def _course(fit: Fit) -> str:
    if not fit.finite:
        return f"lost its loss at step {len(fit.losses)} (not finite)"
    moved = f"went from a loss of {fit.losses[0]:.3g} to {fit.last:.3g}"
    right = "" if math.isnan(fit.accuracy) else f" with {fit.accuracy:.0%} right"
    return f"{moved}{right}"


def _validation(trials: OverfitTrials) -> Metric:
    count = max(1, trials.validation.size // max(1, len(trials.on(trials.few))))
    share = float(trials.validation.mean())
    low, high = clopper_pearson(min(count, round(share * count)), count)
    return Metric(
        "validation accuracy after two examples", share, "", min(low, share), max(high, share)
    )


def _curves(trials: OverfitTrials) -> Figure:
    large = [fit for fit in trials.fits if fit.examples == trials.many and fit.seed == 0]
    finite = [np.asarray(fit.losses)[np.isfinite(fit.losses)] for fit in large]
    series = tuple(
        Series(name, tuple(range(len(losses))), tuple(losses.tolist()))
        for name, losses in zip(_names(large), finite, strict=True)
        if len(losses)
    )[-6:]
    guides = [Guide(trials.best.floor, "floor")]
    if math.isfinite(trials.best.near):
        guides = [Guide(trials.best.near, "near the floor")]
    if math.isfinite(trials.best.constant):
        guides.append(Guide(trials.best.constant, "constant answer"))
    return Lines(
        title=f"Learning {trials.many} examples by heart",
        caption="The loss on the same examples, step by step, from the first fresh weights; it has "
        "to come near the floor.",
        x_label="steps",
        y_label="loss",
        series=series,
        guides=tuple(guides),
    )


def _names(fits: list[Fit]) -> list[str]:
    """Return what each attempt of one seed is called; the one made once more is the long one."""
    names = [_short(fit) for fit in fits]
    return [f"{name}, longer" if name in names[:n] else name for n, name in enumerate(names)]


def _short(fit: Fit) -> str:
    name = fit.optimizer.split("(")[0]
    rate = fit.optimizer.split("lr=")[-1].split(",")[0].rstrip(")")
    return f"{name} {rate}" + (" (declared)" if fit.declared else "")


def _table(trials: OverfitTrials) -> tuple[Figure, ...]:
    rows = tuple(
        (
            fit.examples,
            fit.seed,
            _short(fit),
            len(fit.losses),
            fit.last,
            None if math.isnan(fit.accuracy) else fit.accuracy,
            "yes" if fit.reached else "no",
        )
        for fit in trials.fits
    )
    columns = ("examples", "seed", "optimizer", "steps", "last loss", "right", "learnt")
    return (
        Table(
            title="Attempts",
            caption=f"Each from fresh weights; the last one tried on the large set took up to "
            f"{LONG} times the steps.",
            columns=columns,
            rows=rows,
        ),
    )
