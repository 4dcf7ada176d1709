"""Training far better than validation, and validation examples that stand in training.

What it does
------------
Compares the model on training and on validation data, example by example, in evaluation mode, and
looks whether validation data is new at all.

Why it matters
--------------
What is learnt by heart is of no use on new data. And a validation score measures that only as far
as its examples were not trained on: a split that shares examples looks as good as training does,
until the model meets the world.

How it is measured
------------------
The gap is that of the task's metric: of accuracy in units of the best constant answer's error, of
squared or absolute error each in errors of its own split's best constant (a difference of R²), of a
loss of your own in what the model has learnt in training, a fresh model's loss less its own. Its
interval is Welch's, of 99 % before anything is said. It warns beyond the first limit, fails beyond
the second, and also where the first is passed while validation is beyond doubt less than a tenth of
a unit better than a constant: then nothing carries over. Gaps below the first limit are everyday:
99.9 % in training beside 98 % is a good model. It warns, too, where validation cross-entropy is
beyond doubt worse than a constant's while training's is below half of it: the model is sure of its
mistakes.

Validation examples stand in training where input and target agree to six digits, padding left
aside, or where both loaders draw the same indices of one dataset; as many as training examples have
a copy in training are usual (values that are few repeat themselves). What was not trained on is
judged by itself. Validation that is better than training beyond doubt, by more than a twentieth of
a unit and more than other class shares can explain, is suspicious: dropout is off on both sides.

When it misleads
----------------
Augmented training data is harder than what was fitted, so the gap looks smaller than it is; where
another pass gives other examples, this is said. A validation set of another kind than training's
(later, from elsewhere) makes a gap that is no overfitting. Crops, flips or neighbouring frames of a
training example are not recognised as the same. What is not read (large splits) is not compared.

What to do
----------
Make the split honest first. Then fewer epochs or early stopping, weight decay, dropout,
augmentation, a smaller model, more data, one at a time, watching validation.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", chapters 5.2 and 7; Zhang et al. 2017,
"Understanding deep learning requires rethinking generalization" (random labels are learnt, too);
Guo et al. 2017, section 3 (loss overfits before accuracy); Barz & Denzler 2020, "Do We Train on
Test Data?" (3.3 % and 10 % of the test images of CIFAR-10 and CIFAR-100 have a copy in training);
Welch 1947.
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Place
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.continued import Continued, ContinuedFrom
from auditor.observations.generalisation import (
    Sides,
    Surprise,
    batch_sides,
    sides_of,
    surprise_of,
)
from auditor.observations.generalisation_figures import figures_of, metrics_of, shared_bars
from auditor.observations.leak import Part, leak_of, unseen_of
from auditor.observations.losses import LossesOver
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.settings_code import optimizer_code
from auditor.observations.shared_examples import SharedExamples, SharedExamplesOver
from auditor.observations.targets import TargetsOf, class_mix

SHARED = SharedExamplesOver()
TRAIN = PerformanceOver(split="train")
VAL = PerformanceOver(split="val")
TRAIN_LOSSES = LossesOver(split="train")
VAL_LOSSES = LossesOver(split="val")
CONTINUED = ContinuedFrom()
SETTINGS = SettingsOf()
TRAIN_TARGETS = TargetsOf(split="train")
VAL_TARGETS = TargetsOf(split="val")

NOTHING = 0.05
"""Units: a lead over a constant, or of validation over training, below which there is none of note;
seeds alone move a score by a few hundredths (Bouthillier et al. 2021)."""
HARDLY = 0.1
"""Units: a validation score whose lead over a constant is surely below this is worth nothing."""


@check(
    title="What was learnt carries over to new data",
    failure_title="The model is overfitted, or validation can't tell",
    needs=(SHARED,),
    wants=(
        TRAIN,
        VAL,
        TRAIN_LOSSES,
        VAL_LOSSES,
        CONTINUED,
        SETTINGS,
        TRAIN_TARGETS,
        VAL_TARGETS,
    ),
    limits={
        "gap": Limit(
            warn=0.2,
            fail=0.5,
            source="in a constant's errors, with 99 % confidence: a fifth, and half, of what there "
            "is to learn is learnt of the training data only; healthy models of fifteen kinds have "
            "gaps up to 0.1",
        ),
        "shared": Limit(
            warn=0.1,
            fail=0.5,
            source="share of validation: Barz & Denzler 2020 found 3.3 and 10 % in benchmarks in "
            "use, which changes scores little; from half on a score is mostly one of memory",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the gap between the splits, and whether validation examples are new."""
    shared, settings = seen[SHARED], seen.get(SETTINGS) or Settings()
    train, val, continued = seen.get(TRAIN), seen.get(VAL), seen.get(CONTINUED)
    unseen = unseen_of(shared, val)
    sides = _sides(seen, train, val, unseen, continued)
    surprise = None
    if train is not None and val is not None and not isinstance(sides, str):
        surprise = surprise_of(train, val, unseen)
    leak = leak_of(shared, val, limits["shared"])
    parts: list[Part] = []
    if isinstance(sides, str):
        parts.append(Part(Verdict.NOT_APPLICABLE, f"The gap is not judged: {sides}."))
    else:
        mix = class_mix(seen.get(TRAIN_TARGETS), seen.get(VAL_TARGETS))
        parts.append(_gap(sides, limits["gap"], settings, continued))
        parts.append(_spoilt(surprise))
        if leak.verdict in (Verdict.PASS, Verdict.INFO):
            parts.append(_too_good(sides, mix, shared))
    parts.append(leak)
    if shared.varies == "yes":
        text = (
            "Training examples change from pass to pass (augmentation), so that the training score "
            "is that of altered ones and the true gap is larger."
        )
        parts.append(Part(Verdict.PASS, text))
    verdict = worst(part.verdict for part in parts)
    quiet = verdict in (Verdict.PASS, Verdict.INFO, Verdict.NOT_APPLICABLE)
    if quiet and any(part.verdict is Verdict.INFO for part in parts):
        verdict = Verdict.INFO
    elif quiet and isinstance(sides, str):
        verdict = Verdict.NOT_APPLICABLE
    telling = sorted((p for p in parts if p.text), key=lambda part: _RANK.index(part.verdict))
    return Judgement(
        verdict,
        " ".join(part.text for part in telling),
        metrics_of(sides, surprise, shared, limits),
        tuple(place for part in telling for place in part.where),
        tuple(line for part in telling for line in part.advice)[:MOST_STEPS],
        (*figures_of(sides, surprise), *shared_bars(shared)),
    )


