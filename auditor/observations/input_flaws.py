"""What is wrong with an input by itself."""

import math
from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits
from auditor.core.finding import Place
from auditor.core.statistics import examples_to_settle, mean_interval
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.inputs import InputColumns, InputStatistics

MOST_NUMBERS = 8
"""Columns up to which code to paste holds the mean and the deviation of each."""

VARIES = 100
"""Examples after which a feature that never varied does so in 3 % of examples at most."""


@dataclass(frozen=True)
class Flaw:
    """One thing found: how bad, in a sentence, where, and what to do."""

    verdict: Verdict
    sentence: str
    where: tuple[Place, ...] = ()
    advice: tuple[str, ...] = ()


def not_finite(seen: InputStatistics) -> list[Flaw]:
    """Return the inputs of a split that hold values which are not finite."""
    found = []
    for columns in seen.inputs:
        bad = np.flatnonzero(columns.lost)
        if len(bad):
            names = [columns.named(int(c)) for c in bad]
            text = (
                f"{counted(int(columns.lost.sum()), 'value')} of the {split_name(seen)} inputs "
                f"{'is' if columns.lost.sum() == 1 else 'are'} not finite, in {listed(names, 5)}"
            )
            if seen.filled:
                own = f"the model fills them in itself, before its first layer, {seen.first_layer}"
                found.append(Flaw(Verdict.PASS, f"{text}; {own}."))
                continue
            found.append(
                Flaw(
                    Verdict.FAIL,
                    f"{text}.",
                    tuple(
                        Place("setting", columns.named(int(c)), f"{columns.lost[c]:,} not finite")
                        for c in bad
                    ),
                    (
                        step(
                            f"Fill in or leave out what is missing in {listed(names)} before the "
                            "model sees it, and tell it that it was missing by a feature of 0 and "
                            "1.",
                            "missing = ~torch.isfinite(inputs)\n"
                            "inputs = torch.cat([inputs.masked_fill(missing, 0.0), "
                            "missing.float()], dim=1)",
                        ),
                    ),
                )
            )
    return found


def flaws(columns: InputColumns, seen: InputStatistics, limits: Limits) -> list[Flaw]:
    """Return what one input is like that it should not be: constant, or off scale."""
    found = [f for f in (_constant(columns, seen), _scale(columns, seen, limits)) if f]
    if seen.split == "train" or all(flaw.verdict is Verdict.PASS for flaw in found):
        return found
    note = " Its checkpoint may suit that: without training data the scale is not judged."
    return [Flaw(Verdict.INFO, f.sentence + (note if f is found[-1] else "")) for f in found]


def _constant(columns: InputColumns, seen: InputStatistics) -> Flaw | None:
    bad = columns.constant
    # One of several inputs may be a mask of ones, or a state that starts at zero.
    idle = len(bad) == columns.columns and len(seen.inputs) > 1
    if not len(bad) or idle or seen.examples < VARIES:
        return None
    names = listed([columns.named(int(c)) for c in bad])
    return Flaw(
        Verdict.WARN,
        f"Nothing varies in {names} over {seen.examples:,} {split_name(seen)} examples.",
        tuple(
            Place("setting", columns.named(int(c)), f"always {columns.mean[c]:.4g}") for c in bad
        ),
        (
            f"Look at how {names} {'is' if len(bad) == 1 else 'are'} read: a constant tells the "
            "model nothing. Mend it or leave it out.",
        ),
    )


