"""Which positions of sequences of tokens are padding."""

from dataclasses import dataclass

import torch

from auditor.intake.batches import Batch, tensors_in


@dataclass(frozen=True)
class Padding:
    """Sequences that end in a filler: its `value`, the length of each, and where they stand.

    `time` is the dimension of the sequence [`steps` long] in the tensors of tokens.
    """

    value: int
    lengths: list[int]
    time: int
    steps: int


def padding_of(batch: Batch) -> Padding | None:
    """Return how the first tokens among the inputs are padded; None where nothing shows it.

    A filler stands at the ends of sequences of different lengths and nowhere else.
    """
    for tensor in tensors_in((batch.args, batch.kwargs)):
        axis = batch.axis(tensor) if tensor.ndim == 2 else None
        if axis is None or tensor.is_floating_point() or tensor.dtype is torch.bool:
            continue
        rows = tensor.movedim(axis, 0).cpu()
        for value in rows[:, -1].unique().tolist():
            filled = rows == value
            lengths = rows.shape[1] - filled.flip(1).long().cumprod(1).sum(1)
            inside = filled.sum(1) != rows.shape[1] - lengths
            runs = rows.shape[1] - lengths
            # One at the end of each may be a word, such as the last of a sentence.
            filler = bool((runs > 1).any()) and int((runs > 0).sum()) > 1
            varied = len(lengths.unique()) > 1 and int(lengths.min()) > 0
            if filler and varied and not inside.any():
                return Padding(int(value), lengths.tolist(), 1 - axis, rows.shape[1])
        # The first tokens are the sequence; later ones, such as masks, go with them.
        return None
    return None


def shortened(batch: Batch, padding: Padding, steps: int) -> Batch:
    """Return the batch with every input as long as its sequences cut to their first `steps`."""

    def cut(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim <= padding.time or tensor.shape[padding.time] != padding.steps:
            return tensor
        if batch.axis(tensor) in (None, padding.time):
            return tensor
        return tensor.narrow(padding.time, 0, steps)

    return batch.with_inputs(cut)
