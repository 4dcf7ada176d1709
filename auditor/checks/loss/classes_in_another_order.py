"""Classes that the data numbers otherwise than the model learnt.

What it does
------------
Looks for the order of the classes in which the model's answers are right most often, and says
whether that is another one than the order as given, on validation and on training data.

Why it matters
--------------
A list of classes that was sorted otherwise, a label file of another version, folders read in
another order, or a head that was converted from another framework make a good model look as if it
had learnt nothing. Nothing is wrong with its weights, and no training will be needed.

How it is measured
------------------
Answers are counted against targets. Of all one-to-one orders, the one that makes most of every
second example right is found (an assignment problem), and tried on the other examples, which did
not choose it. The check fails where the other order makes surely more of these right, by the limit
below, surely more than always answering the most common target would, and surely more than half; it
warns where that is less than half, since a model that is mostly wrong in any order may be so for
other reasons. All is at 99 %. Of several labels, the outputs are put in another order.

When it misleads
----------------
A model that confuses two classes with each other more often than not is seen as one in which they
have changed places, which is the same to a user. Classes that stand for one another many to one
(coarse and fine ones) are no other order.

What to do
----------
Compare the list of classes that the model was trained with (`class_to_idx`, `id2label`, the label
encoder) with the one that numbers the data, class by class; keep it with the checkpoint.

Source
------
Kuhn 1955, "The Hungarian Method for the Assignment Problem". Northcutt, Jiang & Chuang 2021,
"Confident Learning" (counting answers against labels).
"""

from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval
from auditor.core.text import counted, listed, percent
from auditor.core.verdict import Verdict
from auditor.observations.class_order import SURE, ClassOrder, class_order
from auditor.observations.predictions import PredictionsOver

PREDICTIONS = PredictionsOver(split="val")
TRAINING = PredictionsOver(split="train", batches=16)

SHOWN = 20
"""Classes named."""

HALF = 0.5


@check(
    title="Classes stand in the order that the model learnt",
    failure_title="Classes stand in another order than the model learnt",
    needs=(PREDICTIONS,),
    wants=(TRAINING,),
    limits={
        "gain": Limit(
            warn=0.1,
            fail=0.25,
            source="no healthy model measured gains anything; two of ten classes that change "
            "places bring a fifth",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge by how much another order is better on examples that did not choose it."""
    found = class_order(seen[PREDICTIONS], seen.rng)
    if isinstance(found, str):
        return Judgement(Verdict.NOT_APPLICABLE, f"Not looked at: {found}.")
    verdict = _verdict(found, limits["gain"])
    metrics = (
        Metric("right in the order as given", found.before, "share"),
        Metric("right in the best other order", found.after, "share"),
        Metric(
            "gain of the other order", found.after - found.before, "", found.low, found.high,
            limits["gain"],
        ),
    )  # fmt: skip
    if verdict is Verdict.PASS:
        return Judgement(
            verdict,
            f"{percent(found.before)} % of the validation targets are right in the order as "
            f"given; the best other order of {counted(len(found.order), found.noun, _many(found))}"
            f" makes {percent(found.after)} % right, measured on "
            f"{counted(len(found.given), 'example')} that did not choose it.",
            metrics=metrics,
        )
    training = seen.get(TRAINING)
    there = class_order(training, seen.rng) if training is not None else ""
    moved = found.moved
    first = [f"{found.noun} {c} is answered as {i}" for i, c in moved]
    return Judgement(
        verdict,
        f"The model tells the {_many(found)} apart, but in another order: "
        f"{percent(found.before)} % of the validation targets are right as given, "
        f"{percent(found.after)} % if {listed(first, 4)}, measured on "
        f"{counted(len(found.given), 'example')} that did not choose the order. "
        f"{_where(there, limits['gain'])}",
        metrics=metrics,
        where=tuple(
            Place("setting", f"{found.noun} {c}", f"answered as {found.noun} {i}")
            for i, c in moved[:SHOWN]
        ),
        advice=_advice(found, there, limits["gain"]),
        figures=(
            Table(
                "The order in which answers are right",
                "Each class of the data that moves, beside the output that stands for it.",
                (f"{found.noun} of the data", "output that answers it"),
                tuple((f"{found.noun} {c}", f"output {i}") for i, c in moved),
            ),
        ),
    )


def _verdict(found: ClassOrder, limit: Limit) -> Verdict:
    """Judge by what the gain is at least, where no constant answer does as well.

    A model that is wrong more often than not in any order may be confused for other reasons.
    """
    if not found.moved or not found.knows > 0:
        return Verdict.PASS
    verdict = limit.verdict(found.least)
    sure = mean_interval(found.other, SURE)[0] > HALF
    return Verdict.WARN if verdict is Verdict.FAIL and not sure else verdict


def _many(found: ClassOrder) -> str:
    return "classes" if found.noun == "class" else f"{found.noun}s"


def _where(there: ClassOrder | str, limit: Limit) -> str:
    if isinstance(there, str):
        return "Whether training data is answered in that order too is not known."
    if _verdict(there, limit) is not Verdict.PASS:
        return (
            "Training data is answered in another order too, so that it is the model's outputs, or "
            "the whole data, that are numbered otherwise than in training."
        )
    return (
        f"Training data is right as given ({percent(there.before)} %), so that it is the "
        "validation data that is numbered otherwise."
    )


def _reordered(order: str, classes: int) -> str:
    """Return code that reads outputs in another order; a single one may stand for two classes."""
    if classes == 2:
        return f"order = [{order}]"
    return f"order = [{order}]\nlogits = model(inputs)[:, torch.tensor(order).argsort()]"


def _advice(found: ClassOrder, there: ClassOrder | str, limit: Limit) -> tuple[str, ...]:
    order = ", ".join(str(int(c)) for c in found.order[:64])
    more = ", ..." if len(found.order) > 64 else ""
    both = isinstance(there, str) or _verdict(there, limit) is not Verdict.PASS
    return (
        "Print the list of classes that numbers the data (`dataset.classes`, `class_to_idx`, the "
        "label encoder's `classes_`) beside the one of the training run, and use the latter.",
        step(
            "Until then, read the outputs in the order found, in which output `i` stands for "
            f"{found.noun} `order[i]`:",
            "" if more else _reordered(order, len(found.order)),
        )
        if both
        else "Number the validation targets as the training targets are: one list of classes, "
        "made once, for both splits.",
        step(
            "Keep the list of classes in the checkpoint, and compare it when loading.",
            'torch.save({"model": model.state_dict(), "classes": classes}, path)\n'
            'assert torch.load(path)["classes"] == classes',
        ),
    )
