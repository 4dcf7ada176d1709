"""Which number of a model's output is explained: the predicted class's, the last token's ..."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from auditor.core.errors import InputError
from auditor.experiments.shifted import sequence_of
from auditor.intake.batches import Batch
from auditor.intake.losses import as_classes, main_output, matched, picks_class
from auditor.intake.subject import Subject


@dataclass(frozen=True)
class Explained:
    """What is explained of each example: the sum of `sign` times some of its outputs.

    `index` [examples] is the place of one output among an example's own, or `weights` [examples,
    outputs] marks several. `truths` is empty where targets say nothing of single outputs. `right`
    [examples] is 1, 0, or NaN where nobody can tell, and `sure` [examples] how sure the model is of
    its answer, or, of numbers, how small its error is.
    `place` tells whether it is one place of an output that has several.
    """

    index: torch.Tensor
    sign: torch.Tensor
    names: tuple[str, ...]
    truths: tuple[str, ...]
    right: torch.Tensor
    sure: torch.Tensor
    weights: torch.Tensor | None = None
    place: bool = False

    def scores(self, outputs: Any) -> torch.Tensor:
        """Return [examples] the explained number of each example."""
        main = rows_of(outputs, len(self.sign))
        if main is None:
            raise InputError("the model's outputs have no dimension that counts the examples")
        flat = main.flatten(1)
        flat = flat.float() if flat.dtype.itemsize < 4 else flat
        if self.weights is not None:
            return (flat * self.weights.to(flat)).sum(dim=1)
        return flat.gather(1, self.index[:, None]).squeeze(1) * self.sign.to(flat)

    def of(self, rows: list[int]) -> "Explained":
        """Return what is explained of the examples numbered."""
        at = torch.as_tensor(rows, device=self.index.device)
        return Explained(
            self.index[at],
            self.sign[at],
            tuple(self.names[row] for row in rows),
            tuple(self.truths[row] for row in rows) if self.truths else (),
            self.right[at],
            self.sure[at],
            None if self.weights is None else self.weights[at],
            self.place,
        )


def together(parts: list[Explained]) -> Explained:
    """Return what is explained of all examples of several batches."""
    weights = [part.weights for part in parts if part.weights is not None]
    told = all(part.truths for part in parts)
    return Explained(
        torch.cat([part.index for part in parts]),
        torch.cat([part.sign for part in parts]),
        tuple(name for part in parts for name in part.names),
        tuple(truth for part in parts for truth in part.truths) if told else (),
        torch.cat([part.right for part in parts]),
        torch.cat([part.sure for part in parts]),
        torch.cat(weights) if len(weights) == len(parts) else None,
        all(part.place for part in parts),
    )


def rows_of(outputs: Any, size: int) -> torch.Tensor | None:
    """Return the main output, examples first; None where no dimension counts them."""
    main = main_output(outputs)
    if not isinstance(main, torch.Tensor) or not main.is_floating_point() or not main.ndim:
        return None
    axis = next((axis for axis in range(min(2, main.ndim)) if main.shape[axis] == size), None)
    if axis is None:
        return None
    moved = main.movedim(axis, 0)
    return moved.unsqueeze(1) if moved.ndim == 1 else moved


@torch.no_grad()
def explained(
    subject: Subject, outputs: Any, batch: Batch, output: int | None = None
) -> Explained | None:
    """Return what to explain of a batch's examples; None where outputs belong to no example.

    Of exclusive classes it is the score of the predicted one, of a language model that at the last
    place that counts, of a segmentation the sum over the pixels predicted as the most frequent
    class but one (the most frequent is usually the background). Of labels it is the likeliest, of
    one label its logit, turned so that it speaks for the prediction. Of numbers, and where the
    task is not known, it is the output numbered `output`, or the one that varies most, at the last
    step of a sequence.
    """
    main = rows_of(outputs, batch.size)
    if main is None:
        return None
    loss, task, target = subject.loss, subject.facts.task, batch.target
    known = isinstance(target, torch.Tensor)
    if loss is not None and known and picks_class(loss, task, main, target):
        return _class(subject, main, target)
    if task in ("binary", "multilabel"):
        return _label(subject, main, target)
    return _number(main, batch, output)


def _class(subject: Subject, main: torch.Tensor, target: torch.Tensor) -> Explained | None:
    size = len(main)
    places = torch.arange(main[0].numel(), device=main.device).reshape(main.shape[1:])
    places = places.expand(main.shape)
    try:
        scores, labels = as_classes(main, target)
        moved = scores.shape != main.shape or scores.data_ptr() != main.data_ptr()
        moved = moved or scores.stride() != main.stride()
    except InputError:
        scores, labels, moved = main, None, False
    places = places.movedim(-1, 1) if moved else places
    assert subject.loss is not None
    if scores.ndim > 3 or subject.facts.task == "segmentation":
        return _pixels(subject, scores, labels, moved)
    if scores.ndim == 3:
        last = torch.full((size,), scores.shape[2] - 1, device=main.device)
        if labels is not None:
            counted = labels != subject.loss.ignored
            order = torch.arange(labels.shape[1], device=main.device)
            latest = torch.where(counted, order, -1).amax(dim=1)
            last = torch.where(latest >= 0, latest, last)
            labels = labels.gather(1, last[:, None]).squeeze(1)
        at = last[:, None, None].expand(-1, scores.shape[1], 1)
        scores, places = scores.gather(2, at).squeeze(2), places.gather(2, at).squeeze(2)
    predicted = scores.argmax(dim=1)
    chances = functional.softmax(scores.float(), dim=1).amax(dim=1)
    right = torch.full((size,), torch.nan, device=main.device)
    if labels is not None:
        right = (predicted == labels).float().masked_fill(labels == subject.loss.ignored, torch.nan)
    return Explained(
        index=places.gather(1, predicted[:, None]).squeeze(1),
        sign=torch.ones(size, device=main.device),
        names=tuple(f"class {one}" for one in predicted.tolist()),
        truths=() if labels is None else tuple(f"class {one}" for one in labels.tolist()),
        right=right,
        sure=chances,
    )


def _pixels(
    subject: Subject, scores: torch.Tensor, labels: torch.Tensor | None, moved: bool
) -> Explained:
    assert subject.loss is not None
    size, classes = scores.shape[:2]
    predicted = scores.argmax(dim=1)
    hot = functional.one_hot(predicted.flatten(1), classes)
    counts = hot.sum(dim=1)
    ranked = counts.sort(dim=1, descending=True, stable=True)
    second = ranked.values[:, 1] >= 0.01 * predicted[0].numel()
    chosen = torch.where(second, ranked.indices[:, 1], ranked.indices[:, 0])
    marked = (predicted == chosen.reshape(-1, *[1] * (predicted.ndim - 1))).unsqueeze(1)
    every = torch.arange(classes, device=scores.device).reshape(1, -1, *[1] * (scores.ndim - 2))
    mask = marked & (every == chosen.reshape(-1, *[1] * (scores.ndim - 1)))
    mask = mask.movedim(1, -1) if moved else mask
    right = torch.full((size,), torch.nan, device=scores.device)
    if labels is not None:
        counted = labels != subject.loss.ignored
        hits = ((predicted == labels) & counted).flatten(1).sum(1) / counted.flatten(1).sum(1)
        right = hits.float()
    return Explained(
        index=torch.zeros(size, dtype=torch.long, device=scores.device),
        sign=torch.ones(size, device=scores.device),
        names=tuple(f"pixels of class {one}" for one in chosen.tolist()),
        truths=tuple("" if one != one else f"{one:.0%} of pixels right" for one in right.tolist()),
        right=torch.where(right.isnan(), right, (right >= right.nanmedian()).float()),
        sure=-right.nan_to_num(0.0),
        weights=mask.flatten(1),
    )


def _label(subject: Subject, main: torch.Tensor, target: Any) -> Explained:
    flat = main.flatten(1)
    size = len(flat)
    inside = bool(((flat >= 0) & (flat <= 1)).all())
    known = subject.loss.known if subject.loss is not None else ""
    edge = 0.5 if known == "binary_cross_entropy" or (inside and not known) else 0.0
    truth = None
    if isinstance(target, torch.Tensor) and target.numel() == flat.numel():
        truth = target.reshape(flat.shape) > 0.5
    sign = torch.ones(size, device=flat.device)
    if main.ndim > 2:
        weights = (flat > edge).float()
        weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, torch.ones_like(weights))
        share = torch.full((size,), torch.nan, device=flat.device)
        if truth is not None:
            share = ((flat > edge) == truth).float().mean(dim=1)
        return Explained(
            torch.zeros(size, dtype=torch.long, device=flat.device),
            sign,
            ("places predicted positive",) * size,
            tuple("" if one != one else f"{one:.0%} right" for one in share.tolist()),
            torch.where(share.isnan(), share, (share >= share.nanmedian()).float()),
            -share.nan_to_num(0.0),
            weights,
        )
    index = flat.argmax(dim=1)
    value = flat.gather(1, index[:, None]).squeeze(1)
    yes = value > edge
    if flat.shape[1] == 1:
        sign = torch.where(yes, 1.0, -1.0)
    right = torch.full((size,), torch.nan, device=flat.device)
    truths: tuple[str, ...] = ()
    if truth is not None:
        held = truth.gather(1, index[:, None]).squeeze(1)
        right = (held == yes).float()
        truths = tuple("yes" if one else "no" for one in held.tolist())
    several = flat.shape[1] > 1
    names = tuple(
        f"label {place} {'yes' if answer else 'no'}" if several else "yes" if answer else "no"
        for place, answer in zip(index.tolist(), yes.tolist(), strict=True)
    )
    return Explained(index, sign, names, truths, right, (value - edge).abs().float())


def _of_last_step(main: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return 1 for an example's outputs at the last step and 0 for others; 1 without any steps."""
    last = torch.ones_like(main[0], dtype=torch.float32)
    sequence = sequence_of(batch)
    if sequence is not None:
        time = max(sequence.time, 1)  # Examples come first by now.
        if time < main.ndim and main.shape[time] == sequence.steps:
            last.narrow(time - 1, 0, sequence.steps - 1).zero_()
    return last.flatten()


