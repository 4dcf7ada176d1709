"""The same examples again: twice, alone, in another order, with less padding, in training mode."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.experiments.distances import (
    apart,
    as_numbers,
    cropped,
    largest_change,
    numeric,
    set_against,
    size_of,
    taken,
)
from auditor.experiments.padding import padding_of, shortened
from auditor.experiments.picked import ambiguous, chosen, too_dear
from auditor.experiments.probe import UNSTEADY, Probe, probing, raised
from auditor.experiments.repeated import repeated
from auditor.experiments.settling import unsettled
from auditor.experiments.trace import parting
from auditor.intake.batches import Batch, tensors_in
from auditor.intake.losses import main_output
from auditor.intake.seeding import derived_seed
from auditor.intake.subject import Subject
from auditor.observations.culprit import Culprit, Difference
from auditor.observations.reproducibility import Reproducibility, ReproducibilityOver

PASSES = 50
"""Forward passes that are reckoned with when the number of examples is chosen."""

ALONE = 3
"""Examples that are run by themselves."""

LOADED = 16
"""Batches of the loader whose lengths are looked at."""


def reproducibility(
    request: ReproducibilityOver, subject: Subject
) -> Reproducibility | Unavailable:
    """Return how the answers to the same examples differ."""
    dear = too_dear(subject, PASSES)
    if dear:
        return Unavailable(dear)
    seed = derived_seed(subject.seed, request.key)
    picked = chosen(subject, PASSES, request.examples)
    tried: Probe | Unavailable | None = None
    if isinstance(picked, Unavailable):
        together = picked.reason
    else:
        pool, count = picked
        batch = pool.take(count)
        tried = probing(subject, batch, seed)
        together = tried.reason if isinstance(tried, Unavailable) else ""
    if isinstance(tried, Probe):
        probe = tried
    else:
        # Rows that are no examples still make a batch, which can be run twice.
        pool = batch = next(iter(subject.batches("val", 1)))
        probe = Probe(subject, batch, seed)
    if batch.size < 2:
        together = together or "there is one example only"
    again = repeated(subject, batch, seed)
    if isinstance(again, Unavailable):
        return again
    if again.cause == "kernel" and together == UNSTEADY:
        # Sums in another order agree in double precision.
        again = replace(again, cause="random")
    # What changes from call to call, and is nowhere to be seen, may be random numbers of its own.
    hidden = again.cause == "state" and not again.kept
    noisy = again.cause in ("random", "dropout") or hidden
    lab = _Lab(probe, pool, batch, together, "unsettled" if ambiguous(subject) else "")
    apart_from = "" if not noisy else "the answers differ from run to run"
    alone, shape = lab.alone(apart_from)
    modules = list(probe.model.modules())
    return Reproducibility(
        examples=batch.size,
        repeated=again.difference,
        identical=again.identical,
        cause=again.cause,
        drawing=again.drawing,
        kept=again.kept,
        alone=alone,
        reordered=lab.reordered(apart_from),
        padded=lab.padded(),
        training=lab.training(apart_from),
        widths=_widths(subject),
        shape=shape,
        dropouts=sum(isinstance(m, nn.modules.dropout._DropoutNd) for m in modules),
        norms=sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules),
        precision=probe.precision,
        unsettled=unsettled(subject, batch, seed),
    )


class _Lab:
    """The probe and the batch; `together` says why its rows can't be taken apart."""

    def __init__(self, probe: Probe, pool: Batch, batch: Batch, together: str, doubt: str) -> None:
        self._probe, self._pool, self._batch, self._doubt = probe, pool, batch, doubt
        self._base = probe.run(batch)
        self._together = together or self._set_against()

    def alone(self, unfit: str) -> tuple[Difference, str]:
        """Return how far examples by themselves get other answers, and what their shape loses."""
        count, change, shape, worst = self._batch.size, 0.0, "", 0
        if unfit or self._together:
            return self._none(unfit or self._together), ""
        for place in range(min(ALONE, count)):
            single = self._batch.rows(torch.tensor([place]))
            try:
                answer = self._probe.run(single)
            except Exception as error:  # noqa: BLE001 - the model is the user's
                return self._none(f"the model does not take a batch of one: {raised(error)}"), ""
            found, lost = self._against(answer, [place])
            if found is None:
                return self._none("none of its outputs can be told apart by example"), ""
            shape = shape or lost
            if found > change:
                change, worst = found, place
        blame = None
        if change > self._probe.tolerance:
            blame = self._parting(self._batch.rows(torch.tensor([worst])), [worst])
        return self._told(change, min(ALONE, count), blame), shape

    def reordered(self, unfit: str) -> Difference:
        """Return how far another order of the same batch changes each example's answer."""
        if unfit or self._together:
            return self._none(unfit or self._together)
        order = list(reversed(range(self._batch.size)))
        other = self._batch.rows(torch.tensor(order))
        try:
            found, _ = self._against(self._probe.run(other), order)
        except Exception as error:  # noqa: BLE001 - the model is the user's
            return self._none(f"the model does not take another order: {raised(error)}")
        if found is None:
            return self._none("none of its outputs can be told apart by example")
        blame = self._parting(other, order) if found > self._probe.tolerance else None
        return self._told(found, self._batch.size, blame)

    def padded(self) -> Difference:
        """Return how far an answer changes when padding is taken off the end of its sequence."""
        padding = padding_of(self._pool)
        if padding is None:
            return self._none("no input is a padded sequence")
        if self._together:
            return self._none(self._together)
        place = min(range(len(padding.lengths)), key=padding.lengths.__getitem__)
        long = self._pool.rows(torch.tensor([place]))
        short = shortened(long, padding, padding.lengths[place])
        try:
            before, after = self._probe.run(long), self._probe.run(short)
        except Exception as error:  # noqa: BLE001 - the model is the user's
            return self._none(f"the model does not take shorter sequences: {raised(error)}")
        change = 0.0
        for a, b in zip(numeric(before), numeric(after), strict=False):
            pair = cropped(a, b)
            if pair is not None:
                change = max(change, float(apart(*pair).max()) / (size_of(pair[0]) or 1.0))
        if change <= self._probe.tolerance:
            return self._told(change, 1, None)
        tolerance = self._probe.tolerance

        def alike(one: torch.Tensor, other: torch.Tensor) -> bool | None:
            pair = cropped(*as_numbers(one, other))
            if pair is None:
                return None
            return bool((apart(*pair) <= tolerance * size_of(pair[0])).all())

        traces = self._probe.traced(long), self._probe.traced(short)
        return self._told(change, 1, parting(*traces, alike, alike))

    def training(self, unfit: str) -> Difference:
        """Return how far training mode gets other answers, dropout off and statistics fixed."""
        if unfit:
            return self._none(unfit)
        probe, batch = self._probe, self._batch
        try:
            with probe.training():
                runs = [_main(probe.run(batch, seed)) for seed in (1, 2, 3)]
        except Exception as error:  # noqa: BLE001 - training mode may want what is not there
            return self._none(
                f"the model does not take this batch in training mode: {raised(error)}"
            )
        base = _main(self._base)
        change = max(largest_change(base, run) for run in runs)
        if change <= probe.tolerance:
            return self._told(change, batch.size, None)
        before = probe.traced(batch)
        with probe.training():
            after = probe.traced(batch, 1)
            kept = probe.changed_by(batch)
        blame = parting(before, after, self._same, self._same)
        noise = any(largest_change(runs[0], run) > probe.tolerance for run in runs[1:])
        kind = ""
        if noise or (blame is not None and blame.functions):
            kind = "noise"
        elif blame is not None and any(_within(name, blame) for name in kept):
            kind = "statistics"
        elif _activated(runs[0], base, probe.tolerance):
            kind = "activation"
        return Difference(change, probe.tolerance, batch.size, blame, kind=kind)

    def _against(self, answer: Any, places: list[int]) -> tuple[float | None, str]:
        """Compare answers with those that the examples at `places` got in the whole batch."""
        count, worst, compared, lost = self._batch.size, 0.0, False, ""
        for whole, part in zip(numeric(self._base), numeric(answer), strict=False):
            ways = list(taken(whole, part.shape, count, places))
            fits = whole.shape[:1] == (count,) and part.numel() * count == whole.numel()
            if not ways and len(places) == 1 and fits:
                ways = [whole[places[0]].reshape(part.shape)]
                lost = f"{list(part.shape)} instead of {[1, *whole.shape[1:]]}"
            if not ways:
                continue
            compared = True
            gap = min(float(apart(way, part).max()) for way in ways)
            worst = max(worst, gap / (size_of(whole) or 1.0) if gap else 0.0)
        return (worst if compared else None), lost

    def _parting(self, other: Batch, places: list[int]) -> Culprit | None:
        count, tolerance = self._batch.size, self._probe.tolerance

        def alike(one: torch.Tensor, part: torch.Tensor) -> bool | None:
            one, part = as_numbers(one, part)
            ways = list(taken(one, part.shape, count, places))
            if one.shape == part.shape and not ways:
                ways = [one]
            if not ways:
                return None
            limit = tolerance * size_of(one)
            return any(bool((apart(way, part) <= limit).all()) for way in ways)

        return parting(self._probe.traced(self._batch), self._probe.traced(other), alike, alike)

    def _same(self, one: torch.Tensor, other: torch.Tensor) -> bool | None:
        one, other = as_numbers(one, other)
        if one.shape != other.shape:
            return False
        return bool((apart(one, other) <= self._probe.tolerance * size_of(one)).all())

    def _told(self, change: float, examples: int, blame: Culprit | None) -> Difference:
        doubt = self._doubt if blame is not None and blame.batch_first is False else ""
        return Difference(change, self._probe.tolerance, examples, blame, kind=doubt)

    def _set_against(self) -> str:
        """Return why no example has an answer of its own; empty where nothing says so."""
        count = self._batch.size
        if count < 2:
            return ""
        try:
            less = self._probe.run(self._batch.take(count - 1))
        except Exception as error:  # noqa: BLE001 - each comparison tells of its own
            raised(error)
            return ""
        return set_against(self._base, less, count, count - 1)

    def _none(self, reason: str) -> Difference:
        return Difference(math.nan, self._probe.tolerance, missing=reason)


