"""The share of wrong labels, estimated from what the surest predictions contradict."""

import math
from dataclasses import dataclass, replace

import numpy as np

from auditor.core.finding import Limit
from auditor.core.statistics import clopper_pearson
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.labels import FOLDS, LabelEvidence, LabelledSplit, contradicted

FEWEST = 40
"""Examples below which the surest half is too small to tell an error of 3 % from none of 20."""
USUAL = 0.033
"""Share of wrong labels in ten test sets in wide use (Northcutt, Athalye, Mueller 2021)."""
BLIND = 0.5
"""Share of contradicted labels among the surest examples, beyond which the predictions are what is
wrong, unless they hold up on validation: more wrong labels than right ones would mostly have been
learnt as the right ones."""
CERTAIN = 1e-6
"""Chance of another label than the predicted one, as the models see it, that no data teaches: where
most predictions are this sure, right and wrong ones alike, none of them is surer than another."""
OUTDONE = 2.0
"""How many times the checkpoint's contradictions those of fresh models are where they have not
learnt what can be learnt."""
TAUGHT = 10
"""Examples a class from which a fresh model learns at least; from fewer its own errors abound, and
are spread as evenly as wrong labels are."""


@dataclass(frozen=True)
class Estimate:
    """The share of wrong labels of a split, from its `wrong` of the `sure` surest examples.

    They are the surest half, or, where contradictions gather at its less sure end, the surest
    sixteenth of all. [low, high] is the share's 95 % interval, [sure_low, sure_high] the one that
    decides. It is not `ripe` where models which have not learnt enough may be what is wrong. Of the
    `sure` the models themselves expect a share of `expected` to be contradicted, and `top` lie in
    the surest eighth of all, of which `top_wrong` are. `constant` is the share of the `sure` whose
    label is not the commonest one. The models are `deaf` where they are certain of most answers,
    and `proven` where they surely do better on another split. They were `taught` too little where
    so many examples are too few for the classes.
    """

    split: LabelledSplit
    wrong: int
    sure: int
    expected: float
    top_wrong: int
    top: int
    constant: float
    deaf: bool
    gathered: bool
    ripe: bool
    low: float
    high: float
    sure_low: float
    sure_high: float
    proven: bool = False
    taught: int | None = None

    @property
    def share(self) -> float:
        """Return the estimate."""
        return self.wrong / self.sure

    @property
    def blind(self) -> bool:
        """Return whether the predictions are too bad to judge by."""
        return self.share > BLIND and not self.proven

    @property
    def guessed(self) -> bool:
        """Return whether the predictions may be no better than always the same answer."""
        return self.high >= self.constant and not self.proven

    @property
    def graded(self) -> bool:
        """Return whether those that are surely too many are expected by the models, by degrees.

        Where the inputs do not settle the answer, models that know it are wrong as often as their
        probabilities say. So they are where labels are wrong at random, but then as often among the
        surest eighth as elsewhere; where those may hold no more than usual, the doubt is graded.
        """
        expected = self.sure_low > USUAL and self.low <= self.expected
        return expected and clopper_pearson(self.top_wrong, self.top)[0] <= USUAL

    def beyond(self, limit: Limit) -> bool:
        """Return whether more labels are contradicted than the limit allows."""
        return limit.verdict(self.share) is not Verdict.PASS

    def too_many(self, limit: Limit) -> bool:
        """Return whether that is certain, and not the fault of the models."""
        doubts = (self.blind, self.guessed, self.deaf, self.taught, self.graded)
        fit = self.ripe and not any(doubts)
        return self.beyond(limit) and self.sure_low > USUAL and fit

    def decided(self, limit: Limit) -> bool:
        """Return whether labels are certainly sound, or certainly not."""
        return limit.verdict(self.high) is Verdict.PASS or self.too_many(limit)


