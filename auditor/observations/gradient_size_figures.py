"""What a report shows of the norms of the whole gradient: figures and metrics."""

from collections.abc import Mapping, Sequence

import numpy as np

from auditor.core.figure import Figure, Guide, Histogram, Lines, Series
from auditor.core.finding import Limit, Metric
from auditor.core.statistics import median_interval
from auditor.observations.gradient_sizes import Phase, leaps

BINS = 20


def norm_figures(phases: Sequence[Phase], norm: float | None, advised: float) -> tuple[Figure, ...]:
    """Return the norms batch by batch, and their histogram, with the norms to clip at."""
    guides = (
        *([Guide(norm, f"clipping norm {norm:.3g}", "warn")] if norm is not None else []),
        Guide(advised, f"90th percentile {advised:.3g}"),
    )
    order = Lines(
        title="Norm of the gradient, batch by batch",
        caption="Before clipping; a line far above the clipping norm is cut at every step.",
        x_label="batch",
        y_label="norm",
        series=tuple(
            Series(
                "run from fresh weights" if phase.early else "at the checkpoint",
                tuple(float(number) for number in range(1, len(phase.norms) + 1)),
                tuple(map(float, phase.norms)),
            )
            for phase in phases
        ),
        guides=guides,
        y_log=True,
    )
    return order, *(_distribution(phase, guides) for phase in phases)


def _distribution(phase: Phase, guides: tuple[Guide, ...]) -> Histogram:
    norms = phase.norms[phase.norms > 0]
    low, high = float(norms.min()) / 1.05, float(norms.max()) * 1.05
    edges = np.geomspace(low, high, BINS + 1)
    return Histogram(
        title=f"Distribution of norms {phase.name}",
        caption="What lies to the right of the clipping norm is cut.",
        label="norm of the whole gradient",
        edges=tuple(map(float, edges)),
        counts=tuple(map(float, np.histogram(norms, edges)[0])),
        guides=guides,
    )


def share_metrics(
    phases: Sequence[Phase], norm: float, limits: Mapping[str, Limit]
) -> tuple[Metric, ...]:
    """Return how many gradients a norm cuts, and how much, in each phase."""
    found = []
    for phase in phases:
        share, low, high = phase.share(norm)
        name = f"share of gradients that are cut {phase.name}"
        found.append(Metric(name, share, "", low, high, limits["clipped"]))
        low, high = (max(bound, 0.0) / norm for bound in median_interval(phase.norms))
        name = f"median gradient over the clipping norm {phase.name}"
        found.append(Metric(name, phase.median / norm, "times", low, high, limits["cut"]))
    return tuple(found)


def leap_metrics(
    early: Phase | None, late: Phase | None, limits: Mapping[str, Limit]
) -> tuple[Metric, ...]:
    """Return the largest gradient over the usual one in each phase."""
    return tuple(
        Metric(
            f"largest over usual gradient {o.phase.name}", o.times, "times", limit=limits["leap"]
        )
        for o in leaps(early, late)
    )


def median_metric(phase: Phase) -> Metric:
    """Return the median norm of a phase."""
    low, high = median_interval(phase.norms)
    return Metric(f"median norm {phase.name}", phase.median, "", max(low, 0.0), high)


def percentile_metric(phase: Phase, rng: np.random.Generator) -> Metric:
    """Return the 90th percentile with a bootstrap's interval (Efron & Tibshirani 1993, ch. 13)."""
    value = float(np.quantile(phase.norms, 0.9))
    drawn = rng.choice(phase.norms, (2000, len(phase.norms)))
    low, high = np.quantile(np.quantile(drawn, 0.9, axis=1), (0.025, 0.975))
    name = f"90th percentile of norms {phase.name}"
    return Metric(name, value, "", min(float(low), value), max(float(high), value))
