"""Raw outputs read as decisions and as probabilities, and what can be computed from these."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from auditor.core.subject import TargetFacts
from auditor.core.values import Array
from auditor.observations.predictions import Predictions

Scale = Literal["logits", "probabilities", "log-probabilities"]
Agreement = Literal["", "mean", "negated", "sum", "scaled"]

LIKELIHOODS = (
    "cross_entropy",
    "nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
)
"""Losses whose outputs are probabilities, by themselves or after a softmax or sigmoid."""

NORMALISED = 1e-3
"""How far from one the sum of a row of probabilities may be, half precision included."""

LEAST = float(np.finfo(np.float32).tiny)
"""Probability that stands for one that has underflowed."""

SAME = 0.01
"""Share by which a batch's loss may differ from the recomputed one, in half precision."""

ROUNDED = 1e-5
"""Loss that single precision may lose of a batch."""

BLOCKS = 1000
"""Groups of whole examples that a bootstrap draws at most."""

MOST_ROWS = 200_000
"""Decisions that are compared; of more, they are taken evenly."""

MOST_VALUES = 300_000
"""Log-probabilities that a temperature is fitted on; of more, rows are taken evenly."""


@dataclass(frozen=True)
class Decisions:
    """What was right and what was predicted, one row a choice among exclusive classes.

    Classes: `truth` and `predicted` [rows] are class indices. Labels: a row is one label of one
    example, a choice between 0 and 1; `label` [rows] is its number, zero for classes. `example`
    [rows] is the number of the example.
    """

    truth: Array
    predicted: Array
    example: Array
    label: Array

    @property
    def right(self) -> Array:
        """Return 1 where the prediction is right, else 0."""
        return np.asarray(self.truth == self.predicted, float)

    def where(self, rows: Array) -> "Decisions":
        """Return some of the rows."""
        return Decisions(
            self.truth[rows], self.predicted[rows], self.example[rows], self.label[rows]
        )

    @property
    def spread(self) -> Array:
        """Return the numbers of at most `MOST_ROWS` rows, evenly spread."""
        count = len(self.truth)
        if count <= MOST_ROWS:
            return np.arange(count)
        return np.linspace(0, count - 1, MOST_ROWS).round().astype(np.int64)


@dataclass(frozen=True)
class Probabilities:
    """The logarithm of the probability that the model gives each class, [rows, classes].

    `scale` is what the outputs were taken for. `sure` tells whether the loss, or the numbers
    themselves, leave no doubt about it; `agrees` how the subject's loss comes from the
    cross-entropy. Where the loss weights its classes, the weights have been
    taken out of the probabilities (Elkan 2001), which the decisions are not touched by.
    """

    decisions: Decisions
    logs: Array
    scale: Scale
    sure: bool
    agrees: Agreement = ""

    @property
    def surprise(self) -> Array:
        """Return each row's cross-entropy in nats."""
        truth = np.asarray(self.decisions.truth, np.int64)
        return np.asarray(-np.take_along_axis(self.logs, truth[:, None], axis=1)[:, 0])

    def warmed(self, temperature: float) -> "Probabilities":
        """Return the probabilities with logits divided by a temperature."""
        return replace(self, logs=log_softmax(self.logs / temperature))

    def without(self, emphasis: Array) -> "Probabilities":
        """Return the probabilities without the logarithm of a factor [classes] on each class."""
        return replace(self, logs=log_softmax(self.logs - emphasis))

    def where(self, rows: Array) -> "Probabilities":
        """Return some of the rows."""
        return replace(self, decisions=self.decisions.where(rows), logs=self.logs[rows])


def log_softmax(values: Array) -> Array:
    """Return values less the logarithm of the sum of their exponentials, row by row."""
    shifted = values - values.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def unreadable(seen: Predictions) -> str:
    """Return why outputs are no decisions, as the end of a sentence; empty if they are."""
    if seen.kind == "numbers":
        return "the task is a regression, which has no classes"
    if not seen.rows:
        return "no target was seen"
    lost = int((np.isnan(seen.outputs) | np.isposinf(seen.outputs)).any(axis=1).sum())
    if lost:
        return f"{lost:,} of {seen.rows:,} outputs are not finite"
    if seen.kind == "labels" and not np.isin(seen.targets, (0, 1)).all():
        return "the targets are not all 0 or 1"
    return ""


