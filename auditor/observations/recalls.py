"""How often each class is found, and what it is taken for."""

from dataclasses import dataclass

import numpy as np

from auditor.core.statistics import Interval, clopper_pearson
from auditor.core.subject import TargetFacts
from auditor.core.values import Array
from auditor.observations.probabilities import Decisions


@dataclass(frozen=True)
class Recalls:
    """Recall class by class, in the order of `classes`; several labels have two classes each.

    `names` tells them; `trained` is how often each stands among the training targets as the loader
    yields them, `rows` among the validation targets, `examples` in how many validation examples,
    `predicted` how often it is the answer. `recall` [classes] is NaN of a class without rows.
    `mistaken` is the class most of its missed rows are taken for, -1 where none is missed, and
    `mistaken_rows` how many those are.
    """

    classes: Array
    names: tuple[str, ...]
    trained: Array
    rows: Array
    examples: Array
    predicted: Array
    recall: Array
    mistaken: Array
    mistaken_rows: Array

    several: bool

    @property
    def present(self) -> Array:
        """Return the places of the classes that validation data holds."""
        return np.flatnonzero(self.rows)

    def interval(self, places: Array, confidence: float = 0.95) -> Interval:
        """Return the exact interval of the recall of some classes together.

        Rows of one example are not independent, so as many trials are counted as examples hold a
        class.
        """
        trials = int(self.examples[places].sum())
        hits = float((self.recall * self.rows)[places].sum() / self.rows[places].sum())
        found = round(hits * trials)
        # A share may lie between two counts: the bounds are those of the nearest, moved out to it.
        low, high = clopper_pearson(found, trials, confidence)
        return min(low, hits), max(high, hits)

    def recall_of_rest(self, place: int) -> float:
        """Return the recall of all classes present but one, all their rows together."""
        rest = self.present[self.present != place]
        return float((self.recall * self.rows)[rest].sum() / self.rows[rest].sum())

    def peers(self, place: int) -> Array:
        """Return the classes that a target is one of: all, or the two of a label."""
        if not self.several:
            return np.arange(len(self.classes))
        return np.flatnonzero(self.classes // 2 == self.classes[place] // 2)

    def mistaken_name(self, place: int) -> str:
        """Return the name of the class that one is most often taken for; empty if never."""
        number = int(self.mistaken[place])
        return _name(number, self.several) if number >= 0 else ""


def recalls(decisions: Decisions, facts: TargetFacts, outputs: int) -> Recalls:
    """Return the recall of each class; `outputs` is the number of classes a decision is among."""
    labels = int(np.max(decisions.label, initial=0)) + 1
    several = labels > 1
    width = 2 if several else max(outputs, 2)
    truth = decisions.label * width + decisions.truth
    answer = decisions.label * width + decisions.predicted
    counts = dict(zip(facts.classes, facts.counts, strict=True))
    classes = np.asarray(sorted({*counts, *np.unique(truth).tolist()}), np.int64)
    place = np.searchsorted(classes, truth)
    hit = truth == answer
    rows = np.bincount(place, minlength=len(classes))
    pairs = np.unique(np.stack([place, decisions.example], axis=1), axis=0)[:, 0]
    with np.errstate(invalid="ignore"):
        recall = np.bincount(place, hit, len(classes)) / rows
    mistaken, taken = _mistakes(place[~hit], answer[~hit], len(classes))
    return Recalls(
        classes=classes,
        names=tuple(_name(int(number), several) for number in classes),
        trained=np.asarray([counts.get(int(number), 0) for number in classes]),
        rows=rows,
        examples=np.bincount(pairs, minlength=len(classes)),
        predicted=np.bincount(answer, minlength=int(classes[-1]) + 1)[classes],
        recall=recall,
        mistaken=mistaken,
        mistaken_rows=taken,
        several=several,
    )


def _mistakes(place: Array, answer: Array, classes: int) -> tuple[Array, Array]:
    """Return, class by class, the wrong answer given most often and how often."""
    mistaken, taken = np.full(classes, -1), np.zeros(classes, int)
    pairs, counts = np.unique(np.stack([place, answer], axis=1), axis=0, return_counts=True)
    order = np.argsort(counts, kind="stable")
    mistaken[pairs[order, 0]] = pairs[order, 1]
    taken[pairs[order, 0]] = counts[order]
    return mistaken, taken


def _name(number: int, several: bool) -> str:
    return f"label {number // 2} = {number % 2}" if several else f"class {number}"
