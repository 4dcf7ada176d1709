"""Training beside validation, in numbers and pictures."""

from collections.abc import Mapping

from auditor.core.figure import Bars, Figure, Guide, Table
from auditor.core.finding import Limit, Metric
from auditor.core.statistics import mean_interval
from auditor.observations.generalisation import Sides, Surprise, perplexity
from auditor.observations.shared_examples import SharedExamples


def metrics_of(
    sides: Sides | str,
    surprise: Surprise | None,
    shared: SharedExamples,
    limits: Mapping[str, Limit],
) -> tuple[Metric, ...]:
    """Return the gap, both scores and cross-entropies, and what is shared, with intervals."""
    metrics = []
    if not isinstance(sides, str):
        low, high = sides.interval(0.95)
        metrics += [
            Metric("gap between training and validation", sides.gap, "", low, high, limits["gap"]),
            Metric(
                f"{sides.name}, training",
                float(sides.train.mean()),
                "",
                *mean_interval(sides.train),
            ),
            Metric(
                f"{sides.name}, validation", float(sides.val.mean()), "", *mean_interval(sides.val)
            ),
        ]
    if surprise is not None:
        metrics += [
            Metric("cross-entropy, training", surprise.train, "nats", *surprise.train_ends),
            Metric("cross-entropy, validation", surprise.val, "nats", *surprise.val_ends),
        ]
        if surprise.targets > 1:
            metrics.append(Metric("perplexity, validation", perplexity(surprise.val)))
    if len(shared.shared) or shared.same_loader or shared.indices >= 0:
        low, high = shared.interval(0.95)
        metrics.append(
            Metric(
                "validation that stands in training",
                shared.share,
                "share",
                low,
                high,
                limits["shared"],
            )
        )
    return tuple(metrics)


def shared_bars(shared: SharedExamples) -> tuple[Bars, ...]:
    """Return how much of validation stands in training; nothing where it is no more than usual."""
    low, high = shared.interval()
    if not low > 0:
        return ()
    return (
        Bars(
            title="Validation examples that stand in training",
            caption="Share beyond what training's own repetitions account for, with its 99 % "
            "interval; nothing should be there.",
            label="share of validation",
            labels=("stand in training",),
            values=(shared.share,),
            low=(min(low, shared.share),),
            high=(max(high, shared.share),),
            marked=(True,),
        ),
    )


def figures_of(sides: Sides | str, surprise: Surprise | None) -> tuple[Figure, ...]:
    """Return both scores beside a constant's, and a table of the cross-entropies."""
    if isinstance(sides, str):
        return ()
    ends = [mean_interval(values) for values in (sides.train, sides.val)]
    reference = "fresh model" if sides.name == "loss" else "constant answer"
    what = "batches" if sides.name == "loss" else "examples"
    bars = Bars(
        title=f"{sides.name[0].upper()}{sides.name[1:]} in training and validation",
        caption=f"Mean over {len(sides.train):,} and {len(sides.val):,} {what} in evaluation mode "
        f"with its 95 % interval, beside that of a {reference}: what is learnt should be seen on "
        "both sides.",
        label=sides.name,
        labels=("training", "validation"),
        values=(float(sides.train.mean()), float(sides.val.mean())),
        low=tuple(low for low, _ in ends),
        high=tuple(high for _, high in ends),
        guides=(Guide(sides.constant, reference),),
    )
    if surprise is None:
        return (bars,)
    rows: tuple[tuple[str, float, float, float], ...] = (
        ("training", surprise.train, *surprise.train_ends),
        ("validation", surprise.val, *surprise.val_ends),
    )
    table = Table(
        title="Cross-entropy in training and validation",
        caption="Mean over examples in nats with its 95 % interval; perplexity is its exponential. "
        f"The best constant answer has {surprise.constant:.3g} in validation.",
        columns=("split", "cross-entropy", "low", "high", "perplexity"),
        rows=tuple((*row, perplexity(row[1])) for row in rows),
    )
    return (bars, table)
