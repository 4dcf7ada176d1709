"""Batches far below or above the gradient noise scale, and how well one batch knows the way.

What it does
------------
Measures how much of one batch's gradient is noise, for every batch size at once, and holds the
declared batch size against it: on fresh weights, where training begins, and on the checkpoint.

Why it matters
--------------
Far below the noise scale a step goes almost anywhere: training takes many more steps than it must,
and bears small learning rates only. Far above it a batch averages away noise that was not there:
the same data would have given several times as many steps, each as well directed.

How it is measured
------------------
The gradients of 16 pieces of data at the same weights, in training mode, each piece as large as a
batch or so and all examples mixed, give the gradient noise scale N = tr(Σ) / |G|²: the variance of
one example's gradient over the squared gradient that all have in common, both without bias from two
batch sizes (a piece and all pieces; McCandlish et al., appendix A.1). A batch of B examples then
has a signal-to-noise ratio B / N and a cosine 1 / √(1 + N / B) with the gradient of all data. At
B = N training takes twice the least steps and twice the least examples: N is the critical batch.
The interval is a jackknife over pieces, 95 % as shown, 99 % for verdicts. Measured cosines between
groups of pieces stand beside the curve.

Too small: even on fresh weights, where noise tends to be least, N is more than 10 times a batch of
at most 8 examples, or more than 100 times any batch. Too large: on the checkpoint the batch is more
than 10 times N (or it is the whole data set and larger than N), and fewer than 500 updates were
made.

When it misleads
----------------
Gradients that are accumulated over several batches are not seen: declare the product as
`training: batch_size`. Small batches can be a choice: Masters & Luschi 2018 found 2 to 32 examples
to generalise best, at a learning rate tuned for each; where memory allows no more, accumulate. N
grows during training and has no bound at a minimum, where the common gradient is 0: on a converged
checkpoint it says nothing against the batch, and the report says so. Where examples of a loader
come sorted, real batches are noisier than the mixed ones measured here. Weight decay's own gradient
is left out. For Adam, N is a guide only: it is the noise of the raw gradient.

What to do
----------
Choose a batch between a quarter of the noise scale of fresh weights and that of later training,
change the learning rate along with it, and accumulate gradients where memory is short.

Source
------
McCandlish, Kaplan, Amodei et al. 2018, "An Empirical Model of Large-Batch Training" (equations 2.6
to 2.8, appendix A.1); Efron & Tibshirani 1993, ch. 11 (jackknife); Masters & Luschi 2018,
"Revisiting Small Batch Training for Deep Neural Networks"; Shallue et al. 2019, "Measuring the
Effects of Data Parallelism on Neural Network Training".
"""

import math

from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.batch_advice import advice_on_batch, recommended
from auditor.observations.gradient_noise import (
    GradientNoise,
    GradientNoiseFrom,
    Scale,
    scale_of,
)
from auditor.observations.noise_figures import noise_figures
from auditor.observations.settings import Settings, SettingsOf

SETTINGS = SettingsOf()
CHECKPOINT = GradientNoiseFrom(start="checkpoint")
FRESH = GradientNoiseFrom(start="fresh")

SURE = 0.99

SMALL = 8
"""Examples up to which a batch leaves most devices idle; larger ones of much noise are common
practice and only told, unless no more than a hundredth of a step is signal."""

HARDLY_ANY = 100.0
"""Times the batch from which on a noise scale is too much for any batch: the cosine is 0.1."""

FEW = 500
"""Updates below which the number of steps, not their direction, is likely what training lacked."""

Said = tuple[Verdict, str, str]
"""A verdict, what it says, and the note of the setting at fault; empty where there is none."""


