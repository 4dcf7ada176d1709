"""Whether targets go with inputs: a test of independence, and predictions from all others."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from auditor.core.request import Split, Unavailable
from auditor.core.values import Array
from auditor.experiments.batch_order import ranks, target_rows
from auditor.experiments.lab import affordable, in_parts, private_copy, scored
from auditor.experiments.shared_examples import bearable
from auditor.experiments.simple_parts import Flat
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance
from auditor.observations.target_relation import (
    DRAWN,
    EACH,
    EXAMPLES,
    FEWEST,
    KNOWS,
    Answers,
    Relation,
    TargetRelation,
    TargetRelationOver,
)
from auditor.observations.targets import best_constant_score

FEATURES = 1024
"""Numbers kept of an example's inputs; neighbours are averaged where there are more."""

CLIP = 5.0
"""Deviations from the mean at which features are cut off, so that no outlier decides."""

COLUMNS = 8
"""Directions of the targets that are looked at, drawn at random where there are more."""

PAIRINGS = 299
"""Random pairings that the real one is compared with."""

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Ridge penalties, in mean eigenvalues of the kernel; the best is taken."""

NEIGHBOURS = 0.25
"""Share of examples that are likest to the one before or behind them in file order, from which on
the order tells: of n in no order it is 2 / (n - 1), of n sorted by C classes about 2 C / n."""

SPREAD = 8
"""Batches of a split from which examples are drawn at least, in case it is in some order."""


@dataclass(frozen=True)
class Pairs:
    """Features [examples, columns] and targets [examples, columns] of some examples.

    Of `classes` the one column is the label.
    """

    features: Array
    targets: Array
    classes: bool

    def rows(self, index: Array) -> "Pairs":
        """Return the examples numbered by `index`."""
        return Pairs(self.features[index], self.targets[index], self.classes)


def target_relation(request: TargetRelationOver, subject: Subject) -> TargetRelation | Unavailable:
    """Score the checkpoint and, where it is no better than a constant, look at pairs themselves."""
    return in_parts(subject, lambda: _measured(request, subject))


def _measured(request: TargetRelationOver, subject: Subject) -> TargetRelation | Unavailable:
    assert subject.model is not None
    with seeded(derived_seed(subject.seed, request.key)), torch.no_grad():
        model = evaluating(private_copy(subject))
        on_val = _answers(request, subject, model, "val")
        if isinstance(on_val, Unavailable):
            return on_val
        if on_val.without[0] > KNOWS:
            return TargetRelation({"val": on_val})
        on_train = _answers(request, subject, model, "train")
        if isinstance(on_train, Unavailable):
            return on_train
        answers: dict[Split, Answers] = {"train": on_train, "val": on_val}
        train, val = (_pairs(request, subject, split) for split in ("train", "val"))
        if isinstance(train, str) or isinstance(val, str):
            return TargetRelation(answers, reason=train if isinstance(train, str) else str(val))
        for name, pairs in (("training", train), ("validation", val)):
            if near_copies(pairs.features) > NEIGHBOURS:
                return TargetRelation(
                    answers,
                    reason=f"neighbours in the order of {name} data are alike, as windows that "
                    "overlap are, and would tell each other's targets",
                )
        rng = np.random.default_rng(derived_seed(subject.seed, f"{request.key} pairs"))
        train, val = _in_common(train, val)
        fewest = min(len(train.features), len(val.features))
        if fewest < FEWEST:
            return TargetRelation(
                answers,
                reason=f"of the different examples drawn, and of classes that both splits have, "
                f"one split has {fewest:,}, and {FEWEST} are needed",
            )
        if min(np.ptp(one.targets, axis=0).max() for one in (train, val)) == 0:
            return TargetRelation(answers, reason="all targets that were drawn are the same")
        whole = {"train": related(train, rng), "val": related(val, rng)}
        cut = {}
        for split, own, other in (("train", train, val), ("val", val, train)):
            part = _cut(own, other)
            same = len(part.features) == len(own.features)
            cut[split] = whole[split] if same else related(part, rng)
        return TargetRelation(answers, whole, cut)  # type: ignore[arg-type]


def _answers(
    request: TargetRelationOver, subject: Subject, model: nn.Module, split: Split
) -> Answers | Unavailable:
    seen = scored(subject, model, _drawn(request, subject, split), split)
    if isinstance(seen, Unavailable):
        return seen
    constant = best_constant_score(seen)
    constant = 1 - constant if seen.metric == "accuracy" else constant
    if not constant > 0:
        return Unavailable("one answer is right for all examples, or the best one is not known")
    return Answers(_errors(seen), constant)


def _errors(seen: Performance) -> Array:
    scores = np.asarray(seen.scores, float)
    return 1 - scores if seen.metric == "accuracy" else scores


def _drawn(request: TargetRelationOver, subject: Subject, split: Split) -> Iterator[Batch]:
    """Yield examples from all over a split, as many as can be afforded."""
    most = bearable(subject, split, request.batches)
    wanted = affordable(subject, EXAMPLES, 1, runs=2, training=False)
    size = max(1, subject.facts.data[split].batch_size)
    count = min(most, max(SPREAD, min(DRAWN, math.ceil(wanted / size))))
    each = math.ceil(wanted / count)
    chosen = set(np.linspace(0, most - 1, count).round().astype(int).tolist())
    for number, batch in enumerate(subject.data[split].first(most)):
        if number in chosen and batch.size > each:
            yield batch.rows(torch.linspace(0, batch.size - 1, each).round().long())
        elif number in chosen:
            yield batch


def _pairs(request: TargetRelationOver, subject: Subject, split: Split) -> Pairs | str:
    """Return what stands in some examples, each pair once, or why it can't be told."""
    features, targets, kinds = [], [], set()
    words = _vocabulary(subject.model)
    for batch in _drawn(request, subject, split):
        first = next(tensors_in((batch.args, batch.kwargs)), None)
        axis = None if first is None else batch.axis(first)
        found = target_rows(batch, subject)
        if axis is None or found is None or batch.starts is not None:
            return "inputs or targets do not come example by example"
        read = Flat(axis, words, FEATURES)
        features.append(read(batch.args, batch.kwargs).double().cpu().numpy())
        kind, rows, _ = found
        targets.append(_labels(batch) if kind == "classes" else rows)
        kinds.add(kind)
    if len({rows.shape[1] for rows in features}) > 1 or len({t.shape[1] for t in targets}) > 1:
        return "examples are of different shapes"
    x, y = np.concatenate(features), np.concatenate(targets)
    if not np.isfinite(x).all() or not np.isfinite(y).all():
        return "inputs or targets are not finite"
    # A pair that stands there twice would be told by its copy.
    _, once = np.unique(np.concatenate([x, y], axis=1), axis=0, return_index=True)
    once = np.sort(once)
    return Pairs(x[once], ranks(y[once]) if kinds == {"numbers"} else y[once], kinds == {"classes"})


