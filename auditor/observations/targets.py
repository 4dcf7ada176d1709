"""How the targets of training are distributed, and how a constant answer scores on others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from auditor.core.request import Capability, Request
from auditor.core.subject import TargetFacts
from auditor.core.values import Array
from auditor.observations.performance import Performance


@dataclass(frozen=True)
class TargetsSeen:
    """The distribution of the targets of `split`; `complete` where the whole split was read."""

    targets: TargetFacts
    split: str
    complete: bool = True


@dataclass(frozen=True)
class TargetsOf(Request[TargetsSeen]):
    """Asks for the distribution of a split's targets, which the intake has already read."""

    split: str = "train_or_val"

    answer: ClassVar = TargetsSeen
    requires: ClassVar[frozenset[Capability]] = frozenset({"model"})


def class_mix(one: TargetsSeen | None, other: TargetsSeen | None) -> float:
    """Return how far the class shares of two splits lie apart; zero where there are no classes.

    The total variation distance, Σ |p - q| / 2. Where each class is the same in both splits, the
    distributions of anything else lie no further apart than that.
    """
    if one is None or other is None or {one.targets.kind, other.targets.kind} != {"classes"}:
        return 0.0
    shares = [
        dict(zip(facts.classes, np.asarray(facts.counts) / sum(facts.counts), strict=True))
        for facts in (one.targets, other.targets)
    ]
    first, second = shares
    return float(sum(abs(first.get(c, 0) - second.get(c, 0)) for c in {*first, *second}) / 2)


