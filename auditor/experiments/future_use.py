"""Replacing the inputs after a step, and looking at the outputs up to it."""

import math
from collections.abc import Sequence as Several
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from auditor.core.request import Unavailable
from auditor.core.values import Array
from auditor.experiments.distances import apart, numeric, size_of
from auditor.experiments.padding import padding_of
from auditor.experiments.picked import chosen, first_batch, too_dear
from auditor.experiments.probe import Probe, probing, raised
from auditor.experiments.shifted import Sequence, sequence_of
from auditor.experiments.trace import parting
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.culprit import Culprit
from auditor.observations.future_use import FutureUse, FutureUseOver, Relation

PASSES, FEWEST_PASSES = 44, 16
"""Forward passes that are reckoned with when the number of examples is chosen; and those needed
where single inputs are not replaced as well, for want of time."""

CLEARLY = 0.9
"""Share of the error against the same input below which that against the next has to lie."""

MOST_OFFSETS = 11
"""Distances on each side of an output that are tried."""


def future_use(request: FutureUseOver, subject: Subject) -> FutureUse | Unavailable:
    """Return how far outputs move when the inputs after them are replaced."""
    # Of a whole batch, since targets in one dimension can't be taken apart by example.
    sequence = sequence_of(first_batch(subject))
    if sequence is None:
        return Unavailable(
            "no input is a sequence with a target for each of its steps, so nothing shows that "
            "outputs are to be told from earlier inputs alone"
        )
    slow = bool(too_dear(subject, PASSES))
    picked = chosen(subject, FEWEST_PASSES if slow else PASSES, request.examples)
    if isinstance(picked, Unavailable):
        return picked
    pool, count = picked
    tensor = list(tensors_in((pool.args, pool.kwargs)))[sequence.place]
    sequence = replace(sequence, steps=tensor.shape[sequence.time])
    batch = pool.take(count)
    seed = derived_seed(subject.seed, request.key)
    probe = probing(subject, batch, seed)
    if isinstance(probe, Unavailable):
        return probe
    base = _main(probe.run(batch))
    if base is None or not bool(base.isfinite().any()):
        return Unavailable("the outputs are not finite, so they can't be compared")
    lab = _Lab(probe, pool, batch, sequence, base, seed, slow=slow)
    if not lab.by_step(base):
        return Unavailable(
            f"the output {list(base.shape)} has no place for each of the {sequence.steps} steps of "
            "the input, so it may depend on all of them"
        )
    relation: Relation = "next" if sequence.shift > 0 else "none"
    if sequence.shift == 0:
        if not lab.predicts_the_next():
            return Unavailable(
                "the targets are the inputs themselves, and the model's answers are not clearly "
                "nearer to the next input than to the one at the same step: where it restores its "
                "inputs, it may read all"
            )
        relation = "inside"
    try:
        return lab.result(relation)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return Unavailable(f"the model does not take other inputs: {raised(error)}")


