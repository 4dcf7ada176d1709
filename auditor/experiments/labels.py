"""Predicting labels out of sample, and finding examples that stand in the data twice."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from auditor.core.request import Split, Unavailable
from auditor.experiments.cross_fitting import (
    FEWEST_STEPS,
    every,
    labelled,
    looked,
    predicted,
    unpredicted,
)
from auditor.experiments.lab import affordable, halving
from auditor.experiments.pictures import picture
from auditor.experiments.repeats import Read, copied, near_share, read, repeated
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.copies import Copies
from auditor.observations.labels import (
    FOLDS,
    PICTURES,
    LabelEvidence,
    LabelEvidenceOver,
    LabelledSplit,
    Thumbnail,
    ranked,
)

MOST_CLASSES = 1000


def label_evidence(request: LabelEvidenceOver, subject: Subject) -> LabelEvidence | Unavailable:
    """Return predictions of the labels, and what stands in the data more than once."""
    known: tuple[Split, ...] = ("train", "val")
    reads = {s: read(subject, s, request.batches) for s in known if s in subject.data}
    checkpoint = _by_checkpoint(subject, reads)
    splits, note = _by_fresh_models(request, subject, reads, checkpoint.reason)
    rows = repeated(reads)
    pictures = tuple(_thumbnails((*splits, checkpoint), reads))
    return LabelEvidence(
        splits=splits,
        checkpoint=checkpoint,
        repeated_split=rows[:, 0],
        repeated_example=rows[:, 1],
        repeated_group=rows[:, 2],
        repeated_label=rows[:, 3],
        near=near_share(reads, subject.seed) if len(rows) else 0.0,
        thumbnails=pictures if subject.include_samples else (),
        left_out=bool(pictures) and not subject.include_samples,
        note=note,
        copies=copied(reads["train"]) if "train" in reads else Copies(),
    )


def _by_checkpoint(subject: Subject, reads: dict[Split, Read]) -> LabelledSplit:
    """Return what the checkpoint predicts of the validation data that training data lacks."""
    assert subject.model is not None
    val, task, outputs = reads["val"], subject.facts.task, subject.facts.outputs
    if task not in ("multiclass", "binary"):
        return unpredicted("val", val, "the examples do not have one class each")
    if outputs is not None and outputs > MOST_CLASSES:
        return unpredicted("val", val, f"there are more than {MOST_CLASSES:,} classes")
    with preserved(subject.model), seeded(subject.seed):
        told = predicted(subject, subject.model, "val", val, every(subject, val))
    seen = set(reads["train"].hashes) if "train" in reads else set()
    new = np.asarray([val.hashes[number] not in seen for number in told.numbers], bool)
    return replace(
        told,
        numbers=told.numbers[new],
        labels=told.labels[new],
        probabilities=told.probabilities[new],
    )


def _by_fresh_models(
    request: LabelEvidenceOver, subject: Subject, reads: dict[Split, Read], reason: str
) -> tuple[tuple[LabelledSplit, ...], str]:
    """Return what fresh models predict of either split; there may be a reason why they can't.

    Each is trained on a part of the training data and predicts the rest. All copies of an example
    belong to one part. Validation gets the mean over the models that have not seen the example.
    """
    steps = 0
    if not reason and "train" not in reads:
        reason = "there is no training data for fresh models"
    elif not reason and subject.factory is None:
        reason = "there is no factory for fresh models that have not seen the labels"
    elif not reason and not subject.facts.trainable:
        reason = "the model has no trainable parameters"
    elif not reason:
        size = subject.facts.data["train"].batch_size
        steps = affordable(subject, request.steps, max(1, size // FOLDS), FOLDS)
        if steps < FEWEST_STEPS:
            reason = (
                f"only {steps} steps of a fresh model are affordable, {FEWEST_STEPS} are needed"
            )

    def none(reason: str) -> tuple[LabelledSplit, ...]:
        return tuple(unpredicted(split, one, reason) for split, one in reads.items())

    if reason:
        return none(reason), ""
    seed = derived_seed(subject.seed, request.key)
    training, val = reads["train"], reads["val"]
    part = _parts(training, seed)
    parts = np.asarray([part.get(key, -1) for key in training.hashes])

    def attempt(fraction: float) -> tuple[LabelledSplit, ...]:
        looks = []
        for fold in range(FOLDS):
            with seeded(seed + fold):
                look = looked(subject, reads, parts == fold, steps, seed + fold, fraction)
            if look is None:
                return none("fresh models could not be trained on the rest of the training data")
            looks.append(look)
        told = [look.left_out for look in looks]
        numbers = np.concatenate([split.numbers for split in told])
        order = np.argsort(numbers)
        train = labelled(
            "train",
            training,
            numbers[order],
            np.concatenate([split.probabilities for split in told])[order],
            np.concatenate([split.labels for split in told])[order],
        )
        taken = max(look.steps for look in looks)
        settled = all(look.settled for look in looks)
        both = train, _averaged(val, [look.others for look in looks], part)
        return tuple(replace(split, steps=taken, settled=settled) for split in both)

    return halving(attempt)


def _parts(training: Read, seed: int) -> dict[bytes, int]:
    """Return the part of the training data that each input belongs to, by its hash."""
    generator = np.random.default_rng(seed)
    part: dict[bytes, int] = {}
    for start, batch in training.kept:
        drawn = (generator.permutation(batch.size) % FOLDS).tolist()
        for key, fold in zip(training.hashes[start : start + batch.size], drawn, strict=True):
            part.setdefault(key, fold)
    return part


def _averaged(val: Read, told: list[LabelledSplit], part: dict[bytes, int]) -> LabelledSplit:
    """Return the mean prediction of the models that have not seen the example, or a copy."""
    common = told[0].numbers
    for split in told[1:]:
        common = np.intersect1d(common, split.numbers)
    rows = [np.searchsorted(split.numbers, common) for split in told]
    keys = [part.get(val.hashes[number], -1) for number in common]
    unseen = np.asarray([[key in (-1, fold) for key in keys] for fold in range(len(told))], float)
    table = np.stack([split.probabilities[row] for split, row in zip(told, rows, strict=True)])
    mean = (table * unseen[:, :, None]).sum(axis=0) / unseen.sum(axis=0)[:, None]
    return labelled("val", val, common, mean, told[0].labels[rows[0]])


def _thumbnails(splits: tuple[LabelledSplit, ...], reads: dict[Split, Read]) -> Iterator[Thumbnail]:
    """Yield pictures of the examples of each split whose labels are most likely wrong."""
    shown = {
        (split.split, int(split.numbers[row])): None
        for one in splits
        for split, row in ranked((one,), PICTURES)
    }
    for name, number in shown:
        for start, batch in reads[name].kept:
            if start <= number < start + batch.size:
                png = _shown(batch, number - start)
                if png:
                    yield Thumbnail(name, number, png)


def _shown(batch: Batch, place: int) -> str | None:
    tensor = next(tensors_in((batch.args, batch.kwargs)), None)
    axis = None if tensor is None else batch.axis(tensor)
    if tensor is None or axis is None or not tensor.is_floating_point():
        return None
    return picture(tensor.select(axis, place))
