"""How a loss treats its batch: by mean or by sum, each output against its own target or all."""

import math
from collections.abc import Iterator

import numpy as np

from auditor.core.statistics import mean_interval
from auditor.observations.loss_fit import NUMBER_LOSSES, Cure, Misfit, Rows
from auditor.observations.loss_probe import LossProbe
from auditor.observations.loss_task import CONFIDENCE

DOUBLES = 0.05
"""Distance of log2(loss of 2k / loss of k) from 1 up to which a loss grows with its batch."""

NOTABLE = 0.01
"""Share of the loss from which a part of it that is a sum is spoken of."""

COLLAPSED = 0.1
"""Deviation of the outputs, of the targets', below which they are nearly one answer: a regression
that explains a share R² of the variance has √R², so this is one of 1 %."""


def reduction(probe: LossProbe) -> Iterator[Misfit]:
    """Yield a loss that is a sum over its batch."""
    rate, low, high = growth(probe)
    if not _doubles(low, high):
        yield from _partly(probe)
        return
    yield Misfit(
        "sum",
        False,
        f"The loss grows with the batch: that of 2k examples is {2**rate:.3g} times that of k "
        f"(99 % interval {2**low:.3g} to {2**high:.3g} over {len(probe.whole)} batches), so it is "
        "a sum. The learning rate then means something else for each batch size, and a last, "
        "smaller batch counts less.",
        "Average over the batch (`reduction='mean'`, or `.mean()` instead of `.sum()`), and "
        "multiply a plain SGD's learning rate by the batch size to keep its steps.",
        "loss",
        "is summed over the batch",
        Cure("as they are", "mean"),
    )


def _doubles(low: float, high: float) -> bool:
    return low > 1 - DOUBLES and high < 1 + DOUBLES


def _partly(probe: LossProbe) -> Iterator[Misfit]:
    """Yield a loss of which a part is a sum: its growth doubles from one doubling to the next.

    Of S + M with a sum S and a mean M, the parts of a batch lose S / 2, then S / 4 on average.
    """
    whole, quarters = np.asarray(probe.whole, float), np.asarray(probe.quarters, float)
    halves = np.asarray(probe.halves, float).reshape(-1, 2).mean(axis=1)
    if len(quarters) < 2:
        return
    with np.errstate(all="ignore"):
        rates = np.log2((whole - halves) / (halves - quarters))
        parts = 2 * (whole - halves) / whole
    sure = np.isfinite(rates).all() and bool((parts > NOTABLE).all())
    if sure and _doubles(*mean_interval(rates, CONFIDENCE)):
        yield Misfit(
            "partly sum",
            False,
            f"A part of the loss grows with the batch: about {parts.mean():.0%} of it, over "
            f"{len(probe.whole)} batches, doubles with the number of examples, so it is a sum, and "
            "the rest is none. Their balance, and the learning rate, mean something else for each "
            "batch size.",
            "Average every part of the loss over the batch (`.mean()` instead of `.sum()`).",
            "loss",
            "is partly summed over the batch",
        )


def growth(probe: LossProbe) -> tuple[float, float, float]:
    """Return log2 of the loss of 2k examples over that of k, with its interval at 99 %.

    0 for a mean, 1 for a sum. NaN, and no bounds, where the losses can't be compared.
    """
    parts = np.asarray(probe.halves, float).reshape(-1, 2).mean(axis=1)
    with np.errstate(all="ignore"):
        rates = np.log2(np.asarray(probe.whole, float) / parts)
    if not rates.size or not np.isfinite(rates).all():
        return math.nan, -math.inf, math.inf
    rate = float(rates.mean())
    # A mean or a sum is one on every batch; the interval is that of what rounds and masks.
    return (rate, *mean_interval(rates, CONFIDENCE)) if len(rates) > 1 else (rate, rate, rate)


def pairing(probe: LossProbe, rows: Rows) -> Iterator[Misfit]:
    """Yield a loss that sets every output against every target, or is likely to have done so."""
    shapes = f"outputs {probe.output_shape} and targets {probe.target_shape}"
    advice = (
        "Give both one shape before the loss: `outputs.squeeze(1)`, or `target.unsqueeze(1)` in "
        "the loader."
    )
    if probe.unpaired:
        yield Misfit(
            "every pair",
            True,
            f"The loss sets every output against every target: {shapes} are broadcast to all "
            "pairs, and the loss stays what it is when the targets are handed round among the "
            "examples. The best that it can teach is one constant answer.",
            advice,
            "loss",
            "broadcasts outputs against targets",
            Cure("as they are", "paired"),
        )
    elif probe.broadcasts and set(probe.acts_like) & {*NUMBER_LOSSES}:
        outputs, targets = rows.outputs, rows.targets
        if (
            not probe.fresh
            and outputs.size
            and outputs.std() < COLLAPSED * targets.std()
            and len(targets) >= 30
        ):
            yield Misfit(
                "every pair",
                False,
                f"The {shapes} have different shapes; the audit sets them side by side, but torch "
                "itself would broadcast them to all pairs. The model gives nearly one answer to "
                f"all (deviation {outputs.std():.2g}, of the targets {targets.std():.2g}), which "
                "is what that teaches; it is likely that it was trained so.",
                advice,
                "loss",
                "outputs and targets differ in shape",
            )