def constant_scores(seen: Performance, facts: TargetFacts) -> tuple[str, Array | None]:
    """Return the constant answer in words and its score for each example, or why there is none."""
    if seen.metric != "accuracy":
        squared = seen.metric == "squared error"
        centre = np.asarray(facts.mean if squared else facts.median, float)
        values = np.asarray(seen.target_values, float)
        if not centre.size or values.ndim != 2 or values.shape[1] != centre.size:
            return "The targets have too many outputs to score a constant on them.", None
        error = np.square(values - centre) if squared else np.abs(values - centre)
        name = "mean" if squared else "median"
        shown = f" ({round(centre[0], 6) + 0.0:.3g})" if centre.size == 1 else ""
        return f"giving the training targets' {name}{shown}", error.mean(axis=1)
    if not facts.classes or not len(seen.target_class):
        return "Which classes the training targets hold is not known.", None
    counts = np.asarray(facts.counts)
    if _labelled(seen) and max(facts.classes) > 1:
        pairs = np.zeros(max(*facts.classes, int(seen.target_class.max())) // 2 * 2 + 2)
        pairs[list(facts.classes)] = counts
        chosen = 2 * np.arange(len(pairs) // 2) + pairs.reshape(-1, 2).argmax(axis=1)
        answer = "giving each label's most common value"
    else:
        chosen = np.asarray(facts.classes)[[int(counts.argmax())]]
        answer = f"giving class {chosen[0]}"
    return answer, _shares(seen, np.isin(seen.target_class, chosen))


def _labelled(seen: Performance) -> bool:
    """Tell whether each example has one value of each label, with classes 2 * label + value."""
    labels, column = np.unique(np.asarray(seen.target_class) // 2, return_inverse=True)
    pairs = np.asarray(seen.target_example, np.int64) * len(labels) + column
    return (
        len(pairs) == seen.examples * len(labels)
        and bool((np.asarray(seen.target_count) == 1).all())
        and len(np.unique(pairs)) == len(pairs)
    )


def constant_entropies(seen: Performance) -> Array:
    """Return each example's cross-entropy in nats under the best constant probabilities for all.

    These are the class frequencies of the examples themselves, each example counting once; of
    several labels, those of each label.
    """
    classes, column, share = _by_class(seen)
    mass = np.bincount(column, share)
    _, group = np.unique(classes // 2 if _labelled(seen) else classes * 0, return_inverse=True)
    probability = (mass / np.bincount(group, mass)[group])[column]
    cost = share * -np.log(np.maximum(probability, np.finfo(float).tiny))
    return np.asarray(np.bincount(seen.target_example, cost, seen.examples))


def best_constant_score(seen: Performance) -> float:
    """Return the mean score of the constant that suits these examples best; NaN if unknown."""
    if seen.metric != "accuracy":
        values = np.asarray(seen.target_values, float)
        if not values.size:
            return float("nan")
        if seen.metric == "squared error":
            return float(values.var(axis=0).mean())
        return float(np.abs(values - np.median(values, axis=0)).mean())
    classes, column, share = _by_class(seen)
    mass = np.bincount(column, share) / max(len(np.unique(seen.target_example)), 1)
    if not _labelled(seen):
        return float(mass.max(initial=0.0))
    best = np.zeros(int(classes.max(initial=0)) // 2 + 1)
    np.maximum.at(best, classes // 2, mass)
    return float(best.sum())


def losses_of(seen: Performance) -> Array:
    """Return each example's loss: of classes the cross-entropy in nats, of numbers the error."""
    return seen.entropies if seen.metric == "accuracy" else seen.scores


def best_constant_loss(seen: Performance) -> float:
    """Return the mean of these losses under the constant that suits the examples best."""
    if seen.metric == "accuracy":
        return float(constant_entropies(seen).mean())
    return best_constant_score(seen)


def no_better_than_constant(seen: Performance) -> bool:
    """Tell whether the mean error, of classes the cross-entropy, is not below the best constant's.

    Answers drawn at random are worse; false where it is not known.
    """
    losses = losses_of(seen)
    if not len(losses) or (seen.metric == "accuracy" and not len(seen.target_class)):
        return False
    return bool(np.mean(losses) >= best_constant_loss(seen))


def class_weights(seen: Performance) -> Array | None:
    """Return each example's n / (C n_class), which makes a mean of scores one over the C classes.

    None unless each example has exactly one target, and these are of two classes or more.
    """
    alone = np.array_equal(np.sort(seen.target_example), np.arange(seen.examples))
    if seen.metric != "accuracy" or not alone or (np.asarray(seen.target_count) != 1).any():
        return None
    truth = np.asarray(seen.target_class)[np.argsort(seen.target_example)]
    classes, column, counts = np.unique(truth, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        return None
    return np.asarray(len(truth) / (len(classes) * counts[column]))


def only_answer(seen: Performance) -> str:
    """Return, in words, the one fixed answer that gives exactly these scores; empty if none."""
    scores = np.asarray(seen.scores, float)
    if seen.metric != "accuracy":
        values = np.asarray(seen.target_values, float)
        if values.ndim != 2 or values.shape[1] != 1 or not len(values):
            return ""
        gaps = np.sqrt(scores) if seen.metric == "squared error" else scores
        tolerance = 1e-4 * float(values.std())
        for guess in (values[0, 0] - gaps[0], values[0, 0] + gaps[0]):
            if np.abs(np.abs(values[:, 0] - guess) - gaps).max() <= tolerance:
                return f"{0.0 if abs(guess) <= tolerance else guess:.3g}"
        return ""
    if _labelled(seen) and np.asarray(seen.target_class).max(initial=0) > 1:
        return ""
    top = int(scores.argmax()) if scores.size else 0
    candidates = np.asarray(seen.target_class)[np.asarray(seen.target_example) == top]
    for candidate in candidates[:20] if scores.max(initial=0.0) > 0 else ():
        shares = _shares(seen, np.asarray(seen.target_class) == candidate)
        if np.abs(shares - scores)[np.isfinite(shares)].max() < 1e-6:
            return f"class {candidate}"
    return ""


def _by_class(seen: Performance) -> tuple[Array, Array, Array]:
    """Return the classes, and for each row of targets which it is and its share of the example."""
    weights = np.asarray(seen.target_count, float)
    share = weights / np.bincount(seen.target_example, weights, seen.examples)[seen.target_example]
    classes, column = np.unique(np.asarray(seen.target_class), return_inverse=True)
    return classes, column, share


def _shares(seen: Performance, wanted: Array) -> Array:
    """Return the share of each example's targets that are `wanted`; NaN where it has none."""
    weights = np.asarray(seen.target_count, float)
    total = np.bincount(seen.target_example, weights, seen.examples)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(seen.target_example, weights * wanted, seen.examples) / total)