class _Lab:
    """The probe, the sequences, and what stands in for them."""

    def __init__(
        self,
        probe: Probe,
        pool: Batch,
        batch: Batch,
        sequence: Sequence,
        base: torch.Tensor,
        seed: int,
        *,
        slow: bool,
    ) -> None:
        self._slow = slow
        self._probe, self._batch, self._sequence, self._base = probe, batch, sequence, base
        self._count, self._steps = batch.size, sequence.steps
        padding = padding_of(pool)
        own = padding is not None and padding.steps == sequence.steps
        self._filler = padding.value if padding is not None and own else None
        lengths = padding.lengths[: self._count] if padding is not None and own else []
        self._length = max(lengths, default=self._steps)
        self._others = self._replacement(self._tensor(pool), seed)

    def result(self, relation: Relation) -> FutureUse:
        """Return what replacing later inputs does, how far it reaches, and where it starts."""
        last = max(0, self._length - 2)
        places = sorted({last * part // 4 for part in (0, 1, 2, 3)} | {last})
        moves = [self._moved(range(place + 1, self._steps)) for place in places]
        ahead = np.array([m[: p + 1].max() for m, p in zip(moves, places, strict=True)])
        touched = np.concatenate([m[: p + 1] for m, p in zip(moves, places, strict=True)])
        tolerance = self._probe.tolerance
        leaks = bool((ahead > tolerance).any())
        worst = places[int(ahead.argmax())]
        # Before the middle there is room on both sides; without a leak the past alone matters.
        centre = worst if leaks else self._length - 1
        past = [-d for d in _distances(centre)]
        future = _distances(self._length - 1 - centre) if leaks else []
        offsets = sorted({*past, 0, *future}) if not self._slow else [0]
        influence = [float(self._moved([centre + d])[centre]) for d in offsets]
        return FutureUse(
            relation=relation,
            shift=max(self._sequence.shift, 1) if relation != "none" else 0,
            matched=self._sequence.matched,
            steps=self._steps,
            examples=self._count,
            places=tuple(places),
            ahead=ahead,
            touched=float((touched > tolerance).mean()),
            offsets=tuple(offsets),
            influence=np.array(influence),
            culprit=self._culprit(worst) if leaks else None,
            tolerance=tolerance,
            precision=self._probe.precision,  # type: ignore[arg-type]
        )

    def predicts_the_next(self) -> bool:
        """Tell whether outputs are nearer to the next inputs than to those of the same step."""
        given = self._tensor(self._batch)
        told = self._base
        axes = _axes(told.shape, self._steps)
        if not axes or told.ndim > 3:
            return False
        given = given.movedim((self._sequence.batch, self._sequence.time), (0, 1))
        if given.is_floating_point():
            pair = (
                told.movedim(axes[0], 1).reshape(self._count, self._steps, -1),
                given.reshape(self._count, self._steps, -1),
            )
            if pair[0].shape != pair[1].shape:
                return False
            here = (pair[0].cpu() - pair[1].cpu()).abs().mean()
            following = (pair[0][:, :-1].cpu() - pair[1][:, 1:].cpu()).abs().mean()
            return bool(following < CLEARLY * here)
        if told.ndim != 3:
            return False
        best = told.movedim(axes[0], 1) if told.shape[0] == self._count else told.movedim(1, 0)
        guess = best.argmax(-1).cpu()
        given = given.cpu()
        if guess.shape != given.shape:
            return False
        real = torch.ones_like(given, dtype=torch.bool)
        if self._filler is not None:
            real = given != self._filler
        ahead = int(((guess[:, :-1] == given[:, 1:]) & real[:, 1:]).sum())
        same = int(((guess == given) & real)[:, :-1].sum())
        # Three deviations of a difference of counts: an untrained model hits either by chance.
        return ahead - same > 3 * math.sqrt(ahead + same)

    def by_step(self, output: torch.Tensor) -> list[torch.Tensor]:
        """Return an output as [steps, ...] in each way in which its dimensions may count them."""
        ways = [output.movedim(axis, 0) for axis in _axes(output.shape, self._steps)]
        together = self._count * self._steps
        for axis, size in enumerate(output.shape):
            if size == together:
                front = output.movedim(axis, 0)
                ways.append(front.unflatten(0, (self._count, self._steps)).transpose(0, 1))
                ways.append(front.unflatten(0, (self._steps, self._count)))
        return ways

    def _tensor(self, batch: Batch) -> torch.Tensor:
        return list(tensors_in((batch.args, batch.kwargs)))[self._sequence.place]

    def _replacement(self, pool: torch.Tensor, seed: int) -> torch.Tensor:
        """Return another value for each position of the batch's sequences, padding as it is."""
        given = self._tensor(self._batch)
        generator = torch.Generator().manual_seed(seed)
        if given.is_floating_point():
            values = given.cpu().double()
            other = values.roll(1, self._sequence.batch)
            spread = float(values.std()) if values.numel() > 1 else 1.0
            noise = torch.randn(values.shape, generator=generator, dtype=values.dtype)
            other = torch.where(other == values, values + (spread or 1.0) * noise, other)
            return other.to(given.dtype)
        known = pool.cpu().unique()
        known = known[known != self._filler] if self._filler is not None else known
        values = given.cpu().contiguous()
        place = torch.searchsorted(known, values).clamp(max=len(known) - 1)
        step = torch.randint(1, max(2, len(known)), values.shape, generator=generator)
        other = known[(place + step) % len(known)]
        return other if self._filler is None else torch.where(values == self._filler, values, other)

    def _with(self, positions: Several[int]) -> Batch:
        """Return the batch with the inputs at some steps replaced."""
        number = -1

        def change(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal number
            number += 1
            if number != self._sequence.place:
                return tensor
            index = torch.tensor(list(positions), dtype=torch.long, device=tensor.device)
            other = self._others.to(tensor.device).index_select(self._sequence.time, index)
            return tensor.index_copy(self._sequence.time, index, other)

        return self._batch.with_inputs(change)

    def _moved(self, positions: Several[int]) -> Array:
        """Return by how much the output at each step moves when some inputs are replaced."""
        after = _main(self._probe.run(self._with(positions)))
        if after is None or after.shape != self._base.shape:
            raise ValueError("the shape of the output depends on the values of the input")
        gap = apart(self._base, after) / (size_of(self._base) or 1.0)
        rows = [way.reshape(self._steps, -1).amax(1).cpu().numpy() for way in self.by_step(gap)]
        before = min(positions)
        return min(rows, key=lambda row: float(row[:before].max(initial=0.0)))

    def _culprit(self, place: int) -> Culprit | None:
        """Return the first module that lets inputs after a step reach what is before."""
        before = self._probe.traced(self._batch)
        after = self._probe.traced(self._with(range(place + 1, self._steps)))

        def given(one: torch.Tensor, other: torch.Tensor) -> bool | None:
            return self._causal(one, other, place, otherwise=False)

        def made(one: torch.Tensor, other: torch.Tensor) -> bool | None:
            return self._causal(one, other, place, otherwise=None)

        return parting(before, after, given, made)

    def _causal(
        self, one: torch.Tensor, other: torch.Tensor, place: int, otherwise: bool | None
    ) -> bool | None:
        """Tell whether only steps after `place` moved; `otherwise` where there are no steps."""
        if one.shape != other.shape:
            return otherwise
        a, b = numeric(one), numeric(other)
        if not a:
            return True
        moved = apart(a[0], b[0]) > self._probe.tolerance * size_of(a[0])
        if not bool(moved.any()):
            return True
        ways = self.by_step(moved)
        if not ways:
            return otherwise
        axes = _axes(moved.shape, self._steps)
        if axes and min(axes) > 1 and moved.shape[0] % self._count:
            # A recurrent layer's last state, [layers, examples, width], as wide as there are steps.
            return otherwise
        if len(axes) > 1:
            # Rows and columns of steps, as attention has: one of them after `place` will do.
            for axis in axes:
                moved = moved.narrow(axis, 0, place + 1)
            return not bool(moved.any())
        return any(not bool(way[: place + 1].any()) for way in ways)


def _axes(shape: torch.Size, steps: int) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size == steps]


def _distances(most: int) -> list[int]:
    """Return up to `MOST_OFFSETS` distances from 1 to `most`, each about twice the last."""
    if most < 1:
        return []
    if most <= MOST_OFFSETS:
        return list(range(1, most + 1))
    spaced = {round(d) for d in np.geomspace(1, most, MOST_OFFSETS)}
    return sorted(spaced)


def _main(outputs: Any) -> torch.Tensor | None:
    found = numeric(main_output(outputs))
    return found[0] if found else None
