"""Which examples of a batch make values that are not finite, and how their inputs differ.

Parts of the batch are run on a copy of the model, halved until single examples are left.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from auditor.core.layer import MODEL
from auditor.core.text import clean_text
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.modes import evaluating
from auditor.intake.preserve import copied
from auditor.intake.subject import Subject
from auditor.observations.finite import Culprit

MOST_EXAMPLES = 3
"""Examples of one batch that are traced."""

MOST_RUNS = 60
"""Parts of one batch that are run at most."""

OTHERS = 8
"""Further examples that are run alone, to see whether any of them is finite."""

FAR = 0.5
"""A value is far out that lies beyond the others' range by so much of its width."""


@dataclass(frozen=True)
class Kept:
    """A batch with something that is not finite; its first example's index in the split."""

    number: int
    first: int
    batch: Batch


def culprits(subject: Subject, kept: list[Kept], *, gradients: bool) -> tuple[Culprit, ...]:
    """Return the examples that make the batches not finite, backward too where asked."""
    if not kept or subject.model is None:
        return ()
    model = evaluating(copied(subject.model))
    for module in model.modules():
        if isinstance(module, nn.RNNBase):  # On CUDA these go backward in training mode alone.
            module.dropout = 0.0
            module.train()
    runner = _Runner(subject, model, gradients)
    return tuple(culprit for one in kept for culprit in _of_batch(runner, one))


