"""Labels that are likely wrong, and examples that stand in the data twice.

What it does
------------
Ranks the examples by how strongly predictions of a model that has not seen them contradict their
labels, and looks for the same input under different labels and in both splits.

Why it matters
--------------
Wrong labels in training are learnt, wrong labels in validation make a good model look bad and may
choose the worse of two. A validation example that was trained on measures memory.

How it is measured
------------------
Validation data is predicted by the checkpoint, training data by fresh models, each trained for a
few hundred steps on the other half of it. Confident learning names the suspects: an example
labelled i whose probability of another class j is at least the mean one of the examples that are
labelled j, ranked by the probability of the label less that of the best other class. A model is
wrong itself, though, and most often where it is unsure, so the share of wrong labels is estimated
from the half of the examples that it is surest of: wrong labels are spread evenly there, while the
model's own errors gather at the less sure end. Where the contradictions do gather (a rank test at
5 %), only the surest sixteenth counts. The check warns where the estimate is at least twice what
test sets in wide use have, 3.3 %, and at 99 % confidence (Bonferroni over the splits) above that
itself.

Inputs count as the same where they agree to six digits. Where a fifth of the examples differ from
another in a single value, inputs take few distinct values and repeat themselves by chance: such
data can't be blamed for it, and the same input under two labels shows that it does not settle the
answer. Of the validation examples that stand in training too, only those count that are more than
training's own repetitions lead to expect.

When it misleads
----------------
Where the inputs do not settle the answer (a survival, a click), contradictions are not errors of
labelling; nor can predictions judge that are wrong more often than right where they are
surest. Errors that follow a rule can be learnt, and are then not contradicted. Random crops and
flips hide repetitions. A model far from done finds little.

What to do
----------
Look at the examples in the table, worst first; correct or drop those that are wrong, and those in
doubt. Remove from training whatever stands in validation too, then train and measure again.

Source
------
Northcutt, Jiang, Chuang 2021, "Confident Learning" (JAIR 70); Northcutt, Athalye, Mueller 2021,
"Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks" (3.3 % on average);
Barz & Denzler 2020, "Do We Train on Test Data?" (3.3 % of CIFAR-10's test images).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Image, Images, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.request import Split
from auditor.core.statistics import clopper_pearson
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.labels import (
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    confident_errors,
    ranked,
    suggested,
)

EVIDENCE = LabelEvidenceOver()

FEWEST = 40
"""Examples below which the surest half is too small to tell an error of 3 % from none of 20."""
USUAL = 0.033
"""Share of wrong labels in ten test sets in wide use (Northcutt, Athalye, Mueller 2021)."""
SHOWN = 20
"""Examples in the table."""
NATURAL = 0.2
"""Share of examples that differ from another in one value, from which on repetitions are natural.
Of the Titanic's passengers they are 75 %, of names of people 5 %, of images none."""
BLIND = 0.5
"""Share of contradicted labels among the surest examples, beyond which the predictions are what is
wrong: more wrong labels than right ones would have been learnt as the right ones."""
FEW = 5
"""Examples in dispute below which a share of them is not judged."""

NAMES = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Estimate:
    """The share of wrong labels of a split, from its `wrong` of the `sure` surest examples.

    [low, high] is its 95 % interval, [sure_low, sure_high] the one that decides.
    """

    split: LabelledSplit
    wrong: int
    sure: int
    part: str
    low: float
    high: float
    sure_low: float
    sure_high: float

    @property
    def share(self) -> float:
        """Return the estimate."""
        return self.wrong / self.sure


@dataclass(frozen=True)
class Repeats:
    """Examples that are not alone: how many, and those that matter.

    `disputed` holds (split, example, label) of inputs under several labels; `shared` the
    validation examples that stand in training too, with one of their places there. `expected` is
    the share of training examples that stand there twice.
    """

    rows: int
    natural: bool
    disputed: tuple[tuple[str, int, int], ...]
    shared: tuple[tuple[int, int], ...]
    expected: float