MOST_STEPS = 6
"""Steps of advice on one finding: those on the worst part come first."""

BEST_KEPT = """\
best = float("inf")
for epoch in range(epochs):
    train_one_epoch(model)
    loss = validation_loss(model)
    if loss < best:
        best = loss
        torch.save(model.state_dict(), "best.pt")"""
"""A training that keeps its best checkpoint, on two functions of the reader's own."""

_RANK = (Verdict.FAIL, Verdict.WARN, Verdict.INFO, Verdict.NOT_APPLICABLE, Verdict.PASS)


def _sides(
    seen: Seen,
    train: Performance | None,
    val: Performance | None,
    unseen: Array,
    continued: Continued | None,
) -> Sides | str:
    own_loss = continued is not None and continued.unit == "loss"
    if train is not None and val is not None and not (own_loss and val.metric != "accuracy"):
        return sides_of(train, val, unseen)
    losses, others = seen.get(TRAIN_LOSSES), seen.get(VAL_LOSSES)
    if losses is None or others is None:
        return seen.missing(TRAIN) or seen.missing(VAL) or "no loss can be measured on both splits"
    return batch_sides(losses, others, continued)


def _gap(sides: Sides, limit: Limit, settings: Settings, continued: Continued | None) -> Part:
    """Judge how much worse validation is than training."""
    low, high = sides.interval()
    _, carried = sides.carried()
    warn = limit.warn if limit.warn is not None else np.inf
    units = "of what was learnt" if sides.name == "loss" else "of a constant's error"
    told = (
        f"{sides.name[0].upper()}{sides.name[1:]} is {sides.train.mean():.3g} in training and "
        f"{sides.val.mean():.3g} in validation"
    )
    ends = f"99 % interval {low:.2g} to {high:.2g}"
    if not low > warn:
        if sides.gap > warn:
            needed = sides.to_settle(warn)
            settle = f" About {needed:,} examples of each split would settle it." if needed else ""
            return Part(
                Verdict.INFO,
                f"{told}, a gap of {sides.gap:.2g} {units} ({ends}): whether that is more than "
                f"{warn:g} is open.{settle}",
            )
        return Part(
            Verdict.PASS, f"{told}: the gap is {sides.gap:.2g} {units} ({ends}), which is usual."
        )
    nothing = carried < HARDLY
    deep = nothing or (limit.fail is not None and low > limit.fail)
    reference = "a fresh model" if sides.name == "loss" else "a constant answer"
    text = (
        f"{told}, where {reference} has {sides.constant:.3g}: a gap of {sides.gap:.2g} {units} "
        f"({ends})."
    )
    if nothing:
        text += (
            f" On new data it is hardly better than {reference}: what it knows it knows by heart."
        )
    return Part(
        Verdict.FAIL if deep else Verdict.WARN,
        text + _onward(continued),
        (
            Place(
                "setting",
                "training",
                f"{sides.name} {sides.train.mean():.3g} in training, {sides.val.mean():.3g} in "
                "validation",
            ),
        ),
        _advice(settings, nothing=nothing),
    )