def _of_batch(runner: "_Runner", kept: Kept) -> Iterator[Culprit]:
    size = kept.batch.size
    runner.left = MOST_RUNS
    whole = runner.fault(kept.batch)
    if whole is None:
        return
    found = _bisected(runner, kept.batch, list(range(size)))[:MOST_EXAMPLES]
    if not found:
        yield Culprit(-1, kept.number, False, False, *whole, "")
        return
    rest = [row for row in range(size) if row not in found]
    clean = bool(rest) and runner.fault(_rows(kept.batch, rest)) is None
    others = rest[:: max(1, len(rest) // OTHERS)]
    if others and not clean and all(runner.fault(_rows(kept.batch, [row])) for row in others):
        return  # Any example does: the cause lies in none of them.
    for row in found:
        place, kind = runner.fault(_rows(kept.batch, [row])) or whole
        given: Any = (kept.batch.args, kept.batch.kwargs)
        differs = difference(kept.batch, given, row, "its input")
        if not differs and place == "the loss":
            differs = difference(kept.batch, kept.batch.target, row, "its target")
        yield Culprit(kept.first + row, kept.number, True, clean, place, kind, differs)


def _bisected(runner: "_Runner", batch: Batch, rows: list[int]) -> list[int]:
    """Return the rows that are not finite when run by themselves, of rows that are not together."""
    if len(rows) == 1:
        return rows
    found: list[int] = []
    for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        if len(found) < MOST_EXAMPLES and runner.fault(_rows(batch, half)) is not None:
            found += _bisected(runner, batch, half)
    return found


def _rows(batch: Batch, rows: list[int]) -> Batch:
    return batch.rows(torch.tensor(rows))


class _Runner:
    """Runs parts of a batch, as long as runs are left."""

    def __init__(self, subject: Subject, model: nn.Module, gradients: bool) -> None:
        self._subject, self._model, self._gradients = subject, model, gradients
        self._names = {module: name or MODEL for name, module in model.named_modules()}
        self.left = MOST_RUNS

    def fault(self, batch: Batch) -> tuple[str, str] | None:
        """Return the first place that is not finite and how, None where all is."""
        if self.left <= 0:
            return None
        self.left -= 1
        found: list[tuple[str, str]] = []
        hidden: set[nn.Module] = set()

        def look(module: nn.Module, args: Any, output: Any) -> None:
            kind = "" if found else kind_of_fault(output)
            if kind and module in hidden:  # Minus infinity is a fault where it brings another.
                found.append((self._given(module), "-infinity"))
            elif kind:
                found.append((clean_text(self._names[module]), kind))
            hidden.discard(module)

        def look_before(module: nn.Module, args: Any) -> None:
            kind = "" if found else kind_of_fault(args, both=True)
            if kind == "-infinity":
                hidden.add(module)
            elif kind:
                found.append((self._given(module), kind))

        handles = [module.register_forward_hook(look) for module in self._names]
        handles += [module.register_forward_pre_hook(look_before) for module in self._names]
        try:
            with torch.set_grad_enabled(self._gradients):
                outputs = self._model(*batch.args, **batch.kwargs)
                if not found and self._subject.loss is not None:
                    with suppress(Exception):  # Not every loss takes a part of a batch.
                        self._look_behind(self._subject.loss(outputs, batch.target), found)
        except Exception:  # noqa: BLE001 - a part that the model can't take tells nothing
            return None
        finally:
            for handle in handles:
                handle.remove()
        return found[0] if found else None

    def _given(self, module: nn.Module) -> str:
        name = clean_text(self._names[module])
        return "the data" if name == MODEL else f"the input of {name}"

    def _look_behind(self, loss: torch.Tensor, found: list[tuple[str, str]]) -> None:
        kind = kind_of_fault(loss) or ("-infinity" if bool(torch.isinf(loss)) else "")
        if kind:
            found.append(("the loss", kind))
        elif self._gradients and loss.requires_grad:
            wanted = [p for p in self._model.parameters() if p.requires_grad]
            for gradient in torch.autograd.grad(loss, wanted, allow_unused=True):
                kind = "" if gradient is None else kind_of_fault(gradient, both=True)
                if kind:
                    found.append(("the gradient", kind))
                    return


def kind_of_fault(values: Any, *, both: bool = False) -> str:
    """Return "NaN" or "+infinity", empty where there is neither; -infinity counts where `both`."""
    kinds = set()
    for tensor in tensors_in(values):
        if not (tensor.is_floating_point() or tensor.is_complex()) or not tensor.numel():
            continue
        plain = tensor.detach()
        plain = plain.coalesce().values() if plain.layout is torch.sparse_coo else plain
        plain = torch.view_as_real(plain) if plain.is_complex() else plain
        if bool(plain.isnan().any()):
            return "NaN"
        if bool((plain == torch.inf).any()):
            kinds.add("+infinity")
        elif both and bool((plain == -torch.inf).any()):
            kinds.add("-infinity")
    return max(kinds, default="")


def difference(batch: Batch, given: Any, row: int, what: str) -> str:
    """Return in words how one example of a batch stands out from the others, empty if it does not.

    Looked for, in this order: what is not finite, one value throughout, a value far outside what
    the others have in the same place, a zero where they have none, a value outside theirs.
    """
    tensors = [t for t in tensors_in(given) if batch.axis(t) is not None]
    for number, tensor in enumerate(tensors):
        axis = batch.axis(tensor)
        assert axis is not None
        values = tensor.detach().movedim(axis, 0)
        shape, flat = values.shape[1:], values.reshape(len(values), -1)
        said = _said(flat, row, tuple(shape))
        if said:
            name = what if len(tensors) == 1 else f"{what} {number + 1}"
            return f"{name} {said}"
    return ""


def _said(flat: torch.Tensor, row: int, shape: tuple[int, ...]) -> str:
    mine, others = flat[row].double(), torch.cat([flat[:row], flat[row + 1 :]]).double()
    if not mine.numel():
        return ""
    bad = ~mine.isfinite()
    if bool(bad.any()):
        place = int(bad.nonzero()[0])
        return f"holds {_number(mine[place])}{_at(place, shape)} ({int(bad.sum()):,} such values)"
    others = others[others.isfinite().all(dim=1)]
    if not len(others):
        return ""
    if mine.numel() > 1 and bool((mine == mine[0]).all()) and not _constant(others):
        return f"is {_number(mine[0])} throughout"
    low, high = others.amin(dim=0), others.amax(dim=0)
    width = torch.where(high > low, high - low, torch.ones_like(high))
    beyond = torch.maximum(mine - high, low - mine) / width
    far = int(beyond.argmax())
    zero = (mine == 0) & (others != 0).all(dim=0)
    if bool(beyond[far] <= FAR) and bool(zero.any()):
        return f"is 0{_at(int(zero.nonzero()[0]), shape)}, where no other of its batch is"
    if bool(beyond[far] > 0):
        return (
            f"is {_number(mine[far])}{_at(far, shape)}, where the others of its batch lie between "
            f"{_number(low[far])} and {_number(high[far])}"
        )
    return ""


def _constant(rows: torch.Tensor) -> bool:
    return bool((rows == rows[:, :1]).all(dim=1).any())


def _at(place: int, shape: tuple[int, ...]) -> str:
    if not shape:
        return ""
    index = []
    for size in reversed(shape):
        place, rest = divmod(place, size)
        index.append(rest)
    return f" at [{', '.join(map(str, reversed(index)))}]"


def _number(value: torch.Tensor) -> str:
    number = float(value)
    return "NaN" if number != number else f"{number:.4g}"
