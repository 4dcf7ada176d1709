"""Inputs and targets that do not belong together, in training or in validation data.

What it does
------------
Where the checkpoint is hardly better than a constant answer, tells whether the inputs of each split
say anything of its targets, by means that need no training of the model.

Why it matters
--------------
Inputs sorted, filtered or shuffled without their targets, a table joined on the wrong key, a file
of labels of another version: nothing raises an error, the loss prints, and a model can learn such
data by heart only. No change of the model, the loss or the learning rate helps.

How it is measured
------------------
Nothing is looked at where the model is without a tenth of a constant's errors on validation data,
for then its training pairs belong together. Else up to 512 different examples are drawn evenly from
each split, of classes that both have, inputs as standardised numbers or counts of tokens, numeric
targets as ranks. Whether targets depend on inputs is tested by kernels (the Hilbert-Schmidt
criterion of the pairing as it is among 299 random ones), and how much inputs tell is the share of
the targets' variance that linear or Gaussian kernel ridge regression predicts of examples left out.

The check fails where one split surely tells its targets and the other does not: the first is beyond
random pairing at 1 % and tells at least 5 % of the variance, and at least twice what the other
may tell at most, all at 99 %, from no more examples than the other has, of no class; and the other
is not beyond random pairing at 1 %. It warns where neither split tells anything (not beyond random
pairing at 5 %, surely less than a tenth of the variance, 200 examples or more) though the model
knows its training data by heart and is no better than a constant on validation data (the 99 %
interval begins at zero or below, and ends below a tenth).

When it misleads
----------------
Where only a large model can see how targets follow from inputs, such as parity or the speaker of a
recording, neither split tells anything; the model must then have failed to learn it, too, for a
warning. Augmentation so strong that plain numbers tell nothing any more is taken for torn pairs
where the model has learnt nothing from it either. Where neighbours in file order are alike
(overlapping windows of a time series, frames of a film) they would tell each other's targets, and
nothing is said. Pairs of which some are right tell
less, but something: of those see `suspicious-labels`.

What to do
----------
Print a few examples beside their targets just before they enter the model, in the split named.
Shuffle, filter and sort inputs and targets by one and the same index.

Source
------
Gretton, Fukumizu, Teo, Song, Schölkopf & Smola 2007, "A Kernel Statistical Test of Independence".
Zhang, Bengio, Hardt, Recht & Vinyals 2017, "Understanding deep learning requires rethinking
generalization" (networks learn random labels by heart).
"""

import numpy as np

from auditor.core import probes
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars
from auditor.core.finding import Judgement, Metric, Place
from auditor.core.request import Split
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.target_relation import (
    RELATED,
    Relation,
    TargetRelation,
    TargetRelationOver,
    Torn,
    torn,
)

RELATION = TargetRelationOver()

NAMES: dict[Split, str] = {"train": "training", "val": "validation"}


@check(
    title="Inputs and targets belong together",
    failure_title="Inputs and targets do not belong together",
    needs=(RELATION,),
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by whether one split tells its targets and the other does not."""
    told = seen[RELATION]
    if told.known:
        least = told.model["val"].without[0]
        return Judgement(
            Verdict.PASS,
            f"On validation data the model is without {least:.0%} of a constant answer's errors at "
            "least: the pairs that it learnt from belong together.",
        )
    if not told.whole:
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {told.reason}.")
    which = torn(told)
    sentences = " ".join(_sentence(split, told.whole[split]) for split in NAMES)
    metrics = tuple(
        Metric(f"variance that inputs tell, {name}", one.told, "share", *one.bounds)
        for split, name in NAMES.items()
        for one in (told.whole[split],)
    )
    figures = (_bars(told, which),)
    if not which:
        both = all(one.chance <= RELATED for one in told.whole.values())
        return Judgement(
            Verdict.PASS if both else Verdict.INFO,
            sentences if both else f"{sentences} {_open(told)}",
            metrics=metrics,
            figures=figures,
        )
    splits: tuple[Split, ...] = ("train", "val") if which == "both" else (which,)
    return Judgement(
        Verdict.WARN if which == "both" else Verdict.FAIL,
        f"{sentences} {_reading(which)}",
        metrics=metrics,
        where=tuple(
            Place("setting", f"data.{split}", f"its inputs tell {_share(told.whole[split])}")
            for split in splits
        ),
        advice=_advice(splits),
        figures=figures,
    )


def _sentence(split: Split, one: Relation) -> str:
    low, high = one.bounds
    beyond = (
        f"more than random pairing would (p = {one.chance:.2g})"
        if one.chance <= RELATED
        else f"no more than random pairing may (p = {one.chance:.2g})"
    )
    return (
        f"Within {NAMES[split]} data, inputs tell {max(one.told, 0):.1%} of the variance of "
        f"targets left out (99 % interval {max(low, 0):.1%} to {max(high, 0):.1%}; "
        f"{counted(len(one.errors), 'example')}), {beyond}."
    )


def _share(one: Relation) -> str:
    return f"{max(one.told, 0):.1%} of its targets' variance"


def _open(told: TargetRelation) -> str:
    if all(one.chance > RELATED for one in told.whole.values()):
        return (
            "Whether pairs are torn or only a larger model can see how targets follow from inputs "
            "is not known."
        )
    return "By that alone no split's pairs are surely torn."


def _reading(which: Torn) -> str:
    if which == "both":
        return (
            "The model knows its training data by heart, and is no better than a constant on "
            "validation data: inputs and targets do not belong together, or nothing in the inputs "
            "tells the targets."
        )
    pair: tuple[Split, Split] = ("val", "train") if which == "train" else ("train", "val")
    sound, bad = pair
    return (
        f"So the inputs and targets of {NAMES[sound]} data belong together, and those of "
        f"{NAMES[bad]} data do not."
    )


def _advice(splits: tuple[Split, ...]) -> tuple[str, ...]:
    first = splits[0]
    return (
        step(
            f"Show 20 inputs of the {NAMES[first]} loader beside their targets, just before they "
            "enter the model.",
            probes.examples_shown(f"{first}_loader"),
        ),
        step(
            "Look for what orders inputs and targets apart: a shuffle, sort or filter of one "
            "alone, file names listed in two orders, a join on the wrong key. Use one index for "
            "both:",
            "order = torch.randperm(len(inputs))\ninputs, targets = inputs[order], targets[order]",
        ),
        "Train anew: what was learnt from such pairs is worth nothing."
        if "train" in splits
        else "Measure again: what was measured on such pairs says nothing of the model.",
    )


def _bars(told: TargetRelation, which: Torn) -> Bars:
    intervals = [told.whole[split].bounds for split in NAMES]
    return Bars(
        "What inputs tell of targets",
        "Share of the targets' variance that is predicted of examples left out, with its 99 % "
        "interval; at 0 inputs tell nothing.",
        "share of variance",
        tuple(f"{name} data" for name in NAMES.values()),
        tuple(float(np.clip(told.whole[split].told, -1, 1)) for split in NAMES),
        low=tuple(max(low, -1.0) for low, _ in intervals),
        high=tuple(high for _, high in intervals),
        marked=tuple(which in (split, "both") for split in NAMES),
    )
