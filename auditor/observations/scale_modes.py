"""How the scale in training mode compares with that in evaluation mode."""

import numpy as np

from auditor.core.check import Limits
from auditor.core.statistics import mean_interval, reciprocal
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict, worst
from auditor.observations.activation_scale import ActivationScale
from auditor.observations.scale_faults import CONFIDENCE, Fault, surely_beyond
from auditor.observations.scale_sizes import sizes_of

Ratio = tuple[str, float, float, float, float, float]
"""A layer, its deviation in training over that in evaluation with a 95 % and a 99 % interval."""


def mode_ratios(
    evaluation: ActivationScale | None, training: ActivationScale | None
) -> list[Ratio]:
    """Return how each layer compares between the modes, on the batches seen in both."""
    if evaluation is None or training is None:
        return []
    common, first, second = np.intersect1d(
        evaluation.batches, training.batches, return_indices=True
    )
    column = {kind.layer: place for place, kind in enumerate(training.layers)}
    here, there = (sizes_of(scale)[1] for scale in (evaluation, training))
    found = []
    for place, kind in enumerate(evaluation.layers):
        if kind.layer not in column or not len(common):
            continue
        a, b = here[first, place], there[second, column[kind.layer]]
        both = (a > 0) & (b > 0)
        logs = np.log(b[both] / a[both])
        if not len(logs):
            continue
        confidence = 1 - (1 - CONFIDENCE) / max(len(evaluation.layers), 1)
        with np.errstate(over="ignore"):
            low, high = np.exp(mean_interval(logs)).tolist()
            least, most = np.exp(mean_interval(logs, confidence)).tolist()
        ratio = float(np.exp(logs.mean()))
        found.append((clean_text(kind.layer), ratio, low, high, least, most))
    return found


def differing_modes(ratios: list[Ratio], limits: Limits, batches: int) -> list[Fault]:
    """Return the first layer whose scale differs between the modes, and how many do."""
    limit, apart = limits["mode_ratio"], []
    for name, ratio, _, _, low, high in ratios:
        found = ratio, low, high
        factor, *bounds = found if ratio > 1 else reciprocal(*found)
        verdict = surely_beyond(limit, factor, *bounds, batches=batches)
        if verdict is not Verdict.PASS:
            apart.append((name, ratio, factor, verdict))
    if not apart:
        return []
    name, ratio, factor, _ = apart[0]
    more = "larger" if ratio > 1 else "smaller"
    return [
        Fault(
            name,
            worst([verdict for *_, verdict in apart]),
            f"deviates {factor:.3g} times {more} in training mode",
            f"In training mode the output of `{name}` deviates {factor:.3g} times {more} than in "
            f"evaluation mode on the same batches; {counted(len(apart), 'layer')} of "
            f"{len(ratios):,} differ by more than {limit.warn or limit.fail:g} times.",
            (
                f"Look at what differs between `model.train()` and `model.eval()` at or before "
                f"`{name}`: running statistics of batch normalisation that do not fit the data "
                "(see `stale-batch-norm`), dropout without its rescaling by 1 / (1 - p), or code "
                "that tests `self.training`.",
            ),
        )
    ]
