"""Figures of how scores have changed since an earlier audit."""

import numpy as np

from auditor.core.figure import Bars, Figure, Table
from auditor.core.scores import ExampleScores
from auditor.observations.example_scores import Pairs
from auditor.observations.score_change import Example, by_class, mean_with_interval

CLASSES = 40
"""Classes in the figure."""

FEWEST = 10
"""Examples of a class below which its interval is not believed."""


def figures(
    before: ExampleScores, now: ExampleScores, pairs: Pairs | None, lost: list[Example]
) -> tuple[Figure, ...]:
    """Return the means of both, the change in each class, and the examples that got worst.

    `pairs` are the examples that both audits have, None where these are too few.
    """
    one, other = np.asarray(before.scores, float), np.asarray(now.scores, float)
    if pairs is not None:
        one, other = one[pairs.before], other[pairs.after]
    sides = [mean_with_interval(scores) for scores in (one, other)]
    whole = "the examples of each audit" if pairs is None else "examples of both audits"
    found: list[Figure] = [
        Bars(
            title=f"{now.metric.capitalize()} before and now",
            caption=f"Mean over {whole}, with 95 % intervals of each alone; paired, the "
            "difference is known better than these.",
            label=now.metric,
            labels=("before", "now"),
            values=tuple(side[0] for side in sides),
            low=tuple(side[1] for side in sides),
            high=tuple(side[2] for side in sides),
        )
    ]
    classes = by_class(before, now, pairs) if pairs is not None else ()
    if len(classes) > 1 and now.metric == "accuracy":
        shown = classes[:CLASSES]
        found.append(
            Bars(
                title="Change by class",
                caption=f"Change of the accuracy in each class, worst first, {len(shown):,} of "
                f"{len(classes):,}, with intervals of 99 % together; marked ones are surely worse.",
                label="change of accuracy",
                labels=tuple(f"class {c.label} ({c.examples:,})" for c in shown),
                values=tuple(c.change for c in shown),
                low=tuple(max(-1.0, c.low) for c in shown),
                high=tuple(min(1.0, c.high) for c in shown),
                marked=tuple(c.high < 0 and c.examples >= FEWEST for c in shown),
            )
        )
    if lost:
        found.append(
            Table(
                title="Examples that got worst",
                caption="By the score, then by the loss; numbered as the validation loader yields "
                "them.",
                columns=("example", "before", "now", "loss before", "loss now"),
                rows=tuple(
                    (f"val {e.number}", e.before, e.after, e.loss_before, e.loss_after)
                    for e in lost
                ),
            )
        )
    return tuple(found)