def _onward(continued: Continued | None) -> str:
    """Tell where further training makes validation worse."""
    gain = continued.val.gain("declared") if continued is not None else None
    if continued is None or gain is None or not gain[2] < 0:
        return ""
    after = continued.val.after("declared").mean()
    return (
        f" It goes on: {continued.steps} more steps bring the validation loss from "
        f"{np.mean(continued.val.before):.3g} to {after:.3g}."
    )


def _advice(settings: Settings, *, nothing: bool) -> tuple[str, ...]:
    decays = [group.number("weight_decay") for group in settings.groups]
    if decays:
        now = f"it is {max(decays):g} by {settings.source('groups')}"
    else:
        now = "what it is now is not known"
    epochs = f" Training went on for {settings.epochs:g} epochs." if settings.epochs else ""
    decay = 5e-4 if settings.optimizer == "SGD" else 0.05
    if decays and max(decays) > 0:
        decay = 3 * max(decays)
    lines = (
        step(
            f"Stop earlier: keep the checkpoint with the best validation score.{epochs}",
            BEST_KEPT,
        ),
        step(
            f"Raise the weight decay ({now}): 0.01 to 0.1 with `torch.optim.AdamW`, 5e-4 with SGD; "
            "then dropout of 0.1 to 0.5 before the last layers, one change at a time.",
            optimizer_code(settings, weight_decay=decay),
        ),
        "Augment the training data, or get more of it: of all remedies the surest.",
        "Make the model smaller: halve its widths as long as the training score stays.",
    )
    if not nothing:
        return lines
    return (
        "Look at 20 training examples with their labels, just before they enter the model: where "
        "labels are random or in another order than their inputs, all that can be learnt is learnt "
        "by heart. Do the same with validation: are classes numbered alike, inputs scaled alike?",
        *lines,
    )


def _spoilt(surprise: Surprise | None) -> Part:
    """Judge whether validation cross-entropy is worse than a constant's."""
    if surprise is None or not surprise.spoilt:
        return Part(Verdict.PASS, "")
    return Part(
        Verdict.WARN,
        f"In validation the cross-entropy is {surprise.val:.3g} nats, worse than that of a "
        f"constant answer ({surprise.constant:.3g}) beyond doubt, in training it is "
        f"{surprise.train:.3g}: the model is sure of its mistakes.",
        (Place("setting", "training", f"cross-entropy {surprise.val:.3g} in validation"),),
        (
            step(
                "Choose the checkpoint by the validation loss, not by accuracy, and smooth the "
                "labels:",
                "loss_fn = torch.nn.CrossEntropyLoss(label_smoothing=0.1)",
            ),
        ),
    )


def _too_good(sides: Sides, mix: float, shared: SharedExamples) -> Part:
    """Judge whether validation is better than training."""
    low = -sides.interval()[1] - mix / sides.unit
    if not low > NOTHING:
        return Part(Verdict.PASS, "")
    text = (
        f"Validation is better than training beyond doubt: {sides.name} {sides.val.mean():.3g} "
        f"against {sides.train.mean():.3g}, by {-sides.gap:.2g} units (at least {low:.2g}), with "
        "dropout off on both sides."
    )
    if shared.varies == "yes":
        return Part(Verdict.INFO, f"{text} Augmented training data is harder, which may be why.")
    return Part(
        Verdict.WARN,
        f"{text} Either its examples are easier, or the labels of training are worse, or it holds "
        "what was trained on in another form.",
        (Place("setting", "data.val", "easier than training data"),),
        (
            "Look at how validation was chosen: examples of one kind, cleaned by hand, sorted, or "
            "made from training examples (crops, neighbouring frames, translations)?",
            "Deal the data anew at random and train again: the scores of both splits should come "
            "to the same or favour training.",
        ),
    )
