"""What it comes to that validation examples stand in training, too."""

from dataclasses import dataclass

import numpy as np

from auditor.core.advice import step
from auditor.core.finding import Limit, Place
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.performance import Performance
from auditor.observations.shared_examples import SharedExamples

SHOWN = 20
"""Shared examples named."""


@dataclass(frozen=True)
class Part:
    """One thing that was found: what it comes to, in words, where, and what to do."""

    verdict: Verdict
    text: str
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()


def unseen_of(shared: SharedExamples, val: Performance | None) -> Array:
    """Return which of the scored validation examples do not stand in training, [examples].

    All of them where that is usual, where it can't be told which they are, or where too few are
    left.
    """
    if val is None:
        return np.zeros(0, bool)
    every = np.ones(val.examples, bool)
    sizes = np.asarray(val.batch_examples)
    aligned = np.array_equal(np.asarray(shared.val_sizes)[: len(sizes)], sizes)
    if not aligned or not shared.interval()[0] > 0:
        return every
    new = np.asarray(shared.shared)[: val.examples] < 0
    return new if new.sum() >= max(2, 0.05 * val.examples) else every


def leak_of(shared: SharedExamples, val: Performance | None, limit: Limit) -> Part:
    """Judge how much of validation stands in training."""
    share, (low, _) = shared.share, shared.interval()
    if not low > 0:
        if not len(shared.shared):
            return Part(
                Verdict.PASS,
                "Whether validation examples stand in training can't be told: the inputs have no "
                "row for each example.",
            )
        read = "" if shared.whole else ", as far as training data was read"
        return Part(
            Verdict.PASS,
            f"No more of {counted(len(shared.shared), 'validation example')} than usual stand in "
            f"training{read}.",
        )
    if limit.fail is not None and low > limit.fail:
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.WARN if limit.warn is not None and low > limit.warn else Verdict.INFO
    if shared.same_loader:
        text = (
            "One loader gives both splits: validation is training data, and its score says nothing "
            "of new data."
        )
        note = "is the training loader"
    elif shared.indices > 0 and shared.indices / shared.of_indices >= share:
        text = (
            f"Both loaders draw from one dataset, and {shared.indices:,} of the "
            f"{shared.of_indices:,} validation indices are training's, too."
        )
        note = f"{shared.indices:,} of {shared.of_indices:,} indices are training's"
    else:
        copies = int((np.asarray(shared.shared) >= 0).sum())
        text = (
            f"{copies:,} of {counted(len(shared.shared), 'validation example')} stand in training, "
            f"too, input and target, where {100 * float(np.mean(shared.repeated)):.3g} % would by "
            f"training's own repetitions: at least {100 * low:.3g} % more, with 99 % confidence."
        )
        if not shared.whole:
            text += " Training data was read in part only, so there may be more."
        note = f"{copies:,} of {len(shared.shared):,} examples stand in training"
    if verdict is Verdict.INFO:
        return Part(verdict, text + " That changes a score little.")
    known = np.flatnonzero(np.asarray(shared.shared) >= 0)[:SHOWN]
    examples = (
        ()
        if shared.same_loader
        else tuple(
            Place("example", f"val {row}", f"the same as train {int(shared.shared[row])}")
            for row in known
        )
    )
    return Part(
        verdict,
        text + _by_memory(shared, val),
        (Place("setting", "data.val", note), *examples),
        (
            step(
                "Take what stands in validation out of training (or the other way round), train "
                "anew, and measure again. A split that shares nothing; where examples belong "
                "together (a patient, a film, a text), split by that:",
                "train_set, val_set = torch.utils.data.random_split(dataset, [0.8, 0.2])\n"
                "assert not set(train_set.indices) & set(val_set.indices)",
            ),
            "Give `data.val` a loader over examples that training never draws.",
        ),
    )


def _by_memory(shared: SharedExamples, val: Performance | None) -> str:
    """Tell the score on shared and on new validation examples, where there are some of both."""
    if val is None or not len(shared.shared):
        return ""
    unseen = unseen_of(shared, val)
    if unseen.all():
        return ""
    scores = np.asarray(val.scores, float)
    return (
        f" On these the {val.metric} is {scores[~unseen].mean():.3g}, on the other "
        f"{int(unseen.sum()):,} {scores[unseen].mean():.3g}."
    )