def estimated(split: LabelledSplit, *, splits: int = 1, outdone: bool = False) -> Estimate | None:
    """Return the share of wrong labels of a split, None where too few examples are predicted.

    The interval that decides has 99 %, shared among so many splits. Fresh models may be `outdone`.
    """
    if not split.predicted or len(split.labels) < FEWEST:
        return None
    most = np.asarray(split.probabilities, float).max(axis=1)
    order = np.argsort(-most, kind="stable")
    against = contradicted(split)[order]
    half = len(order) // 2
    gathered = _gather(np.flatnonzero(against[:half]), half)
    sure = max(FEWEST // 2, len(order) // 16) if gathered else half
    wrong, top = int(against[:sure].sum()), min(sure, half // 4)
    surest = np.asarray(split.labels)[order][:sure]
    return Estimate(
        split,
        wrong,
        sure,
        float(1 - most[order][:sure].mean()),
        int(against[:top].sum()),
        top,
        1 - float(np.bincount(surest).max()) / sure,
        bool(np.median(most) > 1 - CERTAIN),
        gathered,
        not gathered or (split.settled and not outdone),
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


def estimates(told: LabelEvidence, limit: Limit) -> list[Estimate]:
    """Return the estimate of each split that has one."""
    outdone, splits = _outdone(told), len(told.splits)
    found = []
    taught = _taught_too_little(told.splits[0])
    for split in told.splits:
        best = estimated(split, splits=splits, outdone=outdone)
        best = best and replace(best, taught=taught)
        if split.split == "val":
            best = _better(best, estimated(told.checkpoint, splits=splits), limit)
        found += [best] if best is not None else []
    return _proven(found)


def _proven(found: list[Estimate]) -> list[Estimate]:
    """Trust fresh models on training labels where they surely contradict fewer of validation.

    They were trained on neither, but on others of training: that they contradict these more is no
    fault of theirs. The other way round it may be, where validation inputs are prepared otherwise.
    """
    val = next((one for one in found if one.split.split == "val"), None)
    if val is None or val.blind or val.guessed or not val.split.steps:
        return found
    return [replace(one, proven=one.sure_low > val.sure_high) for one in found]


def _better(fresh: Estimate | None, own: Estimate | None, limit: Limit) -> Estimate | None:
    """Return the estimate of validation by fresh models, or by the checkpoint where it tells more.

    The checkpoint may have been trained on validation data, so that it does not clear labels that
    fresh models leave in doubt. It may well accuse them, and it judges where fresh models can't.
    """
    if fresh is None or own is None or fresh.decided(limit):
        return fresh or own
    doubted = fresh.guessed or fresh.deaf or fresh.taught or fresh.graded or not fresh.ripe
    unfit = fresh.blind or (fresh.beyond(limit) and doubted)
    return own if own.too_many(limit) or (unfit and not own.blind) else fresh


def _taught_too_little(train: LabelledSplit) -> int | None:
    """Return how many examples each fresh model learnt from, where they are too few."""
    if train.split != "train" or not train.predicted:
        return None
    each, classes = train.examples // FOLDS, len(np.unique(train.labels))
    return each if each < TAUGHT * classes else None


def _outdone(told: LabelEvidence) -> bool:
    """Tell whether the checkpoint contradicts far fewer validation labels than fresh models do.

    Far fewer means a half at most, and by the labels that only one of the two contradicts (a sign
    test at 99 %) certainly fewer.
    """
    fresh, own = told.splits[-1], told.checkpoint
    if not fresh.predicted or not own.predicted:
        return False
    _, here, there = np.intersect1d(fresh.numbers, own.numbers, return_indices=True)
    theirs, its = contradicted(fresh)[here], contradicted(own)[there]
    more, less = int((theirs & ~its).sum()), int((its & ~theirs).sum())
    certain = clopper_pearson(more, more + less, 0.98)[0] > 0.5
    return certain and int(theirs.sum()) >= OUTDONE * int(its.sum())
