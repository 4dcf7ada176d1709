"""Batch normalisation whose running statistics no longer describe the data.

What it does
------------
Compares, layer by layer, the mean and variance that batch normalisation remembers from training
with those of what the layer is really given.

Why it matters
--------------
In evaluation mode the layer normalises by what it remembers. Where that is stale (too few training
steps since the weights last moved, the wrong mode while fine-tuning, statistics lost in an averaged
or converted checkpoint, other preprocessing), the model computes something else than it did in
training, and its accuracy falls without any error.

How it is measured
------------------
Per channel, the Kullback-Leibler divergence from the normal distribution of the data, N(m, v), to
the remembered one, N(m', v'): ½ (ln(v'/v) + (v + (m - m')²) / v' - 1) nats, with the layer's eps
added to both variances. A layer is judged by the median over its channels, so that a few channels
without any signal decide nothing. Statistics of exactly 0 and 1 were never updated, and warn unless
they happen to fit. Half a nat is a mean off by one deviation, or a variance 3.1 times what is
remembered, or a sixth of it.

When it misleads
----------------
Strong augmentation widens what was remembered. Where only validation data is at hand, a true
difference between the splits looks the same as staleness. A stale layer changes what all later
layers are given, so the first one in the list is the one to look at.

What to do
----------
Run training data through the model in training mode without a step, after
`reset_running_stats()`, and save the checkpoint again. Find out which code path moved the weights
without the statistics.

Source
------
Ioffe & Szegedy 2015, "Batch Normalization"; Izmailov et al. 2018, "Averaging Weights Leads to Wider
Optima", section 3.2 (statistics must be computed anew); Wu & Johnson 2021, "Rethinking 'Batch' in
BatchNorm", sections 3 and 5 (precise statistics, and what domain shift does).
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.batch_norm import BatchNormLayer, BatchNormStatisticsOver

STATISTICS = BatchNormStatisticsOver()

FEWEST = 50
"""Values per channel below which their own scatter, about 1/n nats, blurs a moderate shift."""


NEGLIGIBLE = 0.05
"""Nats up to which statistics that were never updated do no harm."""


@check(
    title="Batch-norm statistics describe the data",
    failure_title="Batch-norm statistics are stale",
    needs=(STATISTICS,),
    limits={
        "divergence": Limit(
            warn=0.5,
            fail=2.0,
            source="0.5 nats is a mean off by one deviation, 2 nats by two; a healthy ResNet-20, "
            "trained with augmentation, shows 0.06 on validation images",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far each layer's remembered statistics are from those of the data."""
    statistics, limit = seen[STATISTICS], limits["divergence"]
    if not statistics.layers:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "The model has no batch-norm layer that keeps running statistics.",
        )
    broken = [layer for layer in statistics.layers if not _valid(layer)]
    if broken:
        return _invalid(broken)
    given = [layer for layer in statistics.layers if _given(layer)]
    if not given:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{counted(len(statistics.layers), 'batch-norm layer')} got values that are not "
            "finite, with which nothing can be compared.",
        )
    layers = [layer for layer in given if layer.count >= FEWEST and layer.mean.size]
    if not layers:
        most = max(layer.count for layer in statistics.layers)
        return Judgement(
            Verdict.INFO,
            f"Batch-norm layers were given at most {counted(most, 'value')} per channel, too few "
            f"to compare with what they remember; {FEWEST} are needed.",
        )
    figures = [float(np.median(_divergence(layer))) for layer in layers]
    verdicts = [
        worst((limit.verdict(figure), _untouched(layer, figure)))
        for layer, figure in zip(layers, figures, strict=True)
    ]
    top = max(range(len(layers)), key=lambda place: np.nan_to_num(figures[place], nan=np.inf))
    stale = [place for place, verdict in enumerate(verdicts) if verdict is not Verdict.PASS]
    source = f"{statistics.split} data"
    summary = (
        f"What {counted(len(layers), 'batch-norm layer')} remember"
        f"{'s' if len(layers) == 1 else ''} is at most {figures[top]:.2g} nats from what "
        f"{counted(statistics.examples, 'example')} of {source} give."
    )
    if stale:
        first = clean_text(layers[stale[0]].layer)
        summary = (
            f"{len(stale):,} of {counted(len(layers), 'batch-norm layer')} remember"
            f"{'s' if len(stale) == 1 else ''} statistics that do not describe {source}, first "
            f"`{first}` ({figures[stale[0]]:.2g} nats), farthest "
            f"`{clean_text(layers[top].layer)}` ({figures[top]:.2g} nats); each stale layer shifts "
            "what the later ones are given."
        )
        untouched = [clean_text(layer.layer) for layer in layers if _never_updated(layer)]
        if untouched:
            summary += f" Never updated since creation: {listed(untouched)}."
    if statistics.split == "val":
        summary += (
            " Without training data this was measured on validation data, so a difference between "
            "the splits would show here too."
        )
    return Judgement(
        max(verdicts, key=SEVERITY.__getitem__),
        summary,
        metrics=(
            Metric("divergence of the worst layer", figures[top], "nats", limit=limit),
            Metric("layers beyond the limit", len(stale), f"of {len(layers)}"),
        ),
        where=tuple(
            Place("layer", clean_text(layers[place].layer), _note(layers[place], figures[place]))
            for place in stale
        ),
        advice=_advice([layers[place] for place in stale]),
        figures=(_figure(layers, figures, verdicts, limit),),
    )


