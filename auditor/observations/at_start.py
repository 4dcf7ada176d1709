"""Which parameters are still at their start, and which have provably left it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditor.observations.initial_weights import InitialTensor, InitialWeights
from auditor.observations.step_changes import StepChanges

ERROR = 0.01
"""Share of healthy models that may be called untrained, shared out among their parameters."""

EVEN_VALUES = 200
"""Values from which an evenly drawn parameter alone can prove that it never moved."""

PLAIN = 3.0
"""How many times the least move that would show the others have to have moved, for a parameter that
shows none to be called unmoved: after a few short steps large tensors show it, small ones don't."""

SOME_VALUES = 64
"""Values from which they can add to other proof: that the model answers no better than a constant.
Training that moved them by an eighth of their interval would show."""

FEW_VALUES = 32
"""Values from which an evenly drawn parameter can be told to be like fresh ones."""

HALVES = ("float16", "bfloat16")
"""Types in which a step may round to nothing, and a trained weight back to its start."""


@dataclass(frozen=True)
class Start:
    """Where the trainable parameters stand: proven at their start, moved, or undecided.

    `alike` are those of the undecided whose extremes are those of fresh ones; `given` those that
    the factory hands out ready-made, unchanged. There are `total` parameters of so many `values`.
    """

    proven: tuple[InitialTensor, ...] = ()
    moved: tuple[InitialTensor, ...] = ()
    alike: tuple[InitialTensor, ...] = ()
    given: tuple[InitialTensor, ...] = ()
    total: int = 0
    values: int = 0

    @property
    def untrained(self) -> bool:
        """Tell whether there is proof that the model as a whole never moved."""
        values = sum(t.size for t in self.alike)
        return not self.moved and (bool(self.proven) or values >= EVEN_VALUES)

    @property
    def looks_untrained(self) -> bool:
        """Tell whether nothing has left its start, and half of the values would show it."""
        values = sum(t.size for t in self.alike)
        still = not self.moved and not self.given
        return still and values >= max(SOME_VALUES, self.values / 2)


def start_of(fresh: InitialWeights, step: StepChanges | None = None) -> Start:
    """Sort the trainable parameters by whether they have left their start.

    One that a step moves less than it moves others is expected to have come less far than these.
    """
    tensors = [t for t in fresh.tensors if t.trainable and t.size]
    proven: list[InitialTensor] = []
    moved: list[InitialTensor] = []
    alike: list[InitialTensor] = []
    given: list[InitialTensor] = []
    error = ERROR / max(1, len(tensors))
    even: list[InitialTensor] = []
    for tensor in tensors:
        coarse = tensor.type in HALVES and tensor.value != 0
        if tensor.same and not tensor.fixed:
            proven.append(tensor)
        elif tensor.fixed and tensor.constant:
            if not tensor.same:
                moved.append(tensor)
            elif not coarse:
                proven.append(tensor)
        elif tensor.fixed:
            (given if tensor.same else moved).append(tensor)
        elif not tensor.finite or _away(tensor, len(fresh.seeds), error):
            moved.append(tensor)
        elif tensor.uniform and tensor.size >= FEW_VALUES:
            even.append(tensor)
    lengths = {c.name: c.length for c in step.parameters if c.length > 0} if step else {}
    for tensor in even:
        shows = not moved or PLAIN * least_move(tensor, error) < _pace(tensor, moved, lengths)
        (proven if shows and tensor.size >= EVEN_VALUES else alike).append(tensor)
    return Start(
        proven=tuple(proven),
        moved=tuple(moved),
        alike=tuple(alike),
        given=tuple(given),
        total=len(tensors),
        values=sum(t.size for t in tensors),
    )


def frozen_at_start(fresh: InitialWeights) -> tuple[InitialTensor, ...]:
    """Return the frozen matrices and filters that are provably as a fresh model draws them.

    Those that are the same whatever the seed are left out: the factory may have loaded them.
    """
    frozen = [t for t in fresh.tensors if not t.trainable and not t.fixed and t.dimensions > 1]
    error = ERROR / max(1, len(frozen))
    even = [t for t in frozen if t.finite and t.uniform and t.size >= EVEN_VALUES]
    alike = [t for t in even if not _away(t, len(fresh.seeds), error)]
    return tuple(t for t in frozen if t.same or t in alike)


def _pace(
    tensor: InitialTensor, moved: Sequence[InitialTensor], lengths: Mapping[str, float]
) -> float:
    """Return how far a parameter would be from its start, had it come as far as those that moved.

    That is their shift, times the length of its steps over that of theirs where both are known;
    of a quarter of them it is less, of none 0.
    """
    own = lengths.get(tensor.name, math.nan)
    ratios = [own / lengths.get(t.name, math.nan) for t in moved]
    shifts = sorted(
        t.shift * (1.0 if math.isnan(ratio) else ratio)
        for t, ratio in zip(moved, ratios, strict=True)
        if t.shift > 0
    )
    return shifts[len(shifts) // 4] if shifts else 0.0


def least_move(tensor: InitialTensor, error: float) -> float:
    """Return how far the values of an evenly drawn parameter must have moved for that to show."""
    return -math.log(error / 4) / tensor.size * tensor.width


def _away(tensor: InitialTensor, models: int, error: float) -> bool:
    """Tell whether a drawn parameter is not as fresh ones are: its extremes, or its moments."""
    from scipy.special import stdtrit

    if tensor.distance > float(stdtrit(models - 1, 1 - error / 6)):
        return True
    if not tensor.uniform:
        return False
    inside = -math.log(error / 4)
    reach = inside / tensor.size
    beyond = inside / (tensor.size * models)
    return any(gap > reach or gap < -beyond for gap in tensor.gaps)
