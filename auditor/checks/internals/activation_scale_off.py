"""Layers that amplify, fade, answer alike or change with the mode; room in float16 and bfloat16.

What it does
------------
Measures mean, deviation, range and tails of every layer's output; follows them over depth; sets
evaluation mode against training mode; and tells how far the values are from where float16 and
bfloat16 overflow, underflow or lose their differences.

Why it matters
--------------
Where a layer multiplies what passes through it by a hundred, or lets it fade, the gradients of all
others are off by as much; where its output hardly differs from one example to the next, all that
follows is blind. A layer whose scale depends on the mode is not the layer that was trained.

How it is measured
------------------
On up to 16,384 values of each output and batch, spread over examples and positions, in float32 or
better; the range is that of all values. Growth is the deviation at the last hidden layers over that
at the first (medians of up to five layers; geometric mean over batches with its interval), and
counts only where the trend over all layers (Theil-Sen) points the same way. Growth and gains are
read from training data where validation has fewer batches; from fewer than three batches no
interval follows, and what is beyond a limit warns and no more. Gain is the root mean square that a
linear or convolutional layer puts out over the one that it is given; layers right before a
normalisation that does its work, and the model's own output, are left out. A gain counts only where
the result is large as well, and the mean over layers counts like that of one. A layer has collapsed
where its input differs between examples and its output, relative to its size at each position, ten
times less and by less than 2 %, or by no more than the number format resolves. Modes are compared
on the same training batches, in pairs, with 99 % intervals shared out over the layers. Headroom is
log2(65504 / largest value) for float16.

When it misleads
----------------
Trained transformers carry a few massive activations, thousands of times the typical value, without
harm: range and tails are therefore shown, and judged only where the model itself computes in half
precision. Dropout close to 1 makes the modes differ by nature. A branch whose weights are all zero,
as of a fresh adapter, puts out nothing on purpose: it is told and not judged, as long as the
model's own output differs between examples.

What to do
----------
Initialise for the activation used (He before ReLU, Glorot before tanh), add normalisation or
residual connections, and bring the inputs to deviation 1. Where the modes differ, look at the
running statistics of batch normalisation and at what tests `self.training`.

Source
------
Glorot & Bengio 2010 and He et al. 2015 (each layer keeps the variance); Mishkin & Matas 2016, "All
you need is a good init" (deviation 1 at every layer); Micikevicius et al. 2018, "Mixed Precision
Training" (range of float16); Sun et al. 2024, "Massive Activations in Large Language Models";
Li et al. 2019, "Understanding the Disharmony between Dropout and Batch Normalization".
"""

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import column_quantiles
from auditor.core.text import clean_text, counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.activation_scale import (
    ActivationScale,
    ActivationScaleInTraining,
    ActivationScaleOver,
)
from auditor.observations.scale_collapse import collapsed_layers
from auditor.observations.scale_figures import figures_of_scale
from auditor.observations.scale_gains import amplifying_layers, growth_over_depth
from auditor.observations.scale_headroom import LARGEST_HALF, largest_of, short_of_headroom
from auditor.observations.scale_modes import Ratio, differing_modes, mode_ratios
from auditor.observations.scale_sizes import sizes_of

VALIDATION = ActivationScaleOver(batches=8, split="val")
EVALUATION = ActivationScaleOver(batches=8, split="train_or_val")
TRAINING = ActivationScaleInTraining(batches=8)

MOST = 40
"""Places that are told one by one."""


