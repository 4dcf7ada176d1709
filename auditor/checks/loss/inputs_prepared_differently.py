"""Validation inputs that are turned, reordered or renumbered, and the way back.

What it does
------------
Gives the checkpoint its validation inputs arranged otherwise: mirrored, turned, light for dark
(largest + smallest - x), dimensions or columns exchanged, tokens numbered one higher or lower.
Tells where it is right far more often, and whether training data can be told from validation data
at all.

Why it matters
--------------
Images read by another library come with other channels, rows and columns exchanged, or upside down;
another program orders the columns of a table, another version the entries of a tokenizer otherwise.
Nothing raises an error: the model merely seems bad, and training it anew does not help.

How it is measured
------------------
Some validation examples choose the way with the lowest loss; the others, which did not choose,
measure it in pairs. The check fails where the loss is lower by the limit below and than that of the
best constant answer, and either the accuracy rises by 5 points or the loss falls by half, beyond
doubt at 99 %: inputs in another order are not smaller ones. Where the loss comes to less than half
of the constant's, so that the model knows such inputs, a few surprises may blur it: then it is
enough that surely more answers are put right than wrong (a sign test). Columns of a table are also
matched to those of training, one to one, by their distributions. The check warns where no
way does it, but validation does far worse than training and a linear model that learnt from half of
the examples tells those splits apart in the other half, both at 99 %: then they differ in some
other way. Scales are the matter of `inputs-not-normalised`.

When it misleads
----------------
Validation data that is meant to differ (another year, another hospital, another camera) is told
from training data rightly. Training data that is augmented is as well, but then the model does not
do far worse on validation.

What to do
----------
Prepare both splits, and the inputs in use, by one function, and keep it with the checkpoint. Draw
an example of each side by side, as the model gets them.

Source
------
Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests"; Rabanser, Günnemann & Lipton 2019,
"Failing Loudly: An Empirical Study of Methods for Detecting Dataset Shift".
"""

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import clopper_pearson, mean_interval, paired_bootstrap, welch_interval
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.preparation import Prepared, PreparedOver, score

PREPARED = PreparedOver()

FEWEST = 20
"""Examples below which nothing is said of a difference."""

SURE = 0.99

BETTER = 0.05
"""What the accuracy must gain at least, unless the loss surely falls to less than `HALF`."""

HALF = 0.5

WORSE = 0.15
"""By how much less validation is right, or its error larger as a share of the constant's."""


