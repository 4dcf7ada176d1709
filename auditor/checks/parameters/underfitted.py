"""Training stopped while the loss still fell, or held back by its settings.

What it does
------------
Trains copies of the checkpoint on for a few steps and scores them before and after, on validation
data and on training data alike. Sets the score on training data beside that of a constant answer.

Why it matters
--------------
A model that still gets better on both splits with every step was stopped too early: the rest is to
be had for a little more computing. One that gets better only without its weight decay, its dropout
or at another learning rate is held back by them, and training it longer would not help.

How it is measured
------------------
Two copies go on as declared: same optimizer, its moments where the checkpoint holds them, the last
learning rate where there was a schedule (a tenth of the first where that had come down to less),
19 steps each, on different batches. Where they gain nothing of note, one more is trained by Adam at
0.001 without weight decay and dropout; and where that gains nothing either though half of a
constant's loss is left on training data, one at ten times the declared rate, or at thirty times it
where ten do not help. Losses are compared in evaluation mode, example by example
(cross-entropy; squared or absolute error; of a loss of your own, whole batches), on the first seven
batches of each split. A gain is counted in losses of the best constant answer on the same examples,
or where none is known, in what a fresh model loses more than the checkpoint. It counts where its
99 % interval, over examples and for each copy, is beyond the limit on both splits and no right
answers are lost: what is gained on training data alone may be learnt by heart. Where less than a
tenth of a constant's loss is left on training data, gains are told but do not warn.

It fails where on training data no score (metric, cross-entropy, balanced accuracy) is better than
that of a constant: nothing was learnt.

When it misleads
----------------
Targets that the inputs do not settle leave a loss that no training takes away: a poor score alone
says nothing, and gives no warning here. So few steps show little where an epoch has thousands and
the rate is small. Where batches are few, the copies train on what they are scored on. A model too
small for its data gains nothing by training: see `capacity-off`.

What to do
----------
Train on where copies gain as declared. Where only the freed copy gains, find out which of rate,
weight decay and dropout it was: one at a time. Raise the rate where a higher one gains.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", chapter 5.2 (underfitting) and 11.4; Karpathy
2019, "A Recipe for Training Neural Networks" ("overfit", then "regularize"; "leave it training").
"""

import numpy as np

from auditor.core import probes, snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, mean_interval
from auditor.core.text import counted, percent
from auditor.core.verdict import Verdict
from auditor.observations.contest import Contest, against_constant
from auditor.observations.continued import (
    FREED,
    NOTABLE,
    Continued,
    ContinuedFrom,
    Progress,
    Way,
    gains,
)
from auditor.observations.continued_figures import WAYS, figures_of
from auditor.observations.performance import PerformanceOver
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.settings_code import optimizer_code
from auditor.observations.targets import TargetsOf, constant_scores

CONTINUED = ContinuedFrom()
TRAIN = PerformanceOver(split="train")
TARGETS = TargetsOf()
SETTINGS = SettingsOf()

FEWEST = 20
"""Training examples below which they are not set beside a constant answer."""
FEWEST_WRONG = 5
"""Examples that the constant must get wrong, so that there is something to be better at."""
FEWEST_SCORED = {"loss": 4}
"""Batches below which the gain in the losses of whole batches is not judged; else `FEWEST`."""
FEWEST_STEPS = 8
"""Steps below which it proves nothing that copies gain nothing."""
LEFT = 0.1
"""Share of a constant's loss left on training data below which a gain is not called underfitting:
a model that is right in 98 of 100 cases and could be in 99 is tuned, not rescued."""