@check(
    title="Activations keep their scale",
    failure_title="Activations are off scale",
    needs=(VALIDATION,),
    wants=(EVALUATION, TRAINING),
    limits={
        "growth": Limit(
            warn=1e3,
            fail=1e5,
            source="layers are initialised to keep the variance (He et al. 2015), and a residual "
            "stream from small embeddings grows by up to a few hundred; healthy small models 12",
        ),
        "decay": Limit(
            warn=1e3,
            fail=1e5,
            source="as for growth: Glorot & Bengio 2010 saw activations fade over five layers",
        ),
        "gain": Limit(
            warn=100,
            fail=1e4,
            source="LSUV (Mishkin & Matas 2016) scales each layer to 1 within 10 %; trained "
            "healthy layers reach 5",
        ),
        "size": Limit(
            warn=1e3,
            fail=1e6,
            source="root mean square; 1 is what initialisation and normalisation aim at "
            "(Mishkin & Matas 2016)",
        ),
        "mean_gain": Limit(
            warn=5,
            fail=100,
            source="geometric mean over two hidden layers or more; He et al. 2015 aim at 1, "
            "healthy trained layers here average at most 2 (4 after far too large steps), and ten "
            "times PyTorch's initial weights 5.6",
        ),
        "variation": Limit(
            warn=0.02,
            fail=1e-5,
            bad="below",
            source="deviation between examples over root mean square; healthy layers have 0.2 "
            "to 1, and below 1e-5 float32 sums no longer tell examples apart",
        ),
        "mode_ratio": Limit(
            warn=3.0,
            fail=10.0,
            source="dropout of one half changes the deviation by a factor of at most 1.4, of nine "
            "tenths by 3.2 (Li et al. 2019); batch statistics by a few per cent",
        ),
        "headroom": Limit(
            warn=1.0,
            bad="below",
            source="bits up to 65504 in a model that computes in float16 (Micikevicius et al. "
            "2018): at 1, twice the largest value seen overflows",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge growth over depth, gain, collapse, the two modes, and the room in half precision."""
    scale = seen[VALIDATION]
    finite = np.isfinite(scale.of("mean")).any(axis=0) if scale.layers else np.zeros(0, bool)
    if not finite.any():
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No layer put out finite numbers, so no scale could be measured."
            if scale.layers
            else "No layer with numbers for outputs was seen in the model.",
        )
    evaluation, training = seen.get(EVALUATION), seen.get(TRAINING)
    size, deviation = sizes_of(scale)
    faults = collapsed_layers(scale, limits)
    # What weights do to a scale is their own: it is read where there are most batches.
    most = max((s for s in (scale, evaluation) if s is not None), key=lambda s: len(s.batches))
    grown, growth = growth_over_depth(most, sizes_of(most)[1], limits)
    faults += grown
    faults += amplifying_layers(most, sizes_of(most)[0], limits)
    ratios = mode_ratios(evaluation, training)
    faults += differing_modes(ratios, limits, 0 if training is None else len(training.batches))
    faults += short_of_headroom(scale, limits)
    faults.sort(key=lambda fault: fault.verdict is not Verdict.FAIL)
    verdict = worst([fault.verdict for fault in faults] or [Verdict.PASS])
    metrics = _metrics(scale, size, growth, ratios, limits)
    advice = dict.fromkeys(line for fault in faults[:4] for line in fault.advice)
    return Judgement(
        verdict,
        " ".join(fault.what for fault in faults[:3])
        if faults
        else _all_well(scale, size, growth, ratios, training is not None),
        metrics=metrics,
        where=tuple(
            Place("layer", *place)
            for place in dict.fromkeys((fault.layer, fault.note) for fault in faults[:MOST])
        ),
        advice=tuple(advice),
        figures=figures_of_scale(scale, size, deviation, ratios, training),
    )


def _metrics(
    scale: ActivationScale,
    size: Array,
    growth: tuple[float, float, float],
    ratios: list[Ratio],
    limits: Limits,
) -> tuple[Metric, ...]:
    largest = largest_of(scale)
    with np.errstate(all="ignore"):
        top = float(np.nanmax(largest))
        headroom = float(np.log2(LARGEST_HALF / top)) if top > 0 else np.inf
        lost = scale.of("gone") - scale.of("zeros")
        vanishing = float(np.nanmax(np.nanmean(lost, axis=0, where=np.isfinite(lost))))
        flat = np.abs(scale.of("mean")) / np.sqrt(scale.of("variance"))
    flattest = float(np.max(flat[np.isfinite(flat)], initial=0))
    half = any(kind.precision == "float16" for kind in scale.layers)
    found = [
        Metric("growth from first to last layers", *_swap(growth), limit=limits["growth"]),
        Metric("largest absolute activation", top),
        Metric("headroom to float16 overflow", headroom, "bits", limit=limits["headroom"])
        if half
        else Metric("headroom to float16 overflow", headroom, "bits"),
        Metric("values of the worst layer that float16 rounds to zero", vanishing, "share"),
        Metric("largest mean over deviation (bfloat16 resolves 256)", flattest, "times"),
    ]
    if ratios:
        _, ratio, low, high, *_ = max(ratios, key=lambda r: abs(np.log(r[1])))
        found.append(
            Metric(
                "deviation in training over evaluation, where they differ most",
                ratio,
                "times",
                low,
                high,
                limits["mode_ratio"],
            )
        )
    return tuple(m for m in found if m.value is not None and not np.isnan(m.value))


def _swap(growth: tuple[float, float, float]) -> tuple[float, str, float, float]:
    value, low, high = growth
    return value, "times", low, high


def _all_well(
    scale: ActivationScale,
    size: Array,
    growth: tuple[float, float, float],
    ratios: list[Ratio],
    trained: bool,
) -> str:
    typical = column_quantiles(size, (0.5,))[0]
    known = typical[np.isfinite(typical)]
    said = (
        f"The outputs of {counted(len(scale.layers), 'layer')} have a root mean square of "
        f"{known.min():.2g} to {known.max():.2g}"
    )
    if np.isfinite(growth[0]):
        said += f", and {growth[0]:.2g} times the deviation at the end as at the start"
    if ratios:
        far = max(ratios, key=lambda r: abs(np.log(r[1])))
        said += f"; between the modes they differ by {100 * abs(far[1] - 1):.2g} % at most"
    blank = [kind.layer for kind in scale.layers if kind.empty and kind.leaf]
    end = f" The weights of {listed(blank, 3)} are all zero." if blank else ""
    largest = largest_of(scale)
    if np.nanmax(largest) > LARGEST_HALF:
        name = clean_text(scale.layers[int(np.nanargmax(largest))].layer)
        end += f" In float16 `{name}` would overflow: it reaches {np.nanmax(largest):.3g}."
    missing = "" if trained else "; training mode could not be looked at"
    return f"{said}{missing}.{end}"
