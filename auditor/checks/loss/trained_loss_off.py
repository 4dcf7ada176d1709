"""A loss that is no better than a constant's, or contradicts the accuracy.

What it does
------------
Recomputes the loss of the checkpoint from its outputs on validation data and sets it beside what a
guess costs, what the best constant answer costs, what its accuracy lets expect, and what the loss
itself reports.

Why it matters
--------------
A checkpoint whose loss is that of a constant has learnt nothing, or its weights did not arrive. One
that is nearly always right and still has a large loss is sure of its mistakes, or its outputs have
the wrong scale; early stopping, schedules and comparisons then follow a handful of examples.

How it is measured
------------------
The cross-entropy (or squared, absolute, Huber error) of every target is recomputed from outputs and
targets. The best constant gives the class frequencies of these very targets, whose loss is their
entropy (or it gives their mean or median). The gain is 1 - loss / that loss. Training with class
weights or resampling pays in it, so the gain with every class counting alike is looked at too; and
where some classes never occur in the data, which the constant knows, so is the gain of the model's
probabilities shared out among those that do. The check fails only where all lie wholly below 1 %.
An answer right a share a of the time, equally sure of all its answers, has cross-entropy
H(a) + (1 - a) ln(C - 1) over C classes: a model that knows which answers are doubtful has less, and
one with three times as much beyond doubt contradicts its accuracy. Intervals are of 99 % (for
gains, shared among them), from a bootstrap over whole examples.

When it misleads
----------------
Validation data of another distribution than the training's makes any model sure of its mistakes. A
loss of the authors' own that is neither known nor proportional to the recomputed one may give the
outputs another meaning: then nothing worse than `info` is said.

What to do
----------
If the loss is that of a constant: make sure that the weights arrive, that the mode is evaluation,
and that inputs are prepared as in training. If it contradicts accuracy: look at the examples named,
whose labels may be wrong; then at the scale of the logits.

Source
------
Karpathy 2019, "A Recipe for Training Neural Networks" (loss at chance, overconfident mistakes);
CS231n notes, "Neural Networks Part 3" (ln C at chance); Guo et al. 2017, section 3 (networks
overfit the loss without overfitting accuracy).
"""

import math

import numpy as np

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Cell, Figure, Guide, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, mean_interval
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.loss_level import Drawn, Level, drawn, level
from auditor.observations.loss_task import beyond_labels
from auditor.observations.predictions import Predictions, PredictionsOver
from auditor.observations.probabilities import LIKELIHOODS

PREDICTIONS = PredictionsOver(split="val")
TRAINING = PredictionsOver(split="train", batches=16)

FEWEST = 50
"""Examples below which a bootstrap of a ratio can't be trusted."""

FEWEST_WRONG = 3
"""Wrong answers below which one odd example decides what wrong answers cost."""