@check(
    title="Training was brought to an end",
    failure_title="The model is underfitted",
    needs=(CONTINUED,),
    wants=(TRAIN, TARGETS, SETTINGS),
    limits={
        "gain": Limit(
            warn=NOTABLE,
            fail=0.2,
            source="in losses of a constant answer, by 16 steps: fifteen healthy models gain at "
            "most 0.004 beyond doubt, nine stopped after an epoch 0.03 to 0.4; a fifth of all that "
            "can be learnt, in so few steps, is a model that has hardly begun",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge whether further training certainly helps, and whether anything was learnt."""
    found, limit, settings = seen[CONTINUED], limits["gain"], seen.get(SETTINGS) or Settings()
    least = limit.warn if limit.warn is not None else NOTABLE
    tried: tuple[Way, ...] = ("declared", "freed", "faster")
    ways = [way for way in tried if found.val.gain(way) is not None]
    contests = _contests(seen, found)
    unlearnt = bool(contests) and all(contest.gain <= contest.least for contest in contests)
    scored = min(len(found.train.before), len(found.val.before))
    enough = scored >= FEWEST_SCORED.get(found.unit, FEWEST)
    shown = [way for way in ways if enough and gains(found, way, least)]
    way: Way | None = shown[0] if shown else None
    left = found.left
    figures = figures_of(found, ways, _how(found, "declared"))
    metrics = _metrics(found, ways, contests, limit)
    if unlearnt:
        scores = "; ".join(f"{c.name} {c.value} against {c.others_value}" for c in contests)
        told = _sentence(found, way) if way else _nothing(found, ways, least)
        return Judgement(
            Verdict.FAIL,
            f"On {len(contests[0].model):,} training examples the model is no better than a "
            f"constant answer: {scores}. {told}",
            metrics,
            (
                Place("setting", "training", "no better than a constant on its own training data"),
                *((_place(found, way, settings),) if way == "faster" else ()),
            ),
            _advice_unlearnt(found, way, settings),
            figures,
        )
    if not ways:
        return _not_told(found)
    if way is not None:
        bound = min(_gain(found.train, way)[1], _gain(found.val, way)[1])
        verdict = Verdict.FAIL if limit.fail is not None and bound > limit.fail else Verdict.WARN
        told = _sentence(found, way)
        if left is not None and left < LEFT:
            return Judgement(
                Verdict.INFO,
                f"{told} But only {100 * left:.2g} % of a constant's loss was left on training "
                "data, so that this is a matter of tuning.",
                metrics,
                figures=figures,
            )
        return Judgement(
            verdict,
            f"{told}{_reason(found, way)}",
            metrics,
            (_place(found, way, settings),),
            _advice(found, way, settings),
            figures,
        )
    # Large steps are uncertain ones: what they may gain raises no doubt.
    verdict, doubt = _doubt(found, [way for way in ways if way != "faster"], least)
    if not enough:
        verdict = Verdict.INFO
        what = "batches" if found.unit == "loss" else "examples"
        doubt += f" With only {scored} {what} to tell it by, that proves nothing."
    if contests and not any(contest.won for contest in contests):
        verdict = Verdict.INFO
        doubt += " Whether it is better than a constant answer on training data is not certain."
    share = "" if left is None else f" Left of a constant's loss: {100 * left:.2g} % in training."
    pace = _pace(found, settings)
    return Judgement(
        verdict, f"{_nothing(found, ways, least)}{share}{doubt}{pace}", metrics, figures=figures
    )


def _contests(seen: Seen, found: Continued) -> list[Contest]:
    """Return the contests with a constant on training data, none where it can't be told."""
    train, targets = seen.get(TRAIN), seen.get(TARGETS)
    if train is None or targets is None or targets.split != "train":
        return []
    if found.unit == "loss" and train.metric != "accuracy":
        return []  # A loss of the user's own may ask for something other than the mean.
    scores = np.asarray(train.scores, float)
    _, constant = constant_scores(train, targets.targets)
    if constant is None or len(scores) < FEWEST or not np.isfinite(scores).all():
        return []
    known = np.isfinite(constant)
    higher = train.metric == "accuracy"
    missed = float((1 - constant[known]).sum() if higher else constant[known].sum())
    if missed < FEWEST_WRONG if higher else missed <= 0:
        return []
    return against_constant(train, constant, known, 0.0, seen.rng)


def _gain(progress: Progress, way: Way) -> tuple[float, float, float]:
    gain = progress.gain(way)
    return gain if gain is not None else (float("nan"),) * 3


def _how(found: Continued, way: Way) -> str:
    if way == "freed":
        return FREED
    if way == "faster":
        return f"the same at a learning rate of {found.faster_rate:g}"
    moments = ", its moments going on" if found.restored else ""
    return f"{found.optimizer}{moments}" + (f" ({found.note})" if found.note else "")


def _measure(found: Continued) -> str:
    return "a fresh model's surplus" if found.unit == "loss" else "a constant's loss"


def _sentence(found: Continued, way: Way) -> str:
    """Return what further training brings, in numbers."""
    value, low, high = _gain(found.val, way)
    before, after = float(np.mean(found.val.before)), float(found.val.after(way).mean())
    own = float(np.mean(found.train.before)), float(found.train.after(way).mean())
    copies = counted(len(found.val.after(way)), "copy", "copies")
    right = ""
    if found.val.right_before.size:
        then = found.val.right_after(way)
        right = f", accuracy from {np.mean(found.val.right_before):.3g} to {np.mean(then):.3g}"
    return (
        f"{found.steps} more steps of {_how(found, way)} bring the validation {found.unit} of "
        f"{copies} from {before:.3g} to {after:.3g}{right}, and that of training from {own[0]:.3g} "
        f"to {own[1]:.3g}: a gain of {percent(value)} % of {_measure(found)} (99 % interval "
        f"{percent(low)} to {percent(high)} %)."
    )


def _reason(found: Continued, way: Way) -> str:
    if way == "faster":
        return (
            f" At {found.rate:g} it gains nothing of the kind, nor does {FREED}: the learning rate "
            "is too low to get anywhere in so few updates."
        )
    if way == "declared":
        return " The loss was still falling when training stopped."
    return (
        " Going on as declared gains nothing of the kind, so it is not for want of steps: the "
        "learning rate, the weight decay or the dropout holds it back."
    )


def _nothing(found: Continued, ways: list[Way], least: float) -> str:
    if not ways:
        return "What further training brings can't be told."
    open_ = any(
        min(_gain(progress, way)[0] for progress in (found.train, found.val)) > least
        for way in ways
        if way != "faster"
    )
    parts = []
    for way in ways:
        value, low, high = _gain(found.val, way)
        parts.append(
            f"{_how(found, way)}: a gain of {percent(value)} % of {_measure(found)} on validation "
            f"data (99 % interval {percent(low)} to {percent(high)} %)"
        )
    steps = counted(found.steps, "more step")
    first = f"What {steps} bring is not certain" if open_ else f"{steps} change little"
    return f"{first}. {'; '.join(parts)}.{_diverged(found)}"


def _diverged(found: Continued) -> str:
    """Tell where going on as declared makes the loss infinite."""
    after = found.val.after("declared")
    if not after.size or np.isfinite(after).all():
        return ""
    return f" With {_how(found, 'declared')} the loss is no longer finite."


def _doubt(found: Continued, ways: list[Way], least: float) -> tuple[Verdict, str]:
    """Return the verdict where no gain is shown, with what is open."""
    if found.steps < FEWEST_STEPS:
        return Verdict.INFO, (
            f" The model is so costly that only {found.steps} of {found.planned} steps were taken; "
            "that proves nothing."
        )
    for way in ways:
        gain = [_gain(progress, way) for progress in (found.train, found.val)]
        if all(value > least for value, _, _ in gain):
            weak = min((found.train, found.val), key=lambda one: _gain(one, way)[1])
            examples = len(weak.before)
            needed = examples_to_settle(examples, *_gain(weak, way), least)
            settle = f"; about {needed:,} examples would settle it" if needed else ""
            return Verdict.INFO, f" Whether this is more than {100 * least:.2g} % is open{settle}."
    return Verdict.PASS, ""


def _pace(found: Continued, settings: Settings) -> str:
    """Tell what an epoch at this pace would bring, where that is something and shown."""
    gain = [_gain(progress, "declared") for progress in (found.train, found.val)]
    if settings.per_epoch <= found.steps or not all(low > 0 for _, low, _ in gain):
        return ""
    epoch = min(value for value, _, _ in gain) * settings.per_epoch / found.steps
    if epoch < NOTABLE:
        return ""
    return (
        f" It still falls, slowly: an epoch of {settings.per_epoch:,} steps at this pace would "
        f"bring {100 * epoch:.2g} %."
    )


def _not_told(found: Continued) -> Judgement:
    after = found.val.after("declared")
    if after.size and not np.isfinite(after).all():
        return Judgement(
            Verdict.INFO,
            f"Within {found.steps} more steps of {_how(found, 'declared')} the loss is no longer "
            "finite, so that what further training brings can't be told.",
        )
    if not np.isfinite(found.val.before).all():
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "The checkpoint's losses are not finite, so no gain can be told.",
        )
    moved = ""
    if after.size:
        before = float(np.mean(found.val.before))
        moved = (
            f" {found.steps} more steps bring the validation loss of batches from {before:.3g} to "
            f"{after.mean():.3g}."
        )
    fresh = "nor can a fresh model be built"
    if np.isfinite(found.fresh):
        own = float(np.mean(found.val.before))
        fresh = (
            f"and a fresh model loses no more than this one ({found.fresh:.3g} in validation, this "
            f"one {own:.3g}), as if it had learnt nothing"
        )
    return Judgement(
        Verdict.INFO,
        f"No constant answer is known for this task, {fresh}, so it can't be told how much there "
        f"is to gain.{moved}",
    )


def _place(found: Continued, way: Way, settings: Settings) -> Place:
    if way == "freed":
        decay = max((group.number("weight_decay") for group in settings.groups), default=0.0)
        return Place(
            "setting", "training.optimizer", f"learning rate {found.rate:g}, weight decay {decay:g}"
        )
    if way == "faster":
        return Place(
            "setting",
            "training.optimizer.lr",
            f"learning rate {found.rate:g}, held back: {found.faster_rate:g} gains",
        )
    known = [
        _epochs(settings.epochs) if settings.epochs is not None else "",
        f"{settings.updates:,.0f} updates" if settings.updates is not None else "",
    ]
    return Place("setting", "training.epochs", " or ".join(k for k in known if k) or "too few")


RESUMED = """\
checkpoint = torch.load(path, map_location="cpu", weights_only=True)
model.load_state_dict(checkpoint["model"])
optimizer.load_state_dict(checkpoint["optimizer"])"""
"""Takes up a training where it was left."""


def _epochs(number: float) -> str:
    return f"{number:g} epoch" if number == 1 else f"{number:g} epochs"


def _advice(found: Continued, way: Way, settings: Settings) -> tuple[str, ...]:
    if way == "freed":
        return (
            step(
                f"Try a learning rate ten times {found.rate:g} from the checkpoint for "
                f"{found.steps} steps; if the loss falls, the rate was too low.",
                optimizer_code(settings, lr=10 * found.rate) if found.rate > 0 else "",
            ),
            "Then set the weight decay to 0 and every dropout rate to 0, one at a time; keep the "
            "regularisation out until training data is fitted, and put it back only where "
            "validation gains by it.",
            step(
                "Train on from the checkpoint with Adam, which brought the gain above in "
                f"{found.steps} steps:",
                snippets.optimizer("Adam", {"lr": 1e-3}),
            ),
        )
    if way == "faster":
        return (
            step(
                f"Raise the learning rate to {found.faster_rate:g}: it brought the gain above in "
                f"{found.steps} steps; or train for many times as many updates.",
                optimizer_code(settings, lr=found.faster_rate),
            ),
            "Look at the loss curve: one that lies flat for long and then falls (a plateau, as "
            "small networks of sigmoids have at the start) needs patience or larger steps.",
        )
    epochs = settings.epochs
    more = (
        f"Train for {_epochs(2 * epochs)} at least, instead of {epochs:g}"
        if epochs
        else "Train twice as long"
    )
    return (
        step(
            f"{more}, and longer while the validation loss falls. Go on from the checkpoint, its "
            "optimizer's state too, where that was saved (here under the usual names):",
            RESUMED,
        ),
        "Stop by the validation loss, not by a number of epochs: save the best checkpoint and stop "
        "when it has not fallen for five epochs.",
        "With a schedule, stretch it over the new length, so that the rate comes down at the end.",
    )


def _advice_unlearnt(found: Continued, way: Way | None, settings: Settings) -> tuple[str, ...]:
    first = step(
        "Overfit a single batch: train on 8 examples until the loss is near zero. If that fails, "
        "the model, the loss or the learning rate is at fault, not the length of training.",
        probes.ONE_BATCH,
    )
    if way is None:
        return (
            first,
            step("Make sure that the weights arrive:", probes.STRICT),
        )
    return (*_advice(found, way, settings), first)


def _metrics(
    found: Continued, ways: list[Way], contests: list[Contest], limit: Limit
) -> tuple[Metric, ...]:
    metrics = []
    for way in ways:
        for name, progress in (("validation", found.val), ("training", found.train)):
            gain = _gain(progress, way)
            metrics.append(
                Metric(
                    f"gain in {name} loss, {WAYS[way]}", gain[0], "", *_plain(progress, way), limit
                )
            )
    metrics += [
        Metric(f"training {c.name} over a constant's", c.gain, c.unit, c.low, c.high)
        for c in contests
    ]
    return tuple(metrics)


def _plain(progress: Progress, way: Way) -> tuple[float, float]:
    """Return the 95 % interval of a gain, of the mean over copies."""
    fallen = (np.asarray(progress.before, float) - progress.after(way)).mean(axis=0)
    low, high = mean_interval(fallen)
    return low / progress.scale, high / progress.scale