def decide(seen: Predictions) -> Decisions | str:
    """Return the decisions that the outputs stand for, or why there are none."""
    reason = unreadable(seen)
    if reason:
        return reason
    outputs, example = np.asarray(seen.outputs), np.asarray(seen.example, np.int64)
    if seen.kind == "classes":
        truth = np.asarray(seen.targets, np.int64)
        return Decisions(truth, outputs.argmax(axis=1), example, np.zeros(len(truth), np.int64))
    width = outputs.shape[1]
    threshold = 0.5 if _scale(seen) == "probabilities" else 0.0
    return Decisions(
        truth=np.asarray(seen.targets, np.int64).reshape(-1),
        predicted=(outputs > threshold).astype(np.int64).reshape(-1),
        example=np.repeat(example, width),
        label=np.tile(np.arange(width), len(outputs)),
    )


def read(seen: Predictions, as_loss: bool = False) -> Probabilities | str:
    """Return the probabilities that the outputs stand for, or why there are none.

    They are read by the numbers, or `as_loss` reads them where the two disagree: cross-entropy
    takes probabilities for logits.
    """
    decisions = decide(seen)
    if isinstance(decisions, str):
        return decisions
    if seen.loss and seen.loss not in LIKELIHOODS:
        return f"`{seen.loss}` does not make probabilities of the outputs"
    outputs, scale = np.asarray(seen.outputs, float), _scale(seen)
    mistaken = scale == "probabilities" and seen.loss in ("cross_entropy", "nll_loss")
    if as_loss and seen.loss == "cross_entropy" and mistaken:
        scale, mistaken = "logits", False
    if seen.kind == "labels":
        if scale == "probabilities":
            yes = np.clip(outputs, LEAST, 1.0).reshape(-1)
            logs = np.stack([np.log(np.maximum(1 - yes, LEAST)), np.log(yes)], axis=1)
        else:
            flat = outputs.reshape(-1)
            logs = -np.logaddexp(0.0, np.stack([flat, -flat], axis=1))
    elif scale == "probabilities":
        logs = np.log(np.maximum(outputs, LEAST))
    else:
        logs = log_softmax(outputs)
    plain = Probabilities(decisions, logs, scale, True)
    agrees = agreement(seen, plain.surprise)
    known = bool(seen.loss) or scale != "logits" or bool(agrees)
    sure = known and not mistaken
    stated = Probabilities(decisions, _unweighted(seen, logs), scale, sure, agrees)
    return stated.where(decisions.spread) if len(logs) > MOST_ROWS else stated


def _scale(seen: Predictions) -> Scale:
    """Return what the outputs are, by the loss that takes them and by the numbers."""
    outputs = np.asarray(seen.outputs, float)
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    if seen.kind == "labels":
        shares = seen.loss == "binary_cross_entropy" or (not seen.loss and inside)
        return "probabilities" if shares else "logits"
    if inside and bool((np.abs(outputs.sum(axis=1) - 1) < NORMALISED).all()):
        return "probabilities"
    total = np.logaddexp.reduce(outputs, axis=1)
    return "log-probabilities" if bool((np.abs(total) < NORMALISED).all()) else "logits"


def _unweighted(seen: Predictions, logs: Array) -> Array:
    """Return log-probabilities without what class weights added to them."""
    weights = np.asarray(seen.weights, float)
    if not weights.size or not (weights > 0).all() or (weights == 1).all():
        return logs
    if seen.kind == "labels":
        yes = np.tile(np.broadcast_to(weights, seen.outputs.shape[1]), len(seen.outputs))
        return log_softmax(logs - np.stack([np.zeros_like(yes), np.log(yes)], axis=1))
    return log_softmax(logs - np.log(weights)) if len(weights) == logs.shape[1] else logs


def agreement(seen: Predictions, values: Array) -> Agreement:
    """Tell how the subject's loss of each batch comes from `values`, which belong to decisions.

    It may be their mean, that times -1, their sum, or the mean times some positive number that is
    the same for all of three batches or more; empty where it is none of these.
    """
    means, rows = by_batch(seen, values)
    losses = np.asarray(seen.losses, float)
    if len(means) != len(losses):
        return ""
    means, rows, losses = means[rows > 0], rows[rows > 0], losses[rows > 0]
    if not losses.size or not (np.isfinite(losses).all() and means.max() > ROUNDED):
        return ""
    slack = SAME * means + ROUNDED
    if (np.abs(losses - means) < slack).all():
        return "mean"
    if (np.abs(losses + means) < slack).all():
        return "negated"
    if seen.rows == seen.rows_seen and (np.abs(losses - rows * means) < rows * slack).all():
        return "sum"
    times = float(losses.sum() / means.sum())
    if len(losses) > 2 and times > 0 and (np.abs(losses - times * means) < times * slack).all():
        return "scaled"
    return ""