@check(
    title="The batch suits the noise of the gradient",
    failure_title="The batch size is off",
    needs=(SETTINGS, CHECKPOINT),
    wants=(FRESH,),
    limits={
        "noise_over_batch": Limit(
            warn=10.0,
            source="from 10 on, 90 % of a step's squared length is noise (McCandlish et al. 2018, "
            "equation 2.6); fresh healthy models of 15 kinds show 0.01 to 6.2 at their own batch",
        ),
        "batch_over_noise": Limit(
            warn=10.0,
            source="from 10 on, a step is within 10 % of the best there is, while smaller batches "
            "give more of them (McCandlish et al. 2018, equation 2.6)",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the batch size by the noise scale of fresh weights and of the checkpoint."""
    settings, late, early = seen[SETTINGS], seen[CHECKPOINT], seen.get(FRESH)
    looks = [look for look in (early, late) if look is not None]
    batch = settings.batch_size
    told = [_told(look) for look in looks]
    if early is None:
        told.append(f"Fresh weights were not looked at: {seen.missing(FRESH) or 'not asked for'}.")
    metrics = tuple(metric for look in looks for metric in _metrics(look, batch, limits))
    figures = noise_figures(looks, batch)
    if batch is None:
        unknown = "The batch size of training is not known (`training: batch_size`)."
        advice = (recommended(looks),)
        return Judgement(Verdict.INFO, " ".join([unknown, *told]), metrics, (), advice, figures)
    verdict, said, note = _judged(settings, batch, early, late, limits)
    ours = f"Batches of training hold {counted(batch, 'example')}"
    ours += f" ({settings.source('batch_size')})." if settings.source("batch_size") else "."
    return Judgement(
        verdict,
        " ".join([*([said] if said else []), ours, *told]),
        metrics=metrics,
        where=(Place("setting", "training.batch_size", note),) if note else (),
        advice=advice_on_batch(settings, batch, looks) if note else (),
        figures=figures,
    )


def _judged(
    settings: Settings,
    batch: int,
    early: GradientNoise | None,
    late: GradientNoise,
    limits: Limits,
) -> Said:
    small = None if early is None else _small(batch, early, _warn(limits, "noise_over_batch"))
    judged = small or _large(settings, batch, late, _warn(limits, "batch_over_noise"))
    if judged is not None:
        return judged
    if early is None and not scale_of(late).value <= batch * _warn(limits, "noise_over_batch"):
        said = (
            "Near a minimum noise prevails whatever the batch, so that without fresh weights "
            "nothing is said against this one."
        )
        return Verdict.INFO, said, ""
    return Verdict.PASS, "", ""


def _small(batch: int, early: GradientNoise, most: float) -> Said | None:
    """Judge whether even the first steps are mostly noise."""
    found, sure = scale_of(early).over(batch), scale_of(early, SURE).over(batch)
    if sure.low * batch < 1 and math.isinf(sure.high):
        said = (
            f"The gradients of {early.examples:,} examples don't tell the noise scale of fresh "
            "weights within any bounds, so that the batch is not judged by it."
        )
        return Verdict.INFO, said, ""
    bar = most if batch <= SMALL else max(most, HARDLY_ANY)
    times = _times(found.value if math.isfinite(found.value) else sure.low)
    least = "" if math.isfinite(found.value) else "at least "
    if sure.low > bar:
        agrees = f"of {found.cosine(1):.2g}" if least == "" else f"below {_best_cosine(sure):.2g}"
        said = (
            f"The batch is too small: even where training begins the noise scale is {least}{times} "
            f"the batch, so that its gradient has a cosine {agrees} with that of all data."
        )
        return Verdict.WARN, said, f"{batch}; the noise scale of fresh weights is {_in(early)}"
    if found.value > bar and (batch <= SMALL or math.isfinite(found.value)):
        need = _to_settle(early, bar * batch)
        said = (
            f"The batch may be too small: the noise scale of fresh weights is {least}{times} as "
            f"large, but {early.examples:,} examples don't settle it{need}."
        )
        return Verdict.INFO, said, ""
    if sure.low > most:
        said = (
            f"Even the first steps are mostly noise: the noise scale is {least}{times} the batch. "
            "Batches of this size are common, and work at a learning rate that is small enough."
        )
        return Verdict.INFO, said, ""
    return None


def _best_cosine(sure: Scale) -> float:
    """Return the largest cosine that a noise scale, in batches, leaves possible."""
    return Scale(sure.low, sure.low, sure.low, 0.0).cosine(1)


def _large(settings: Settings, batch: int, late: GradientNoise, least: float) -> Said | None:
    """Judge whether training stopped while its steps were few and hardly noisy."""
    found, sure = scale_of(late).over(batch), scale_of(late, SURE).over(batch)
    whole = settings.per_epoch == 1 and batch >= late.examples
    updates = settings.updates
    bar = 1 / (min(least, 1.0) if whole else least)
    enough = updates is not None and updates >= FEW
    if not found.value < bar or (whole and enough):
        return None
    what = "holds the whole data set and is" if whole else "is"
    times = _times(1 / found.value) if found.value > 0 else "far more than"
    if updates is not None and not enough and sure.high < bar:
        said = (
            f"The batch is too large: it {what} {times} the noise scale where training stopped, "
            f"after {counted(round(updates), 'update')}. Its gradient still has a cosine of "
            f"{found.cosine(1):.2g} with that of all data, so that more steps would have gone on."
        )
        return Verdict.WARN, said, f"{batch}; the noise scale of the checkpoint is {_in(late)}"
    if updates is None:
        said = (
            f"The batch {what} {times} the noise scale of the checkpoint. How many updates were "
            "made is not known (`training: epochs`), so whether they were too few is not judged."
        )
    elif enough:
        said = (
            f"The batch is {times} the noise scale of the checkpoint: smaller ones would have "
            f"given more than the {updates:,.0f} updates that were made, from the same data."
        )
    else:
        said = (
            f"The batch {what} {times} the noise scale where training stopped, after "
            f"{counted(round(updates), 'update')}; whether it is too large {late.examples:,} "
            f"examples don't settle{_to_settle(late, bar * batch)}."
        )
    return Verdict.INFO, said, ""


def _warn(limits: Limits, name: str) -> float:
    limit = limits[name].warn
    return math.inf if limit is None else limit


def _to_settle(look: GradientNoise, limit: float) -> str:
    """Return how many examples would tell, by the interval of the logarithm."""
    found, sure = scale_of(look), scale_of(look, SURE)
    values = (found.value, sure.low, sure.high, limit)
    if not all(0 < value < math.inf for value in values):
        return ""
    need = examples_to_settle(look.examples, *map(math.log, values))
    return f"; some {need:,} would" if need else ""


def _in(look: GradientNoise) -> str:
    """Return a noise scale in a few words."""
    scale = scale_of(look)
    if math.isfinite(scale.value):
        return counted(max(1, round(scale.value)), "example")
    return f"above {counted(max(1, math.floor(scale_of(look, SURE).low)), 'example')}"


def _told(look: GradientNoise) -> str:
    scale, given = scale_of(look), f"{look.examples:,} examples of {look.split} data"
    note = f" ({look.note})" if look.note else ""
    if math.isfinite(scale.value):
        high = _number(scale.high) if math.isfinite(scale.high) else "no bound"
        return (
            f"The noise scale on {look.weights} is {_number(scale.value)} examples (95 % interval "
            f"{_number(scale.low)} to {high}), by {given}{note}."
        )
    least = f"above {_number(scale.low)}" if 1 <= scale.low < math.inf else "not bounded at all"
    return (
        f"On {look.weights} the gradients of {given} have nothing in common that would show, as "
        f"at a minimum: the noise scale is {least}, without an upper bound{note}."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _times(ratio: float) -> str:
    return f"{_number(ratio)} times"


def _metrics(look: GradientNoise, batch: int | None, limits: Limits) -> tuple[Metric, ...]:
    scale, place = scale_of(look), look.weights
    own = Metric(f"noise scale on {place}", scale.value, "examples", scale.low, scale.high)
    if batch is None:
        return (own,)
    over = scale.over(batch)
    value, low, high = (
        Scale(bound, bound, bound, 0.0).cosine(1) for bound in (over.value, over.high, over.low)
    )
    cosine = Metric(f"cosine of one batch with all data on {place}", value, "", low, high)
    if look.start == "fresh":
        name, limit = f"noise scale over batch on {place}", limits["noise_over_batch"]
        return own, Metric(name, over.value, "times", over.low, over.high, limit), cosine
    value, high, low = (
        1 / bound if bound > 0 else math.inf for bound in (over.value, over.low, over.high)
    )
    name, limit = f"batch over noise scale on {place}", limits["batch_over_noise"]
    return own, Metric(name, value, "times", low, high, limit), cosine