def _labels(batch: Batch) -> Array:
    """Return the class of each example, [examples, 1]."""
    target = next(tensors_in(batch.target))
    return np.asarray(target.detach().cpu().reshape(batch.size, 1).double().numpy())


def _vocabulary(model: nn.Module | None) -> int:
    """Return how many words the model's largest embedding has, 0 where it reads none."""
    modules = model.modules() if model is not None else ()
    kinds = nn.Embedding | nn.EmbeddingBag
    return max((m.num_embeddings for m in modules if isinstance(m, kinds)), default=0)


def _in_common(train: Pairs, val: Pairs) -> tuple[Pairs, Pairs]:
    """Return the pairs of those classes that both have some of; others tell of the drawing."""
    if not (train.classes and val.classes):
        return train, val
    common = np.intersect1d(_often(train), _often(val))
    kept = [np.flatnonzero(np.isin(one.targets[:, 0], common)) for one in (train, val)]
    return train.rows(kept[0]), val.rows(kept[1])


def _often(pairs: Pairs) -> Array:
    """Return the classes that have enough examples."""
    labels, counts = np.unique(pairs.targets, return_counts=True)
    return np.asarray(labels[counts >= EACH])


def _cut(own: Pairs, other: Pairs) -> Pairs:
    """Return pairs with no more examples of each class, or in all, than the other has."""
    if not (own.classes and other.classes):
        return own.rows(np.arange(min(len(own.features), len(other.features))))
    label, theirs = own.targets[:, 0], other.targets[:, 0]
    kept = [np.flatnonzero(label == c)[: int((theirs == c).sum())] for c in np.unique(label)]
    return own.rows(np.sort(np.concatenate(kept)))


