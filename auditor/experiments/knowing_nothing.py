"""The loss of answers that know nothing of the input, from a few batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from auditor.core.errors import InputError
from auditor.intake.batches import Batch, changed, tensors_in
from auditor.intake.losses import (
    CLASS_LOSSES,
    LABEL_LOSSES,
    NUMBER_LOSSES,
    gives_shares,
    main_output,
    matched,
)
from auditor.intake.subject import Subject
from auditor.observations.performance import Performance

LossOf = Callable[[Any, Batch], torch.Tensor]
"""Returns the loss of outputs for a batch."""

SURE = 1e-3
"""The nearest that a constant's probability comes to 0 and 1."""


class KnowsNothing:
    """Answers alike to every example, from the targets of all batches it was shown.

    Where the loss is not one of torch's, the model's own answers are dealt out to other examples.
    """

    def __init__(self, subject: Subject) -> None:
        assert subject.loss is not None
        self._loss, self._ignored = subject.loss.known, subject.loss.ignored
        self._seen: list[tuple[Any, Batch]] = []

    def add(self, outputs: Any, batch: Batch) -> None:
        """Show it a batch, and what the model puts out for it."""
        self._seen.append((outputs, batch))

    def losses(self, of: LossOf) -> tuple[list[torch.Tensor], str]:
        """Return the loss of each batch, and what the answers are, for people."""
        try:
            made = self._constants()
            if made is not None:
                constants, said = made
                pairs = zip(constants, self._seen, strict=True)
                return [of(constant, batch) for constant, (_, batch) in pairs], said
        except (InputError, RuntimeError, IndexError):
            pass  # Targets that no constant can be made from: the model's own answers will do.
        dealt = [of(self._dealt(place), batch) for place, (_, batch) in enumerate(self._seen)]
        return dealt, "its own answers dealt out to other examples"

    def _constants(self) -> tuple[list[torch.Tensor], str] | None:
        pairs = [
            matched(main_output(outputs), batch.target, self._loss) for outputs, batch in self._seen
        ]
        if not all(isinstance(t, torch.Tensor) for pair in pairs for t in pair):
            return None
        if self._loss in CLASS_LOSSES:
            logs = self._shares(pairs).clamp(min=1e-9).log()
            wide = [logs.view(1, -1, *[1] * (scores.ndim - 2)) for scores, _ in pairs]
            made = [w.expand(s.shape).to(s.dtype) for w, (s, _) in zip(wide, pairs, strict=True)]
            return made, "answers that only know how common each class is"
        if self._loss not in (*LABEL_LOSSES, *NUMBER_LOSSES):
            return None
        mean = self._mean([target for _, target in pairs])
        if self._loss in LABEL_LOSSES:
            mean = mean.clamp(SURE, 1 - SURE)
        if self._loss == "binary_cross_entropy_with_logits":
            mean = torch.logit(mean)
        if self._loss == "poisson_nll_loss":
            mean = mean.clamp(min=SURE).log()
        made = [mean.to(outputs.dtype).expand(outputs.shape) for outputs, _ in pairs]
        return made, "the mean of the targets"

    def _shares(self, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Return how common each class is."""
        classes = pairs[0][0].shape[1]
        total = torch.full((classes,), 0.5, device=pairs[0][0].device)
        for _, target in pairs:
            if gives_shares(target):
                total += target.float().transpose(0, 1).reshape(classes, -1).sum(dim=1)
            else:
                known = target[(target != self._ignored) & (target >= 0)]
                total += torch.bincount(known.reshape(-1), minlength=classes).float()
        return total / total.sum()

    @staticmethod
    def _mean(targets: list[torch.Tensor]) -> torch.Tensor:
        """Return the mean target of each place, or of all where batches differ in shape."""
        if len({target.shape[1:] for target in targets}) == 1 and targets[0].ndim:
            return torch.cat([target.float() for target in targets]).mean(dim=0, keepdim=True)
        return torch.cat([target.float().reshape(-1) for target in targets]).mean()

    def _dealt(self, place: int) -> Any:
        """Return another batch's answers where they are as many, else the next example's."""
        outputs, batch = self._seen[place]
        other = self._seen[(place + 1) % len(self._seen)][0]
        mine, theirs = ([t.shape for t in tensors_in(held)] for held in (outputs, other))
        if len(self._seen) > 1 and mine == theirs:
            return other

        def dealt(tensor: torch.Tensor) -> torch.Tensor:
            axis = batch.axis(tensor)
            return tensor if axis is None else tensor.roll(1, axis)

        return changed(outputs, dealt)


def commonest(seen: Sequence[Performance], *, several: bool) -> float:
    """Return the accuracy of the commonest answer; of several labels, of each one's commonest."""
    classes = np.concatenate([one.target_class for one in seen])
    counts = np.concatenate([one.target_count for one in seen])
    totals = np.bincount(classes, counts, 2).astype(float)
    if several:  # Classes are numbered 2 x label + value.
        totals = np.pad(totals, (0, len(totals) % 2)).reshape(-1, 2)
    return float(np.atleast_2d(totals).max(axis=1).sum() / max(totals.sum(), 1.0))
