"""The metrics by which a model is followed from audit to audit."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from auditor.core.finding import Finding, Metric

KEY: dict[str, tuple[str, ...]] = {
    "overfitted": ("*, validation", "*, training", "gap between training and validation"),
    "trained-loss-off": ("gain on the best constant",),
    "no-better-than-baseline": ("gain in * over the constant",),
    "miscalibrated": ("expected calibration error",),
    "dead-units": ("dead units",),
    "activation-scale-off": ("growth from first to last layers",),
    "exploding-gradients": (
        "growth from last to first layers",
        "median norm of the whole gradient",
    ),
    "update-ratio-off": ("update ratio from the checkpoint",),
}
"""Patterns of names by check, in the order in which they are shown."""


def key_metrics(findings: Iterable[Finding]) -> Iterator[tuple[str, Metric]]:
    """Yield the key metrics that were measured, each with the id of its check."""
    known = {finding.check: finding for finding in findings}
    for check, patterns in KEY.items():
        metrics = known[check].metrics if check in known else ()
        for pattern in patterns:
            for metric in metrics:
                if metric.value is not None and fnmatchcase(metric.name, pattern):
                    yield check, metric