def related(pairs: Pairs, rng: np.random.Generator) -> Relation:
    """Return how well each target is told by the inputs of all pairs but its own.

    The test is that of Gretton et al. 2007: tr(K Y Yᵀ) of the real pairing among random ones, where
    K is the sum of a linear and a Gaussian kernel of like size. Errors are those of kernel ridge
    regression with an intercept, H = 1/n + K (K + λ)⁻¹, each example left out once: r / (1 - h).
    """
    y = pairs.targets
    if pairs.classes:
        y = (y == np.unique(y)).astype(float)
    y = y - y.mean(axis=0)
    if y.shape[1] > COLUMNS:
        y = y @ rng.standard_normal((y.shape[1], COLUMNS))
    kernels = _kernels(_standardised(pairs.features))
    both = np.sum(kernels, axis=0)
    real = float((y * (both @ y)).sum())
    orders = [rng.permutation(len(y)) for _ in range(PAIRINGS)]
    mixed = np.stack([y[order] for order in orders], axis=1)
    moved = (both @ mixed.reshape(len(y), -1)).reshape(mixed.shape)
    drawn = (mixed * moved).sum(axis=(0, 2))
    errors = [e for kernel in kernels for e in _left_out(kernel, y)]
    constant = (y**2).sum(axis=1) * (len(y) / (len(y) - 1)) ** 2
    return Relation(
        chance=(1 + int((drawn >= real).sum())) / (PAIRINGS + 1),
        errors=min(errors, key=lambda e: float(e.mean())),
        constant=constant,
    )


def near_copies(features: Array) -> float:
    """Return the share of examples that are likest to the one before or behind them."""
    apart = _squared_distances(_standardised(features))
    np.fill_diagonal(apart, np.inf)
    return float((np.abs(apart.argmin(axis=1) - np.arange(len(apart))) == 1).mean())


def _standardised(features: Array) -> Array:
    spread = features.std(axis=0)
    varied = spread > 1e-9 * np.abs(features).max(axis=0).clip(1e-9)
    x = (features[:, varied] - features[:, varied].mean(axis=0)) / spread[varied]
    return np.asarray(np.clip(x, -CLIP, CLIP))


def _squared_distances(x: Array) -> Array:
    linear = x @ x.T
    square = np.diag(linear)
    return np.asarray(np.maximum(square[:, None] + square[None, :] - 2 * linear, 0))


def _kernels(x: Array) -> tuple[Array, Array]:
    """Return a linear and a Gaussian kernel, centred, of mean eigenvalue 1."""
    linear, apart = x @ x.T, _squared_distances(x)
    gaussian = np.exp(-apart / max(float(np.median(apart)), 1e-12))
    return _centred(linear), _centred(gaussian)


def _centred(kernel: Array) -> Array:
    middle = kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
    scale = float(np.trace(middle)) / len(middle)
    return middle / scale if scale > 1e-12 else np.zeros_like(middle)


def _left_out(kernel: Array, y: Array) -> Iterator[Array]:
    """Yield the squared errors of examples left out, for each penalty."""
    values, vectors = np.linalg.eigh(kernel)
    seen = vectors.T @ y
    for penalty in PENALTIES:
        share = np.maximum(values, 0) / (np.maximum(values, 0) + penalty)
        rest = y - vectors @ (share[:, None] * seen)
        own = 1 / len(y) + (vectors**2) @ share
        yield ((rest / np.maximum(1 - own, 1e-9)[:, None]) ** 2).sum(axis=1)