def _valid(layer: BatchNormLayer) -> bool:
    finite = np.isfinite(layer.running_mean).all() and np.isfinite(layer.running_var).all()
    return bool(finite and (layer.running_var >= 0).all())


def _given(layer: BatchNormLayer) -> bool:
    return bool(np.isfinite(layer.mean).all() and np.isfinite(layer.squares).all())


def _invalid(broken: list[BatchNormLayer]) -> Judgement:
    names = [clean_text(layer.layer) for layer in broken]
    return Judgement(
        Verdict.FAIL,
        f"The running statistics of {counted(len(broken), 'batch-norm layer')} are impossible "
        f"(negative variances, or values that are not finite): {listed(names)}.",
        where=tuple(
            Place(
                "layer",
                clean_text(layer.layer),
                f"{int((layer.running_var < 0).sum()):,} negative variances, "
                f"{int((~np.isfinite([layer.running_mean, layer.running_var])).sum()):,} values "
                "not finite",
            )
            for layer in broken
        ),
        advice=(
            f"Call `reset_running_stats()` on `{names[0]}`, run training data through the model in "
            "training mode under `torch.no_grad()`, and save the checkpoint again.",
            "Look for a batch that held NaN, or for code that averages or converts `running_var`.",
        ),
    )


def _divergence(layer: BatchNormLayer) -> Array:
    remembered = np.asarray(layer.running_var, float) + layer.eps
    given = np.maximum(np.asarray(layer.variance, float), 0) + layer.eps
    tiny = np.finfo(float).tiny
    remembered, given = np.maximum(remembered, tiny), np.maximum(given, tiny)
    shift = (np.asarray(layer.mean, float) - layer.running_mean) ** 2
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = (given + shift) / remembered
        return np.asarray(0.5 * (np.log(remembered) - np.log(given) + ratio - 1))


def _never_updated(layer: BatchNormLayer) -> bool:
    return bool((layer.running_mean == 0).all() and (layer.running_var == 1).all())


def _untouched(layer: BatchNormLayer, figure: float) -> Verdict:
    return Verdict.WARN if _never_updated(layer) and figure > NEGLIGIBLE else Verdict.PASS


def _note(layer: BatchNormLayer, figure: float) -> str:
    tiny = np.finfo(float).tiny
    remembered = np.asarray(layer.running_var, float) + layer.eps
    remembered = np.maximum(remembered, tiny)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.median((layer.variance + layer.eps) / remembered)
        shift = np.median(np.abs(layer.mean - layer.running_mean) / np.sqrt(remembered))
    fresh = "; never updated" if _never_updated(layer) else ""
    return (
        f"{figure:.2g} nats: mean off by {shift:.2g} deviations, variance {spread:.2g} times what "
        f"is remembered{fresh}"
    )


def _advice(stale: list[BatchNormLayer]) -> tuple[str, ...]:
    if not stale:
        return ()
    name = clean_text(stale[0].layer)
    lines = [
        f"Compute the statistics anew, starting with `{name}`: `reset_running_stats()` and "
        "`momentum = None` on every batch-norm layer, some hundred training batches in training "
        "mode under `torch.no_grad()`, then save (`torch.optim.swa_utils.update_bn` does this).",
        "Make sure that the audit's preprocessing (scaling, mean and deviation, channel order) is "
        "that of the training.",
    ]
    if any(_never_updated(layer) for layer in stale):
        lines.append(
            "Statistics of exactly 0 and 1 were never updated: the layer was trained in evaluation "
            "mode, or its buffers were not loaded (`strict=False` hides that)."
        )
    return tuple(lines)


def _figure(
    layers: list[BatchNormLayer], figures: list[float], verdicts: list[Verdict], limit: Limit
) -> Bars:
    spreads = [np.quantile(_divergence(layer), (0.1, 0.9)) for layer in layers]
    return Bars(
        title="How stale batch normalisation is",
        caption="Median over channels of the divergence between what a layer remembers and what it "
        "is given, layers in the order of execution; the bracket holds four channels in five.",
        label="divergence (nats)",
        labels=tuple(clean_text(layer.layer) for layer in layers),
        values=tuple(figures),
        low=tuple(float(low) for low, _ in spreads),
        high=tuple(float(high) for _, high in spreads),
        marked=tuple(verdict is not Verdict.PASS for verdict in verdicts),
        guides=limit.guides(),
    )