def _main(outputs: Any) -> Any:
    """Return the output that the loss takes, which both modes should have."""
    return main_output(outputs)


def _activated(trained: Any, evaluated: Any, tolerance: float) -> bool:
    """Tell whether evaluation mode puts a usual last activation on what training mode puts out."""
    pair = numeric(trained), numeric(evaluated)
    if len(pair[0]) != 1 or len(pair[1]) != 1 or not pair[0][0].ndim:
        return False
    raw, told = pair[0][0], pair[1][0]
    last: list[Callable[[torch.Tensor], torch.Tensor]] = [
        torch.sigmoid,
        torch.tanh,
        torch.exp,
        *(lambda x, d=d: x.softmax(d) for d in {raw.ndim - 1, min(1, raw.ndim - 1)}),
        *(lambda x, d=d: x.log_softmax(d) for d in {raw.ndim - 1, min(1, raw.ndim - 1)}),
        *(lambda x, d=d: x.argmax(d).double() for d in {raw.ndim - 1, min(1, raw.ndim - 1)}),
    ]
    return any(largest_change(told, act(raw)) <= max(tolerance, 1e-6) for act in last)


def _within(name: str, culprit: Culprit) -> bool:
    return name.startswith(f"{culprit.layer}.")


def _widths(subject: Subject) -> int:
    """Return to how many different lengths the loader's batches of tokens are padded."""
    shapes = set()
    for batch in subject.data["val"].first(LOADED):
        for tensor in tensors_in((batch.args, batch.kwargs)):
            if tensor.ndim == 2 and not tensor.is_floating_point():
                axis = batch.axis(tensor)
                shapes.add(tensor.shape[1 - (axis or 0)])
                break
    return len(shapes)