SHIFTED = 2.0
"""Ratio of a class's shares of two splits that tells of resampling, not of chance."""

FEWEST_OF_CLASS = 20
"""Targets of a class in each split without which its shares are not compared."""


def emphasis(read: Probabilities, trained: TargetFacts) -> Array:
    """Return the logarithm of each class's share of training over that of these targets.

    That is what a sampler that draws some classes more often adds to the outputs (Elkan 2001;
    Saerens et al. 2002). Empty where the shares agree, and of several labels.
    """
    classes = read.logs.shape[1]
    none = np.zeros(0)
    if np.max(read.decisions.label, initial=0) > 0 or max(trained.classes, default=-1) >= classes:
        return none
    taught, asked = np.zeros(classes), np.bincount(read.decisions.truth, minlength=classes)
    taught[list(trained.classes)] = trained.counts
    both = np.minimum(taught, asked) >= FEWEST_OF_CLASS
    ratio = (taught + 0.5) / (asked + 0.5)
    if not both.any() or ratio[both].max() < SHIFTED * ratio[both].min():
        return none
    return np.asarray(np.log(ratio))


def by_batch(seen: Predictions, values: Array) -> tuple[Array, Array]:
    """Return the mean over each batch of values of decisions, NaN of none, and their number."""
    ends = np.cumsum(np.asarray(seen.batch_examples, np.int64))
    example = np.repeat(np.asarray(seen.example, np.int64), len(values) // seen.rows)
    batch = np.searchsorted(ends, example, side="right")
    rows = np.bincount(batch, minlength=len(ends))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(batch, values, len(ends)) / rows), rows


def blocks(example: Array, rng: np.random.Generator) -> Array:
    """Return the number of the block each row falls in: whole examples, drawn into `BLOCKS`.

    A sum over independent examples varies the same however they are grouped, so that a bootstrap
    may draw groups; rows of one example never part.
    """
    _, place = np.unique(example, return_inverse=True)
    count = int(place.max(initial=0)) + 1
    return np.asarray((rng.permutation(count) % BLOCKS)[place])


def draws_of(count: int, rng: np.random.Generator, resamples: int = 1000) -> Array:
    """Return how often each of `count` blocks is drawn, [1 + resamples, count].

    The first draw is all of them, once each; the others are drawn with replacement (Efron &
    Tibshirani 1993).
    """
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), drawn])


@dataclass(frozen=True)
class Temperature:
    """The temperature of least cross-entropy, and the standard error of its logarithm."""

    value: float
    error: float

    def interval(self, deviations: float) -> tuple[float, float]:
        """Return the bounds so many standard errors away, on the logarithm's scale."""
        reach = float(np.exp(deviations * self.error))
        return self.value / reach, self.value * reach


COLDEST, HOTTEST = 1e-3, 1e3
"""Temperatures between which the best one is looked for."""


def fitted_temperature(read: Probabilities) -> Temperature | None:
    """Return the temperature T that minimises the cross-entropy of softmax(logs / T).

    The gradient by 1/T, the mean of E[z] - z of the right class, grows with 1/T, so its zero is
    bisected for. The standard error is the sandwich estimate over whole examples (White 1982).
    None where the best lies beyond `COLDEST` or `HOTTEST`: all answers are right, or they are no
    better than the reverse.
    """
    step = -(-read.logs.size // MOST_VALUES)
    logs = np.maximum(read.logs[::step], np.log(LEAST) * HOTTEST)
    example = read.decisions.example[::step]
    truth = np.asarray(read.decisions.truth[::step], np.int64)[:, None]
    own = np.take_along_axis(logs, truth, axis=1)[:, 0]

    def slope(log_inverse: float) -> tuple[Array, Array]:
        share = np.exp(log_softmax(logs * np.exp(log_inverse)))
        mean = (share * logs).sum(axis=1)
        return mean - own, (share * np.square(logs - mean[:, None])).sum(axis=1)

    low, high = -float(np.log(HOTTEST)), -float(np.log(COLDEST))
    if slope(low)[0].sum() >= 0 or slope(high)[0].sum() <= 0:
        return None
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle)[0].sum() > 0 else (middle, high)
    inverse = (low + high) / 2
    gradient, curvature = slope(inverse)
    _, place = np.unique(example, return_inverse=True)
    spread = float(np.sqrt(np.square(np.bincount(place, gradient)).sum()))
    total = float(curvature.sum()) * float(np.exp(inverse))
    return Temperature(float(np.exp(-inverse)), spread / total) if total > 0 else None
