"""Labels that are likely wrong, contradictory copies, and copies within training or in both splits.

What it does
------------
Ranks the examples by how strongly predictions of models that have not seen them contradict their
labels, and looks for the same input under different labels and in both splits.

Why it matters
--------------
Wrong labels in training are learnt, wrong labels in validation make a good model look bad and may
choose the worse of two. A validation example that was trained on measures memory.

How it is measured
------------------
Examples are drawn evenly from each split and predicted by fresh models, each trained on one half of
those of training until it predicts the other half no better (its contradictions fall by no more
than a tenth, or than chance), or until the labels certainly hold up. All copies of an example
belong to the same half; validation gets the mean of the models that have not seen it. Confident
learning names the suspects: an example labelled i whose probability of another class j is at least
the mean one of the examples that are labelled j, ranked by the probability of the label less that
of the best other class.

A model is wrong itself, though, and most often where it is unsure, so the share of wrong labels is
estimated from the half of the examples that it is surest of: wrong labels are spread evenly there,
while the model's own errors gather at the less sure end. Where the contradictions do gather (a rank
test at 5 %), only the surest sixteenth counts, and only of models that have learnt what can be
learnt: which no longer get better, and contradict less than twice as many validation labels as the
checkpoint. Where no more are contradicted than the models themselves expect (by the mean of 1 - p),
the inputs may not settle the answer: then the surest eighth of all has to hold more wrong labels
than usual too, at 95 %. Nor do predictions accuse that may be no better than always the same
answer: they have to contradict fewer of the surest examples than that would, beyond doubt; nor
those of models that have learnt from fewer than 10 examples a class, or that give most answers a
chance of more than 0.999999, right or wrong; nor those of which half of the surest are
contradicted, unless that is in training and they surely do better on validation. Where fresh models
can't judge validation data, the checkpoint does. The check warns where the estimate is at least
twice what test sets in wide use have, 3.3 %, and at 99 % confidence (Bonferroni over the splits)
above that itself; it passes only where every split could be judged.

Inputs count as the same where they agree to six digits, padding at their end (zeros, or the
padding token of an embedding) left aside. Both splits are read whole for this, up to some
65,000 examples, or fewer large ones; what is not read is said. Where a fifth of the examples differ
from another in a single value, inputs take few distinct values and repeat themselves by chance:
such data can't be blamed for it, and the same input under two labels shows that it does not settle
the answer. Of the validation examples that stand in training too, only those count that are more
than training's own repetitions lead to expect.

Within training, copies of input and target are counted in the classes with most different examples,
since rare ones may be drawn more often on purpose. More than a fifth, at 99 % confidence, is warned
of where all examples stand there 2, 3, ... times a whole number of times, or are spread more evenly
than draws with replacement leave them (which is a Poisson number, none of 0 seen).

When it misleads
----------------
Where the inputs do not settle the answer (a survival, a click), contradictions are not errors of
labelling; nor can predictions judge that are wrong more often than right where they are
surest, on validation too. Errors that follow a rule can be learnt, and are then not contradicted;
nor does a checkpoint contradict what it was trained on, which tells nothing where it alone can
judge. Random crops and flips hide repetitions.

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

import numpy as np

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Image, Images, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.request import Split
from auditor.core.samples import LEFT_OUT
from auditor.core.statistics import clopper_pearson, examples_to_settle
from auditor.core.text import counted
from auditor.core.verdict import Verdict, worst
from auditor.observations.copies import Copies, Kind
from auditor.observations.label_noise import FEWEST, TAUGHT, USUAL, Estimate, estimates
from auditor.observations.label_repeats import Repeats, repeats
from auditor.observations.labels import (
    PICTURES,
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    confident_errors,
    contradicted,
    ranked,
    suggested,
)

EVIDENCE = LabelEvidenceOver()

NAMED = 12
"""Examples that the code to leave them out names."""

SHOWN = 20
"""Examples in the table."""
COPIED: tuple[Kind, ...] = ("times", "even")
"""What repetitions within training look like that were not drawn."""

FEW = 5
"""Examples in dispute below which a share of them is not judged."""

NAMES = {"train": "training", "val": "validation"}


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
        "copies": Limit(
            warn=0.2,
            source="a fifth of each epoch is spent on what it holds already; what draws with "
            "replacement repeat (37 % in as many draws as there are examples) is told apart",
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
    twins, limit = repeats(told, limits["copies"]), limits["wrong"]
    sizes = {split.split: split.examples for split in told.splits}
    disputed = len(twins.disputed) / max(1, sum(sizes.values()))
    shared = len(twins.shared) / max(1, sizes.get("val", 0))
    leaked = limits["shared"].verdict(shared - twins.expected) is not Verdict.PASS
    found = estimates(told, limit)
    judged = sorted(
        (one for one in found if not one.blind), key=lambda one: not one.too_many(limit)
    )
    wrong = [one for one in judged if one.too_many(limit)]
    arbitrary = bool(wrong) and twins.natural and len(twins.disputed) >= FEW
    verdicts = [Verdict.WARN] if wrong and not arbitrary else []
    if len(twins.disputed) >= FEW and not twins.natural:
        verdicts.append(limits["disputed"].verdict(disputed))
    if len(twins.shared) >= FEW:
        verdicts.append(limits["shared"].verdict(shared - twins.expected))
    if twins.kind in COPIED:
        verdicts.append(Verdict.WARN)
    if judged:
        verdicts.append(Verdict.PASS)
    predicted = any(split.predicted for split in (*told.splits, told.checkpoint))
    nothing = Verdict.INFO if predicted or len(told.splits) > 1 else Verdict.NOT_APPLICABLE
    verdict = worst(verdicts) if verdicts else nothing
    doubtful = any(one.beyond(limit) for one in judged)
    if verdict is Verdict.PASS and (doubtful or len(judged) < len(told.splits)):
        verdict = Verdict.INFO
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    said = [
        *(_of_estimate(one, limit) for one in found),
        *_of_repeats(twins, sizes, arbitrary=arbitrary),
        *_of_copies(told.copies, twins.kind),
        *_of_the_rest(told, found, twins),
    ]
    return Judgement(
        verdict,
        " ".join(said),
        metrics=_metrics(told, judged, twins, disputed, shared, limits),
        where=_places(wrong, twins, told.copies, leaked=leaked) if bad else (),
        advice=_advice(wrong, twins, told.copies, sizes, leaked=leaked) if bad else (),
        figures=_figures(told, tuple(one.split for one in wrong or judged), judged, limit),
    )


def _of_estimate(one: Estimate, limit: Limit) -> str:
    """Return in words what the surest predictions say, and how sure that is."""
    name, fresh = NAMES[one.split.split], one.split.steps > 0
    if one.blind:
        by = "Fresh models" if fresh else "The checkpoint"
        return f"{by} can't judge the {name} labels: even where surest, most predictions are wrong."
    by = "fresh models are" if fresh else "the checkpoint is"
    text = (
        f"Of the {one.sure:,} {name} examples that {by} surest of, {one.wrong:,} "
        f"({one.share:.1%}; 95 % interval {one.low:.1%} to {one.high:.1%}) have another label "
        "than predicted."
    )
    if limit.warn is None or one.decided(limit):
        return text
    if one.beyond(limit) and one.taught:
        return (
            f"{text} But each of these models has learnt from {counted(one.taught, 'example')} "
            f"only, fewer than {TAUGHT} a class, so these may be errors of their own."
        )
    if one.beyond(limit) and not one.ripe:
        return (
            f"{text} But the models have not learnt what can be learnt in {one.split.steps:,} "
            "steps, so these may be errors of their own."
        )
    if one.beyond(limit) and one.deaf:
        return (
            f"{text} But most answers are given without any doubt, wrong ones too, so that which "
            "are surest can't be told: the logits are too large (see `initial-loss-off-chance`)."
        )
    if one.beyond(limit) and one.guessed:
        return (
            f"{text} But always the commonest label would contradict {one.constant:.1%}, and "
            "predictions that are no better than that can't tell wrong labels."
        )
    if one.beyond(limit) and one.graded:
        return (
            f"{text} But the models themselves expect {one.expected:.1%}, and of the surest "
            f"{one.top:,} only {one.top_wrong:,} {'is' if one.top_wrong == 1 else 'are'} "
            "contradicted: it may be that the inputs do not settle the answer."
        )
    bound = USUAL if one.beyond(limit) else limit.warn
    word = "more" if one.beyond(limit) else "less"
    return f"{text} Whether that is {word} than {bound:.1%} is not certain{_settled(one, bound)}."


def _settled(one: Estimate, bound: float) -> str:
    """Return how many examples would tell the share from a bound, were it to stay.

    Where nothing is contradicted, the interval shrinks as 1/n, not as 1/√n.
    """
    needed: float | None = one.sure * one.high / bound
    if one.wrong:
        needed = examples_to_settle(one.sure, one.share, one.sure_low, one.high, bound)
    if needed is None:
        return ""
    return f"; about {math.ceil(needed * len(one.split.labels) / one.sure):,} examples would tell"


def _of_repeats(twins: Repeats, sizes: Mapping[Split, int], *, arbitrary: bool) -> list[str]:
    said = []
    if arbitrary:
        said.append(
            "But inputs take few distinct values, and the same input occurs under different "
            "labels, so they do not settle the answer: these need not be errors."
        )
    elif twins.disputed:
        natural = ", as inputs of few distinct values do by chance" if twins.natural else ""
        said.append(
            f"{counted(len(twins.disputed), 'example')} share their input with one of another "
            f"label{natural}."
        )
    if twins.shared:
        often = f", where {twins.expected:.0%} stand twice" if twins.expected else ""
        said.append(
            f"{len(twins.shared):,} of {sizes['val']:,} validation examples stand in the "
            f"training data too{often}."
        )
    return said


def _of_copies(copies: Copies, kind: Kind) -> list[str]:
    """Return what repetitions within training look like, where there are many."""
    if not kind:
        return []
    most = "no more than " if kind in COPIED else ""
    explained = _EXPLAINED[kind].format(factor=copies.factor)
    return [f"Training holds {most}{_held(copies)}, inputs and targets the same: {explained}."]


def _held(copies: Copies) -> str:
    return f"{copies.different:,} different examples in {copies.examples:,}"


_EXPLAINED: dict[Kind, str] = {
    "few": "they are so few that they come again because the data is so",
    "natural": "inputs take few distinct values, and repeat themselves by chance",
    "drawn": "they come again as draws with replacement do, which is no fault",
    "even": "copies are spread too evenly for draws with replacement",
    "times": "each stands there {factor} times, or a multiple of that, so that an epoch is "
    "{factor} epochs of a smaller split",
}


def _of_the_rest(told: LabelEvidence, found: list[Estimate], twins: Repeats) -> list[str]:
    """Return what was not judged and why, and how much was looked at."""
    said = []
    reasons: dict[str, list[str]] = {}
    for split in told.splits:
        name = NAMES[split.split]
        both = (split, told.checkpoint) if split.split == "val" else (split,)
        most = max(both, key=lambda one: (one.predicted, len(one.labels)))
        judged = next((one.split for one in found if one.split.split == split.split), None)
        if judged is None and most.predicted:
            said.append(
                f"Only {counted(len(most.labels), f'{name} example')} can be judged; at least "
                f"{FEWEST} are needed."
            )
        elif judged is None:
            reasons.setdefault(split.reason, []).append(name)
        elif len(judged.labels) < split.examples:
            said.append(f"{len(judged.labels):,} of {split.examples:,} {name} examples are judged.")
    for reason, names in reasons.items():
        said.append(f"Labels of {' and '.join(names)} data are not ranked: {reason}.")
    part = [split for split in told.splits if not split.whole]
    for split in part:
        said.append(
            f"Of {NAMES[split.split]} data only the first {split.examples:,} examples are read."
        )
    if not twins.rows:
        said.append(f"No input stands {'in what is read' if part else 'in the data'} twice.")
    elif not (twins.disputed or twins.shared):
        said.append(f"{twins.rows:,} examples stand in one split more than once.")
    if told.note:
        said.append(f"In training, {told.note}.")
    return said


def _metrics(
    told: LabelEvidence,
    judged: list[Estimate],
    twins: Repeats,
    disputed: float,
    shared: float,
    limits: Limits,
) -> tuple[Metric, ...]:
    metrics = []
    for one in judged:
        name, split = NAMES[one.split.split], one.split
        metrics.append(
            Metric(f"wrong labels, {name}", one.share, "share", one.low, one.high, limits["wrong"])
        )
        suspects = int(confident_errors(split).sum())
        errors = float(contradicted(split).mean())
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
    metrics.append(Metric("examples that are not alone", twins.rows))
    whole, copied = told.copies.looked_at
    if whole:
        interval = clopper_pearson(copied, whole)
        metrics.append(
            Metric(
                "training examples that copy another",
                told.copies.share,
                "share",
                *interval,
                limit=limits["copies"],
            )
        )
    return tuple(metrics)


def _places(
    wrong: list[Estimate], twins: Repeats, copies: Copies, *, leaked: bool
) -> tuple[Place, ...]:
    suspects = [
        Place("example", f"{split.split} {split.numbers[row]}", _doubt(split, row))
        for split, row in ranked(tuple(one.split for one in wrong), SHOWN)
    ]
    disputed = [
        Place("example", f"{split} {number}", f"labelled {label}, elsewhere otherwise")
        for split, number, label in twins.disputed[:SHOWN]
        if not twins.natural
    ]
    shared = [
        Place("example", f"val {number}", f"the same as train {twin}")
        for number, twin in twins.shared[:SHOWN]
        if leaked
    ]
    again = [Place("setting", "data.train", _held(copies))] if twins.kind in COPIED else []
    return (*again, *suspects, *disputed, *shared)


def _doubt(split: LabelledSplit, row: int) -> str:
    return f"labelled {split.labels[row]}, probably {suggested(split)[row]}"


def _advice(
    wrong: list[Estimate],
    twins: Repeats,
    copies: Copies,
    sizes: Mapping[Split, int],
    *,
    leaked: bool,
) -> tuple[str, ...]:
    advice = []
    for one in wrong:
        count = round(one.share * len(one.split.labels))
        advice.append(
            step(
                f"Look through the {NAMES[one.split.split]} examples in the table, worst first: "
                f"about {count:,} of {len(one.split.labels):,} labels are wrong if the estimate "
                "holds. Correct or drop them, then train and measure again. In a loader that does "
                "not shuffle they are the dataset's numbers:",
                _dropped(one.split),
            )
        )
    if wrong:
        advice.append(
            "Look for a cause first where one class is suggested for another again and again: "
            "labels in another order, a shift by one, inputs and labels shuffled apart."
        )
    if twins.disputed and not twins.natural:
        advice.append(
            f"Settle the labels of the {len(twins.disputed):,} examples that share their input "
            "with one of another label, and keep one of each."
        )
    if leaked:
        advice.append(
            step(
                f"Take the {len(twins.shared):,} shared examples out of the training data, split "
                "before anything is copied or augmented, then train anew: until then "
                f"{len(twins.shared) / sizes['val']:.0%} of the validation result is memory.",
                "held = {x.numpy().tobytes() for inputs, _ in val_loader for x in inputs}\n"
                "def new(x):\n"
                "    return x.numpy().tobytes() not in held\n\n"
                "kept = [i for i, (x, _) in enumerate(dataset) if new(x)]\n"
                "dataset = torch.utils.data.Subset(dataset, kept)",
            )
        )
    if twins.kind in COPIED:
        times = copies.factor if twins.kind == "times" else copies.examples / copies.different
        advice.append(
            step(
                f"Look how the training data comes to hold its examples {times:.3g} times over: an "
                "iterable dataset that every worker yields whole "
                "(`torch.utils.data.get_worker_info()`), parts joined twice, or workers that draw "
                "from NumPy with one seed, which this mends:",
                "def seeded(worker):\n"
                "    numpy.random.seed(torch.initial_seed() % 2**32)\n\n"
                "train_loader = torch.utils.data.DataLoader("
                "dataset, batch_size, num_workers=4, worker_init_fn=seeded)",
            )
        )
        advice.append(
            "If it is meant, count epochs by different examples, and split before copying."
        )
    return tuple(advice)


def _dropped(split: LabelledSplit) -> str:
    """Return code that leaves the most suspicious examples of a split out of its dataset."""
    numbers = ", ".join(str(split.numbers[row]) for _, row in ranked((split,), NAMED))
    return (
        f"doubtful = [{numbers}]  # worst first\n"
        "kept = [i for i in range(len(dataset)) if i not in doubtful]\n"
        "dataset = torch.utils.data.Subset(dataset, kept)"
    )


def _figures(
    told: LabelEvidence,
    listed: tuple[LabelledSplit, ...],
    judged: list[Estimate],
    limit: Limit,
) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    if judged:
        figures.append(
            Bars(
                title="Contradicted labels among the surest predictions",
                caption="Share of labels that contradict the prediction, among the half of the "
                "examples that the model is surest of (the sixteenth, where contradictions gather "
                "at the less sure end), with its 95 % interval.",
                label="share of labels",
                labels=tuple(
                    f"{NAMES[e.split.split]} ({'sixteenth' if e.gathered else 'half'})"
                    for e in judged
                ),
                values=tuple(e.share for e in judged),
                low=tuple(e.low for e in judged),
                high=tuple(e.high for e in judged),
                guides=(Guide(USUAL, "usual test sets"), *limit.guides()),
            )
        )
    worst_first = ranked(listed, SHOWN)
    if worst_first:
        figures.append(_table(worst_first, f" {LEFT_OUT}" if told.left_out else ""))
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
                caption="Inputs of the first examples in the table, each scaled from its least "
                "value (black) to its greatest (white).",
                images=images[:PICTURES],
            )
        )
    return tuple(figures)


def _table(worst_first: list[tuple[LabelledSplit, int]], note: str) -> Table:
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
        f"suggested one. In sound data too some stand here: the model's own errors.{note}",
        columns=("split", "example", "label", "suggested", "P(label)", "P(suggested)", "margin"),
        rows=tuple(rows),
    )