def _scale(columns: InputColumns, seen: InputStatistics, limits: Limits) -> Flaw | None:
    """Return what is wrong with the scale of an input, the whole of it before single columns."""
    largest = limits["size"].warn or math.inf
    if columns.normalises or not np.isfinite(columns.mean).all() or len(columns.square) < 2:
        return None
    if not columns.layer and seen.first_square <= largest**2:
        return None
    size, deviation, spreading = columns.size, columns.deviation, columns.spreading
    into = f"; it goes into {columns.layer} as it is" if columns.layer else ""

    def off(sentence: str, order: Array) -> Flaw:
        places = _places(columns, order)
        return Flaw(Verdict.WARN, f"{sentence}{into}.", places, (_standardise(columns),))

    surely = mean_interval(columns.square, 0.99)[0]
    if surely > largest**2:
        many = columns.columns > 1
        counting = f", over all {columns.columns:,} {columns.kind}s" if many else ""
        return off(
            f"{_called(columns)} is not normalised: its root mean square is {columns.whole:.3g} "
            f"(mean {shown(float(np.mean(columns.mean)), columns.whole)}, range "
            f"{columns.least.min():.3g} to {columns.most.max():.3g}{counting}), where about 1 is "
            "wanted",
            np.argsort(-size),
        )
    big = np.argsort(-size)[: int((size > (limits["feature_size"].warn or math.inf)).sum())]
    if len(big) and not columns.pixels:
        first = int(big[0])
        names = listed([columns.named(int(c)) for c in big])
        return off(
            f"{_called(columns)} is not normalised in {names}: mean {columns.mean[first]:.3g} and "
            f"deviation {deviation[first]:.3g} in {columns.named(first)}",
            big,
        )
    if len(spreading) > 1 and not columns.pixels:
        least, most = int(spreading[0]), int(spreading[-1])
        ratio = deviation[most] / deviation[least]
        if ratio > (limits["spread_ratio"].warn or math.inf):
            return off(
                f"{_called(columns)} spreads {ratio:,.0f} times as wide in {columns.named(most)} "
                f"as in {columns.named(least)} (deviations {deviation[most]:.3g} and "
                f"{deviation[least]:.3g})",
                np.array([most, least]),
            )
    if 0 < columns.signal < (limits["signal"].warn or 0.0):
        return off(
            f"{_called(columns)} hardly varies: its deviation is "
            f"{math.sqrt(float(np.square(deviation).mean())):.2g}, so a unit that sums "
            f"{columns.summed:,} of its values is moved less than by its own random bias",
            np.argsort(deviation),
        )
    if columns.whole > largest:
        square = columns.whole**2
        enough = examples_to_settle(len(columns.square), square, surely, math.inf, largest**2)
        wanted = f"{enough:,} examples" if enough else "more examples"
        return Flaw(
            Verdict.PASS,
            f"{_called(columns)} has a root mean square of {columns.whole:.3g}, but not beyond "
            f"doubt one of more than {largest:g}: {wanted} would settle it.",
        )
    return None


def _places(columns: InputColumns, order: Array) -> tuple[Place, ...]:
    return tuple(
        Place(
            "setting",
            columns.named(int(c)),
            f"mean {columns.mean[c]:.3g}, deviation {columns.deviation[c]:.3g}",
        )
        for c in order[:5]
    )


def _standardise(columns: InputColumns) -> str:
    few = columns.columns <= 4
    means, deviations = (
        ", ".join(shown(float(v), float(s)) for v, s in zip(part, columns.size, strict=True))
        for part in (columns.mean, columns.deviation)
    )
    how = (
        f"subtract {means} and divide by {deviations}"
        if few
        else "`(x - mean) / deviation`, each column by its own of the training data"
    )
    name = "the input" if columns.name == "input" else f"{columns.name!r}"
    return step(
        f"Standardise {name} for training and validation alike: {how}.", _standardised(columns)
    )


def _standardised(columns: InputColumns) -> str:
    """Return code that standardises an input whose columns were measured."""
    mean, deviation = np.asarray(columns.mean, float), np.asarray(columns.deviation, float)
    if columns.columns > MOST_NUMBERS or not np.isfinite([mean, deviation]).all():
        return (
            "whole = torch.cat([inputs for inputs, _ in train_loader])\n"
            "mean, deviation = whole.mean(0), whole.std(0).clamp_min(1e-8)\n"
            "inputs = (inputs - mean) / deviation"
        )
    deviation = np.where(deviation > 0, deviation, 1.0)
    if columns.columns == 1:
        centre, spread = (snippets.digits(part[0], 4) for part in (mean, deviation))
        return f"inputs = (inputs - {centre}) / {spread}"
    shape = ".view(-1, *[1] * (inputs.ndim - 2))" if columns.kind == "channel" else ""
    return (
        f"mean = {snippets.tensor(mean.tolist(), 4)}{shape}\n"
        f"deviation = {snippets.tensor(deviation.tolist(), 4)}{shape}\n"
        "inputs = (inputs - mean) / deviation"
    )


def split_name(seen: InputStatistics) -> str:
    """Return what to call a split in a sentence."""
    return "training" if seen.split == "train" else "validation"


def _called(columns: InputColumns) -> str:
    return "The input" if columns.name == "input" else f"The input {columns.name!r}"


def shown(value: float, beside: float) -> str:
    """Return a number in three digits; what is nothing beside the other is 0."""
    return "0" if abs(value) < 1e-5 * abs(beside) else f"{value:.3g}"