NEVER_NEGATIVE = (*LIKELIHOODS, "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

SHOWN = 10
"""Examples named."""


@check(
    title="The checkpoint's loss is what its answers deserve",
    failure_title="The checkpoint's loss is not what its answers deserve",
    needs=(PREDICTIONS,),
    wants=(TRAINING,),
    limits={
        "gain": Limit(
            fail=0.01,
            bad="below",
            source="an answer that ignores the input gains nothing (Karpathy 2019); a hundredth "
            "leaves room for a constant that is a little better than its bias",
        ),
        "excess": Limit(
            warn=3.0,
            source="networks that know nothing of which answers are doubtful have 1, overfitted "
            "ones up to about 1.5 (error and loss in Guo et al. 2017 and Mukhoti et al. 2020); "
            "this is twice that",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the loss against a constant's, against accuracy, and against what is reported."""
    predictions = seen[PREDICTIONS]
    broken = _impossible(predictions)
    if broken is not None:
        return broken
    found = level(predictions)
    if isinstance(found, str):
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {found}.")
    if found.agrees == "negated":
        return _negated(predictions, found)
    examples = len(np.unique(found.example))
    if examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Only {counted(examples, 'validation example')} were seen; at least {FEWEST} are "
            "needed to tell the loss from a constant's.",
        )
    if not found.constant.sum() > 0:
        return Judgement(
            Verdict.INFO,
            f"All {examples:,} validation examples have the same target, so a constant has no loss "
            "and nothing can be compared with it.",
        )
    draws = drawn(found, seen.rng)
    verdict, reading, advice, where = _compared(predictions, found, draws, limits, examples)
    if not found.sure:
        verdict = Verdict.PASS if verdict is Verdict.PASS else Verdict.INFO
        reading += " But the loss is one of your own, so that these outputs are logits is a guess."
    training = _training(seen.get(TRAINING))
    return Judgement(
        verdict,
        f"{_standing(found, draws, examples)}{reading}{_against_training(found, draws, training)}",
        metrics=_metrics(predictions, found, draws, training, limits),
        where=where,
        advice=advice,
        figures=_figures(found, draws, training),
    )


Reading = tuple[Verdict, str, tuple[str, ...], tuple[Place, ...]]


def _compared(
    seen: Predictions, found: Level, draws: Drawn, limits: Limits, examples: int
) -> Reading:
    """Return the verdict with its sentence, advice and places."""
    least = limits["gain"].fail or 0.0
    contests = [gain for gain in (draws.gain, draws.balanced, draws.among) if gain.size]
    bounds = [_interval(values, 1 - 0.01 / len(contests)) for values in contests]
    contradiction = _contradiction(found, draws, limits["excess"])
    if all(high < least for _, high in bounds):
        place = Place("setting", "model.checkpoint", f"a gain of {draws.gain[0]:.1%} on a constant")
        sentence = " Beyond doubt it is no better than a constant answer."
        if contradiction is not None:
            sentence += contradiction[1]
        advice = (*ARRIVAL, ORDER if found.stated is not None else SCALE, OVERFIT)
        return Verdict.FAIL, sentence, advice, (place,)
    misread = _misread(seen, found)
    if misread is not None:
        return misread
    if contradiction is not None:
        return contradiction
    if not any(low > 0 for low, _ in bounds):
        best = int(np.argmax([values[0] for values in contests]))
        value = float(contests[best][0])
        needed = examples_to_settle(examples, value, *bounds[best]) if value > 0 else None
        within = needed is not None and needed <= 100 * examples
        settle = f"; about {needed:,} examples would settle it" if within else ""
        return Verdict.INFO, f" Whether that is better is not certain{settle}.", (), ()
    return Verdict.PASS, _told_of_classes(draws), (), ()


def _told_of_classes(draws: Drawn) -> str:
    """Return a sentence where the loss as it is is above the constant's, but not once told."""
    if draws.gain[0] > 0 or not draws.among.size:
        return ""
    return (
        " The constant knows which classes these examples are of, and few of the model's classes "
        f"are among them: told as much, the model gains {draws.among[0]:.1%} on it."
    )


ARRIVAL = (
    step("Make sure that the weights arrive, of the right file and epoch:", probes.STRICT),
    "Prepare the inputs as in training (scale, mean and deviation, order of channels) and call "
    "`model.eval()`.",
)

ORDER = (
    "Compare the order of the classes in training and here: swapped classes make a good model's "
    "loss worse than a constant's."
)

SCALE = (
    "Compare the scale and the order of the target's columns in training and here: a mean and a "
    "deviation taken from other data, or units not undone, make a good model worse than a constant."
)

OVERFIT = step(
    "If all this is right, nothing was learnt: overfit one batch first.", probes.ONE_BATCH
)


def _contradiction(found: Level, draws: Drawn, limit: Limit) -> Reading | None:
    """Return what there is to say where the loss contradicts accuracy beyond doubt."""
    if found.stated is None or limit.warn is None:
        return None
    right = found.stated.logs.argmax(axis=1) == found.stated.decisions.truth
    wrong = len(np.unique(found.example[~right]))
    low, _ = _interval(draws.excess, 0.99)
    if wrong < FEWEST_WRONG or low <= limit.warn:
        return None
    accuracy, excess = float(right.mean()), float(draws.excess[0])
    standing = (
        f" It contradicts the accuracy of {accuracy:.1%}: answers as often right and all equally "
        f"sure would have {draws.loss[0] / excess:.3g}, so the loss is {excess:.2g} times what it "
        "need be."
    )
    share = float(found.own[~right].sum() / found.own.sum())
    if share < 0.5:
        return (
            Verdict.WARN,
            f"{standing} {1 - share:.0%} of it comes from right answers, of which the model is far "
            "from sure.",
            UNSURE,
            (Place("setting", "the outputs", "too small for answers so often right"),),
        )
    wrong_answers = counted(int((~right).sum()), "wrong answer")
    return (
        Verdict.WARN,
        f"{standing} {share:.0%} of it comes from {wrong_answers}, of which the model is too sure.",
        TOO_SURE,
        _mistakes(found),
    )


TOO_SURE = (
    "Look at the examples named: confident mistakes are often wrong labels.",
    "Look for a factor on the logits, and divide them by a temperature fitted on validation data "
    "(see the finding on calibration): accuracy stays, the loss falls.",
    "Stop at the epoch of the least validation loss; weight decay or label smoothing of 0.1 keeps "
    "the logits from growing once everything is right.",
)

UNSURE = (
    "Look for what shrinks the logits: a softmax or sigmoid before a loss that has its own, a "
    "large temperature, a last layer scaled down, or a training that was stopped early, while the "
    "logits were still growing.",
    "Divide them by a temperature fitted on validation data (see the finding on calibration): "
    "accuracy stays, the loss falls.",
)


def _misread(seen: Predictions, found: Level) -> Reading | None:
    """Return what there is to say where `nll_loss` is given no log-probabilities."""
    whole = seen.plain and seen.rows == seen.rows_seen
    if seen.loss != "nll_loss" or not whole or found.agrees == "mean" or found.stated is None:
        return None
    return (
        Verdict.WARN,
        f" But `nll_loss` reports {_reported(seen):.4g}, since it is given {found.stated.scale} "
        "where it wants log-probabilities.",
        (NORMALISE,),
        (Place("setting", "loss", f"nll_loss is given {found.stated.scale}"),),
    )


NORMALISE = step(
    "End the model in `log_softmax`, or use `cross_entropy` on its logits; as it is, training can "
    "lower the loss without bound.",
    "loss_fn = torch.nn.CrossEntropyLoss()",
)


def _impossible(seen: Predictions) -> Judgement | None:
    """Return the judgement on a loss that is not finite, or negative where it can't be."""
    losses = np.asarray(seen.losses, float)
    batches = len(losses)
    lost = int((~np.isfinite(losses)).sum())
    if lost:
        return Judgement(
            Verdict.FAIL,
            f"The loss of the checkpoint is not finite in {lost:,} of "
            f"{counted(batches, 'validation batch', 'validation batches')}.",
            metrics=(Metric("batches without a finite loss", lost, f"of {batches}"),),
            where=(Place("setting", "loss", f"not finite in {lost:,} of {batches:,} batches"),),
            advice=(
                step(
                    "Look for values that are not finite in weights, inputs and targets, and for "
                    "batches whose targets are all left out. This names the batches:",
                    "with torch.no_grad():\n"
                    "    for number, (inputs, targets) in enumerate(val_loader):\n"
                    "        if not torch.isfinite(loss_fn(model(inputs), targets)):\n"
                    "            print(number, torch.isfinite(inputs).all(), targets.unique()[:8])",
                ),
            ),
            figures=_over_batches(losses),
        )
    below = int((losses < -1e-6).sum())
    if not below or seen.loss not in NEVER_NEGATIVE:
        return None
    mean = _reported(seen)
    cause, cure = _why_negative(seen)
    return Judgement(
        Verdict.FAIL,
        f"`{seen.loss}` is negative ({mean:.4g}), which it can't be for what it wants: {cause}.",
        metrics=(Metric("loss of the checkpoint", mean),),
        where=(Place("setting", "loss", cause),),
        advice=(cure,),
        figures=_over_batches(losses),
    )


def _over_batches(losses: Array) -> tuple[Figure, ...]:
    """Return the loss batch by batch; one that is not finite is a gap."""
    finite = np.flatnonzero(np.isfinite(losses))
    if not len(finite):
        return ()
    return (
        Lines(
            title="Loss of the validation batches",
            caption=f"As the loss reports it, in the loader's order; of {len(losses):,} batches "
            f"{len(finite):,} have a finite one.",
            x_label="batch",
            y_label="loss",
            series=(
                Series(
                    "loss",
                    tuple(float(place) for place in finite),
                    tuple(float(losses[place]) for place in finite),
                ),
            ),
            guides=(Guide(0.0, "zero"),) if (losses[finite] < 0).any() else (),
        ),
    )


def _reported(seen: Predictions) -> float:
    """Return the mean of the subject's loss over the batches, by their examples."""
    return float(np.average(seen.losses, weights=seen.batch_examples))


def _why_negative(seen: Predictions) -> tuple[str, str]:
    beyond = beyond_labels(seen.targets) if seen.kind == "labels" else None
    if beyond is not None:
        reach, made = beyond
        return (
            f"the targets reach from {reach}, not from 0 to 1",
            step("Bring the targets to 0 and 1, for instance so:", f"target = {made}"),
        )
    if seen.loss == "nll_loss":
        return "its inputs are no log-probabilities", NORMALISE
    return "outputs or targets are out of range", "Look at the range of outputs and targets."


def _negated(seen: Predictions, found: Level) -> Judgement:
    loss = float(found.own.mean())
    return Judgement(
        Verdict.FAIL,
        f"The loss is the negative of the {found.unit}: it reports {_reported(seen):.4g} where the "
        f"{found.unit} is {loss:.4g}, so that training makes the model worse.",
        metrics=(Metric(found.unit, loss, "", *mean_interval(found.own)),),
        where=(Place("setting", "loss", "has the wrong sign"),),
        advice=(f"Drop the minus sign: return the {found.unit} itself, and train anew.",),
        figures=_over_batches(np.asarray(seen.losses, float)),
    )


def _mistakes(found: Level) -> tuple[Place, ...]:
    """Return the dearest wrong answers, one an example."""
    if found.stated is None:
        return ()
    return tuple(
        Place("example", f"validation example {row[0]}", f"{row[1]} taken for {row[2]}: {row[4]}")
        for row in _dearest(found)
        if row[1] != row[2]
    )


def _dearest(found: Level) -> list[tuple[int, str, str, float, str]]:
    """Return example, truth, answer, cost and cost in words of the rows that cost most."""
    assert found.stated is not None
    decisions = found.stated.decisions
    answer = found.stated.logs.argmax(axis=1)
    several = int(np.max(decisions.label, initial=0)) > 0
    rows, seen = [], set()
    for row in np.argsort(-found.own, kind="stable")[: 50 * SHOWN]:
        example = int(decisions.example[row])
        if example in seen:
            continue
        seen.add(example)
        prefix = f"label {decisions.label[row]} = " if several else "class "
        cost = float(found.own[row])
        words = f"{cost:.3g} nats, right class at {math.exp(-cost):.2g}"
        truth, given = (f"{prefix}{int(value)}" for value in (decisions.truth[row], answer[row]))
        rows.append((example, truth, given, cost, words))
        if len(rows) == SHOWN:
            break
    return rows


def _interval(draws: Array, confidence: float) -> tuple[float, float]:
    """Return the bootstrap interval of draws whose first is the plain estimate."""
    tail = (1 - confidence) / 2
    finite = draws[np.isfinite(draws)]
    if not finite.size:
        return -math.inf, math.inf
    low, high = np.quantile(finite[1:] if finite.size > 1 else finite, [tail, 1 - tail])
    return min(float(low), float(draws[0])), max(float(high), float(draws[0]))


def _standing(found: Level, draws: Drawn, examples: int) -> str:
    low, high = _interval(draws.loss, 0.95)
    chance = ""
    if found.stated is not None:
        classes = found.stated.logs.shape[1]
        chance = f"guessing among {classes:,} classes costs {math.log(classes):.4g}, "
    return (
        f"On {counted(examples, 'validation example')} the checkpoint's {found.unit} is "
        f"{draws.loss[0]:.4g} (95 % interval {low:.4g} to {high:.4g}); {chance}the best constant "
        f"{found.constant.mean():.4g}."
    )


def _training(seen: Predictions | None) -> Level | None:
    if seen is None:
        return None
    found = level(seen)
    return None if isinstance(found, str) or len(found.own) < 2 else found


def _against_training(found: Level, draws: Drawn, training: Level | None) -> str:
    """Return a sentence where the training loss is above the validation loss by far."""
    if training is None or training.unit != found.unit:
        return ""
    low, _ = mean_interval(_by_example(training), 0.99)
    _, high = _interval(draws.loss, 0.99)
    if not low > 1.5 * high:
        return ""
    return (
        f" On training data it is higher, {training.own.mean():.4g}, though both were measured in "
        "evaluation mode: augmentation, or an easier validation split."
    )


def _by_example(found: Level) -> Array:
    _, place = np.unique(found.example, return_inverse=True)
    return np.asarray(np.bincount(place, found.own) / np.bincount(place))


def _metrics(
    seen: Predictions, found: Level, draws: Drawn, training: Level | None, limits: Limits
) -> tuple[Metric, ...]:
    nats = "nats" if found.stated is not None else ""
    reported = np.asarray(seen.losses, float)
    gain = Metric(
        "gain on the best constant",
        draws.gain[0],
        "of its loss",
        *_told(draws.gain),
        limits["gain"],
    )
    metrics = [
        gain,
        Metric(found.unit, draws.loss[0], nats, *_told(draws.loss)),
        Metric("of the best constant", float(found.constant.mean()), nats),
    ]
    if found.stated is not None:
        metrics.append(Metric("of guessing", math.log(found.stated.logs.shape[1]), nats))
        metrics.append(
            Metric(
                "over what accuracy lets expect",
                draws.excess[0],
                "times",
                *_told(draws.excess),
                limits["excess"],
            )
        )
    for name, other in (
        ("gain, classes counting alike", draws.balanced),
        ("gain, told which classes occur", draws.among),
    ):
        if other.size and np.isfinite(other[0]):
            metrics.append(Metric(name, other[0], "of its loss", *_told(other)))
    metrics.append(
        Metric("mean of the loss over batches", float(reported.mean()), "", *_batches(reported))
    )
    if training is not None:
        rows = _by_example(training)
        metrics.append(
            Metric(f"{training.unit} on training data", rows.mean(), nats, *mean_interval(rows))
        )
    return tuple(metrics)


def _told(draws: Array) -> tuple[float, float]:
    return _interval(draws, 0.95)


def _batches(losses: Array) -> tuple[float | None, float | None]:
    return mean_interval(losses) if losses.size > 1 else (None, None)


def _figures(found: Level, draws: Drawn, training: Level | None) -> tuple[Figure, ...]:
    entries = [("validation", float(draws.loss[0]), *_told(draws.loss))]
    if training is not None and training.unit == found.unit:
        rows = _by_example(training)
        entries.insert(0, ("training", float(rows.mean()), *mean_interval(rows)))
    guides = [Guide(float(found.constant.mean()), "best constant")]
    if found.stated is not None:
        guides.append(Guide(math.log(found.stated.logs.shape[1]), "guessing"))
    names, values, lows, highs = zip(*entries, strict=True)
    bars = Bars(
        title="Loss of the checkpoint",
        caption=f"Mean {found.unit} of a target in evaluation mode, with its 95 % interval.",
        label=found.unit,
        labels=names,
        values=values,
        low=lows,
        high=highs,
        marked=tuple(bool(value > found.constant.mean()) for value in values),
        guides=tuple(guides),
    )
    if found.stated is None:
        return (bars,)
    rows_shown: list[tuple[Cell, ...]] = [
        (example, truth, answer, cost, math.exp(-cost))
        for example, truth, answer, cost, _ in _dearest(found)
    ]
    total = float(found.own.sum())
    shown = sum(float(row[3]) for row in rows_shown if isinstance(row[3], float))
    table = Table(
        title="The dearest validation examples",
        caption=f"Those that cost most, numbered as the loader yields them; together "
        f"{shown / total:.0%} of the whole loss."
        if total
        else "Nothing costs anything.",
        columns=("example", "is", "taken for", "cost in nats", "probability of the right class"),
        rows=tuple(rows_shown),
    )
    return bars, table