@check(
    title="The labels hold up",
    failure_title="Labels or splits are in doubt",
    needs=(EVIDENCE,),
    limits={
        "wrong": Limit(
            warn=2 * USUAL,
            source="twice the 3.3 % of wrong labels that ten test sets in wide use have on "
            "average (Northcutt, Athalye, Mueller 2021)",
        ),
        "disputed": Limit(
            warn=0.01,
            source="one input has one right label; 1 % is below what any of the ten test sets "
            "but one has of wrong labels (Northcutt, Athalye, Mueller 2021)",
        ),
        "shared": Limit(
            warn=0.033,
            fail=0.5,
            source="Barz & Denzler 2020: 3.3 % of CIFAR-10's test images are near-duplicates of "
            "training images; beyond half, validation measures memory",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the estimated share of wrong labels, and the repetitions."""
    told = seen[EVIDENCE]
    repeats = _repeats(told)
    sizes = {split.split: split.examples for split in told.splits}
    disputed = len(repeats.disputed) / max(1, sum(sizes.values()))
    shared = len(repeats.shared) / max(1, sizes.get("val", 0))
    leaked = limits["shared"].verdict(shared - repeats.expected) is not Verdict.PASS
    usable = tuple(
        split
        for split in told.splits
        if split.predicted and not (split.split == "val" and shared > 0.5)
    )
    known = [_estimate(split, len(usable)) for split in usable if len(split.labels) >= FEWEST]
    estimates = [one for one in known if one.share <= BLIND]
    blind = tuple(one.split for one in known if one.share > BLIND)
    estimates.sort(key=lambda one: not _too_many(one, limits["wrong"]))
    wrong = [one for one in estimates if _too_many(one, limits["wrong"])]
    unsettled = bool(wrong) and repeats.natural and len(repeats.disputed) >= FEW
    verdicts = [Verdict.WARN] if wrong and not unsettled else []
    if len(repeats.disputed) >= FEW and not repeats.natural:
        verdicts.append(limits["disputed"].verdict(disputed))
    if len(repeats.shared) >= FEW:
        verdicts.append(limits["shared"].verdict(shared - repeats.expected))
    if estimates:
        verdicts.append(Verdict.PASS)
    verdict = worst(verdicts) if verdicts else _nothing(told)
    if unsettled and verdict is Verdict.PASS:
        verdict = Verdict.INFO
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    return Judgement(
        verdict,
        " ".join(_sentences(told, estimates, blind, repeats, sizes, unsettled=unsettled)),
        metrics=_metrics(told, estimates, repeats, disputed, shared, limits),
        where=_places(wrong, repeats, leaked=leaked) if bad else (),
        advice=_advice(wrong, repeats, sizes, leaked=leaked) if bad else (),
        figures=_figures(
            told,
            tuple(one.split for one in wrong or estimates),
            estimates,
            limits["wrong"],
        ),
    )


def _nothing(told: LabelEvidence) -> Verdict:
    """Return the verdict where no share could be estimated and nothing is amiss."""
    if any(split.predicted for split in told.splits):
        return Verdict.INFO
    return Verdict.PASS if len(told.splits) > 1 else Verdict.NOT_APPLICABLE


def _estimate(split: LabelledSplit, splits: int) -> Estimate:
    """Return the share of wrong labels among the examples that the predictions are surest of."""
    probabilities = np.asarray(split.probabilities, float)
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    contradicted = (suggested(split) != np.asarray(split.labels))[order]
    half = len(order) // 2
    sure, part = half, "half"
    if _gather(np.flatnonzero(contradicted[:half]), half):
        sure, part = max(FEWEST // 2, len(order) // 16), "sixteenth"
    wrong = int(contradicted[:sure].sum())
    return Estimate(
        split,
        wrong,
        sure,
        part,
        *clopper_pearson(wrong, sure),
        *clopper_pearson(wrong, sure, 1 - 0.02 / splits),
    )


def _gather(places: Array, count: int) -> bool:
    """Tell whether places among 0 ... count - 1 gather at the end, at 5 %.

    Spread evenly their mean is (count - 1) / 2, with variance (count² - 1) / 12 / places.
    """
    if not len(places):
        return False
    deviation = math.sqrt((count**2 - 1) / 12 / len(places))
    return float(places.mean()) - (count - 1) / 2 > 1.645 * deviation


def _too_many(one: Estimate, limit: Limit) -> bool:
    return limit.verdict(one.share) is not Verdict.PASS and one.sure_low > USUAL


def _repeats(told: LabelEvidence) -> Repeats:
    names = [split.split for split in told.splits]
    groups: dict[int, list[tuple[str, int, int]]] = {}
    for split, example, group, label in zip(
        told.repeated_split,
        told.repeated_example,
        told.repeated_group,
        told.repeated_label,
        strict=True,
    ):
        member = names[int(split)], int(example), int(label)
        groups.setdefault(int(group), []).append(member)
    disputed: list[tuple[str, int, int]] = []
    shared: list[tuple[int, int]] = []
    twice = 0
    for members in groups.values():
        if len({label for _, _, label in members}) > 1:
            disputed += members
        training = [example for split, example, _ in members if split == "train"]
        twice += len(training) if len(training) > 1 else 0
        if training:
            shared += [(n, training[0]) for split, n, _ in members if split == "val"]
    rows = len(told.repeated_split)
    sizes = {split.split: split.examples for split in told.splits}
    natural = told.near > NATURAL * sum(sizes.values())
    expected = twice / max(1, sizes.get("train", 0))
    return Repeats(rows, natural, tuple(disputed), tuple(sorted(shared)), expected)


def _sentences(
    told: LabelEvidence,
    estimates: list[Estimate],
    blind: tuple[LabelledSplit, ...],
    repeats: Repeats,
    sizes: Mapping[Split, int],
    *,
    unsettled: bool,
) -> list[str]:
    said = []
    for one in estimates:
        name = NAMES[one.split.split]
        by = "fresh models are" if one.split.steps else "the checkpoint is"
        said.append(
            f"Of the {one.sure:,} {name} examples that {by} surest of, {one.wrong:,} "
            f"({one.share:.1%}; 95 % interval {one.low:.1%} to {one.high:.1%}) have another label "
            "than predicted."
        )
    for split in blind:
        by = "Fresh models" if split.steps else "The checkpoint"
        said.append(
            f"{by} can't judge the {NAMES[split.split]} labels: even where surest, most "
            "predictions are wrong."
        )
    if unsettled:
        said.append(
            "But inputs take few distinct values, and the same input occurs under different "
            "labels, so they do not settle the answer: these need not be errors."
        )
    elif repeats.disputed:
        natural = ", as inputs of few distinct values do by chance" if repeats.natural else ""
        said.append(
            f"{counted(len(repeats.disputed), 'example')} share their input with one of another "
            f"label{natural}."
        )
    if repeats.shared:
        often = f", where {repeats.expected:.0%} stand twice" if repeats.expected else ""
        said.append(
            f"{len(repeats.shared):,} of {sizes['val']:,} validation examples stand in the "
            f"training data too{often}."
        )
    reasons: dict[str, list[str]] = {}
    for split in told.splits:
        if not split.predicted:
            reasons.setdefault(split.reason, []).append(NAMES[split.split])
        elif split.split == "val" and len(repeats.shared) > sizes["val"] / 2:
            said.append("Their labels can't be judged by a model that was trained on them.")
        elif len(split.labels) < FEWEST:
            said.append(
                f"Only {counted(len(split.labels), f'{NAMES[split.split]} example')} can be "
                f"judged; at least {FEWEST} are needed."
            )
    for reason, names in reasons.items():
        said.append(f"Labels of {' and '.join(names)} data are not ranked: {reason}.")
    if not repeats.rows:
        said.append("No input stands in the data twice.")
    elif not (repeats.disputed or repeats.shared):
        said.append(f"{repeats.rows:,} examples stand in one split more than once.")
    return said


def _metrics(
    told: LabelEvidence,
    estimates: list[Estimate],
    repeats: Repeats,
    disputed: float,
    shared: float,
    limits: Limits,
) -> tuple[Metric, ...]:
    metrics = []
    for one in estimates:
        name, split = NAMES[one.split.split], one.split
        metrics.append(
            Metric(f"wrong labels, {name}", one.share, "share", one.low, one.high, limits["wrong"])
        )
        suspects = int(confident_errors(split).sum())
        errors = float((suggested(split) != np.asarray(split.labels)).mean())
        metrics += [
            Metric(f"suspects by confident learning, {name}", suspects, f"of {len(split.labels)}"),
            Metric(f"all contradictions, {name}", errors, "share"),
        ]
    metrics.append(
        Metric("examples of disputed label", disputed, "share", limit=limits["disputed"])
    )
    if len(told.splits) > 1:
        metrics.append(
            Metric("validation seen in training", shared, "share", limit=limits["shared"])
        )
    metrics.append(Metric("examples that are not alone", repeats.rows))
    return tuple(metrics)


def _places(wrong: list[Estimate], repeats: Repeats, *, leaked: bool) -> tuple[Place, ...]:
    suspects = [
        Place("example", f"{split.split} {split.numbers[row]}", _doubt(split, row))
        for split, row in ranked(tuple(one.split for one in wrong), SHOWN)
    ]
    disputed = [
        Place("example", f"{split} {number}", f"labelled {label}, elsewhere otherwise")
        for split, number, label in repeats.disputed[:SHOWN]
        if not repeats.natural
    ]
    shared = [
        Place("example", f"val {number}", f"the same as train {twin}")
        for number, twin in repeats.shared[:SHOWN]
        if leaked
    ]
    return (*suspects, *disputed, *shared)


def _doubt(split: LabelledSplit, row: int) -> str:
    return f"labelled {split.labels[row]}, probably {suggested(split)[row]}"


def _advice(
    wrong: list[Estimate], repeats: Repeats, sizes: Mapping[Split, int], *, leaked: bool
) -> tuple[str, ...]:
    advice = []
    for one in wrong:
        count = round(one.share * len(one.split.labels))
        advice.append(
            f"Look through the {NAMES[one.split.split]} examples in the table, worst first: about "
            f"{count:,} of {len(one.split.labels):,} labels are wrong if the estimate holds. "
            "Correct or drop them, then train and measure again."
        )
    if wrong:
        advice.append(
            "Look for a cause first where one class is suggested for another again and again: "
            "labels in another order, a shift by one, inputs and labels shuffled apart."
        )
    if repeats.disputed and not repeats.natural:
        advice.append(
            f"Settle the labels of the {len(repeats.disputed):,} examples that share their input "
            "with one of another label, and keep one of each."
        )
    if leaked:
        advice.append(
            f"Take the {len(repeats.shared):,} shared examples out of the training data, split "
            "before anything is copied or augmented, then train anew: until then "
            f"{len(repeats.shared) / sizes['val']:.0%} of the validation result is memory."
        )
    return tuple(advice)


def _figures(
    told: LabelEvidence,
    listed: tuple[LabelledSplit, ...],
    estimates: list[Estimate],
    limit: Limit,
) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    if estimates:
        figures.append(
            Bars(
                title="Contradicted labels among the surest predictions",
                caption="Share of labels that contradict the prediction, among the half of the "
                "examples that the model is surest of (the sixteenth, where contradictions gather "
                "at the less sure end), with its 95 % interval.",
                label="share of labels",
                labels=tuple(f"{NAMES[e.split.split]} ({e.part})" for e in estimates),
                values=tuple(e.share for e in estimates),
                low=tuple(e.low for e in estimates),
                high=tuple(e.high for e in estimates),
                guides=(Guide(USUAL, "usual test sets"), *limit.guides()),
            )
        )
    worst_first = ranked(listed, SHOWN)
    if worst_first:
        figures.append(_table(worst_first))
    pictures = {(one.split, one.example): one.png for one in told.thumbnails}
    images = tuple(
        Image(
            f"{split.split} {split.numbers[row]}: {_doubt(split, row)}",
            pictures[split.split, int(split.numbers[row])],
        )
        for split, row in worst_first
        if (split.split, int(split.numbers[row])) in pictures
    )
    if images:
        figures.append(
            Images(
                title="The likeliest wrong labels",
                caption="Inputs of the examples in the table, each scaled from its least value "
                "(black) to its greatest (white).",
                images=images,
            )
        )
    return tuple(figures)


def _table(worst_first: list[tuple[LabelledSplit, int]]) -> Table:
    rows = []
    for split, row in worst_first:
        probabilities = np.asarray(split.probabilities)[row]
        given, other = int(split.labels[row]), int(suggested(split)[row])
        rows.append(
            (
                split.split,
                int(split.numbers[row]),
                given,
                other,
                float(probabilities[given]),
                float(probabilities[other]),
                float(probabilities[given] - probabilities[other]),
            )
        )
    return Table(
        title="Labels that are likeliest wrong",
        caption="Suspects by confident learning, the likeliest first. Examples are numbered as the "
        "loader yields them, from 0; the margin is the probability of the label less that of the "
        "suggested one. In sound data too some stand here: the model's own errors.",
        columns=("split", "example", "label", "suggested", "P(label)", "P(suggested)", "margin"),
        rows=tuple(rows),
    )