@check(
    title="Validation inputs are prepared as those of training",
    failure_title="Validation inputs are prepared otherwise than those of training",
    needs=(PREPARED,),
    limits={
        "fall": Limit(
            warn=0.25,
            source="share by which the loss falls; no way to arrange inputs lowers that of a "
            "healthy model measured at all",
        ),
        "told_apart": Limit(
            warn=0.7,
            source="share of examples whose split a linear model tells; half is chance, and a "
            "mean that differs by one deviation in one column gives 0.69",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by what arranging the inputs otherwise brings, then by whether splits differ."""
    tried = seen[PREPARED]
    if len(tried.before) < FEWEST:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{FEWEST} examples are needed beside those that choose a way, "
            f"{len(tried.before)} were there.",
        )
    metrics = _metrics(tried, limits)
    figures = _figures(tried)
    if tried.tried and _better(tried, limits["fall"].warn or 0.0, seen.rng):
        return _wanted(tried, metrics, figures, seen.rng)
    gap = _gap(tried)
    if gap > WORSE and limits["told_apart"].verdict(_surely_told(tried)) is not Verdict.PASS:
        return Judgement(
            Verdict.WARN,
            "Validation inputs are not like those of training: a linear model tells which split an "
            f"example is of in {np.mean(tried.told):.0%} of {counted(len(tried.told), 'example')} "
            "that it did not learn from, where half would be chance, and the model does far worse "
            f"on validation ({_score(tried, tried.right_before)}) than on training data "
            f"({_score(tried, tried.train_right_before)}).",
            metrics=metrics,
            where=(Place("setting", "data.val", "unlike data.train"),),
            advice=(
                step(
                    "Put inputs of `data.train` and `data.val` side by side, as the model gets "
                    "them:",
                    "for loader in (train_loader, val_loader):\n"
                    "    inputs, _ = next(iter(loader))\n"
                    "    print(inputs.shape, inputs.dtype, inputs.float().mean(0).flatten()[:8])\n"
                    "    print(inputs[0])",
                ),
                "Prepare both by one function: the same reader, the same order of columns, axes "
                "and channels, the same scale, the same tokenizer.",
                "If they are meant to differ (another source, another time), the gap is real: "
                "train on data of that kind too.",
            ),
            figures=figures,
        )
    none = "no way to arrange them otherwise applies"
    what = (
        f"the best of {counted(len(tried.tried), 'other way')} to arrange the inputs "
        f"({tried.best}) gives a loss of {np.mean(tried.after):.4g} instead of "
        f"{np.mean(tried.before):.4g}, which speaks for none"
    )
    return Judgement(
        Verdict.PASS if tried.tried else Verdict.INFO,
        f"Of the validation inputs, {what if tried.tried else none}.",
        metrics=metrics,
        figures=figures,
    )


def _better(tried: Prepared, fall: float, rng: np.random.Generator) -> bool:
    """Tell whether the best way surely makes the loss and the score better, and useful."""
    before, after = np.asarray(tried.before, float), np.asarray(tried.after, float)
    if not np.isfinite(after).all() or not after.mean() < 0.95 * tried.constant:
        return False
    if not after.mean() < (1 - fall) * before.mean():
        return False
    falls = paired_bootstrap((1 - fall) * before, after, rng, confidence=SURE)[0] > 0
    if not tried.higher:
        return falls
    gain = score(tried.right_after) - score(tried.right_before)
    if after.mean() < HALF * tried.constant and gain > BETTER and _more_often_right(tried):
        return True
    low, _ = paired_bootstrap(tried.right_after, tried.right_before, rng, confidence=SURE)
    halved = paired_bootstrap(HALF * before, after, rng, confidence=SURE)[0] > 0
    return falls and (low > BETTER or (halved and gain > 0))


def _more_often_right(tried: Prepared) -> bool:
    """Tell whether more examples are surely put right than wrong (a sign test)."""
    before, after = np.asarray(tried.right_before), np.asarray(tried.right_after)
    mended, spoilt = int((after > before).sum()), int((after < before).sum())
    return clopper_pearson(mended, mended + spoilt, SURE)[0] > HALF


def _wanted(
    tried: Prepared, metrics: tuple[Metric, ...], figures: tuple[Figure, ...],
    rng: np.random.Generator,
) -> Judgement:  # fmt: skip
    """Say which way the checkpoint wants its inputs, and whether training data has it."""
    both = False
    if len(tried.train_before):
        both = paired_bootstrap(tried.train_before, tried.train_after, rng, confidence=SURE)[0] > 0
    side = "data.train and data.val" if both else "data.val"
    there = ""
    if both:
        there = (
            f" On training data it falls too, from {score(tried.train_before):.4g} to "
            f"{score(tried.train_after):.4g}: neither split is what the checkpoint learnt from."
        )
    elif len(tried.train_before):
        there = (
            f" Training data is right as it is (loss {score(tried.train_before):.4g}, "
            f"{score(tried.train_after):.4g} if arranged so)."
        )
    return Judgement(
        Verdict.FAIL,
        f"The checkpoint wants other inputs: {tried.best}, the validation loss falls from "
        f"{np.mean(tried.before):.4g} to {np.mean(tried.after):.4g} "
        f"({_score(tried, tried.right_before)} to {_score(tried, tried.right_after)}, over "
        f"{counted(len(tried.before), 'example')} that did not choose this).{there}",
        metrics=metrics,
        where=(Place("setting", side, f"wanted {tried.best}"),),
        advice=(
            f"Compare, step by step, how the training run read and prepared its inputs with how "
            f"`{side}` does: it has to be undone here that inputs come {tried.best}.",
            "Make it one function that both splits, and the model in use, go through.",
            "Keep that function, or its version, with the checkpoint.",
        ),
        figures=figures,
    )


def _gap(tried: Prepared) -> float:
    """Return by how much validation surely does worse than training."""
    if len(tried.train_right_before) < FEWEST:
        return 0.0
    low, high = welch_interval(tried.train_right_before, tried.right_before, SURE)
    return low if tried.higher else -high / tried.constant


def _surely_told(tried: Prepared) -> float:
    """Return the share of examples whose split is told at least."""
    if len(tried.told) < FEWEST:
        return 0.5
    return clopper_pearson(int(np.sum(tried.told)), len(tried.told), SURE)[0]


def _score(tried: Prepared, scores: object) -> str:
    mean = float(np.mean(np.asarray(scores, float)))
    return f"accuracy {mean:.1%}" if tried.higher else f"{tried.metric} {mean:.4g}"


def _metrics(tried: Prepared, limits: Limits) -> tuple[Metric, ...]:
    found = [
        Metric("validation loss as it is", score(tried.before), "", *mean_interval(tried.before))
    ]
    if tried.tried:
        found.append(
            Metric(
                f"validation loss, {tried.best}",
                score(tried.after),
                "",
                *mean_interval(tried.after),
            )
        )
    if len(tried.told) >= FEWEST:
        found.append(
            Metric(
                "examples whose split a linear model tells",
                score(tried.told),
                "share",
                *clopper_pearson(int(np.sum(tried.told)), len(tried.told)),
                limits["told_apart"],
            )
        )
    return tuple(found)


def _figures(tried: Prepared) -> tuple[Figure, ...]:
    order = np.argsort(tried.losses, kind="stable")[:12]
    order = order[np.isfinite(np.asarray(tried.losses, float)[order])]
    if not len(order):
        return ()
    return (
        Bars(
            "Loss with the inputs arranged otherwise",
            "Validation loss of the checkpoint on the examples that chose, best first; the line is "
            "the loss with the inputs as they are, on the others.",
            "loss",
            tuple(tried.tried[int(i)].removeprefix("with ").removeprefix("the ") for i in order),
            tuple(float(tried.losses[int(i)]) for i in order),
            guides=(Guide(score(tried.before), "as they are"),),
        ),
    )