def _number(main: torch.Tensor, batch: Batch, output: int | None) -> Explained:
    flat, target = main.flatten(1), batch.target
    size, width = flat.shape
    if output is None:
        output = 0
        if width > 1 and size > 1:
            spread = flat.float().std(dim=0).nan_to_num(0.0)
            output = int((spread + 1).mul(_of_last_step(main, batch)).argmax())
    right = torch.full((size,), torch.nan, device=flat.device)
    sure = torch.zeros(size, device=flat.device)
    truths: tuple[str, ...] = ()
    if isinstance(target, torch.Tensor):
        try:
            _, wanted = matched(main, target, "mse_loss")
        except InputError:
            wanted = None
        if wanted is not None and wanted.shape == main.shape:
            own = wanted.flatten(1)[:, output]
            sure = (flat[:, output] - own).abs().float()
            right = (sure <= sure.median()).float()
            truths = tuple(f"{one:.3g}" for one in own.tolist())
    said = flat[:, output].tolist()
    name = f"output {output}: " if width > 1 else ""
    return Explained(
        torch.full((size,), output, device=flat.device),
        torch.ones(size, device=flat.device),
        tuple(f"{name}{one:.3g}" for one in said),
        truths,
        right,
        sure,
        place=main.ndim > 2,
    )
