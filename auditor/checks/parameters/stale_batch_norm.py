"""Running statistics that do not describe the data, and the score once they are computed anew.

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
without any signal decide nothing. Half a nat is a mean off by one deviation, or a variance 3.1
times what is remembered, or a sixth of it. Intervals are by the delta method over groups of
examples, as if all channels erred together; a verdict wants 99 %, shared out among the layers.

The proof: on a copy the statistics are computed anew, by plain means over training batches in
training mode, and both are scored on the same validation examples. A gain that is there at 99 %
warns or fails by its size; where there is none and no loss either, divergence alone is judged a
step less. While they are computed anew each layer is given what sound layers before it give, so
that layers which are stale themselves are told from those that others shift. Where dropout alone
is what parts the two modes, that is told, and left to the check of its name.

When it misleads
----------------
Strong augmentation widens what was remembered. Where only validation data is at hand, a true
difference between the splits looks the same as staleness. Where the audit's training data is not
preprocessed as the model's was, statistics computed from it make the copy worse, which is said.
Layers frozen for good (torchvision's `FrozenBatchNorm2d`) can't be computed anew.

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

import math
from dataclasses import dataclass

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import foremost, how_many
from auditor.core.statistics import examples_to_settle
from auditor.core.text import clean_text, counted, listed
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.batch_norm import BatchNormLayer, BatchNormStatisticsOver
from auditor.observations.norm_layers import NormSequenceOver
from auditor.observations.norm_trial import SURE, Gain, NormTrial, NormTrialOver, limit_on

STATISTICS = BatchNormStatisticsOver()
TRIAL = NormTrialOver()
SEQUENCE = NormSequenceOver()

FEWEST = 50
"""Values per channel below which their own scatter, about 1/n nats, blurs a moderate shift."""

NEGLIGIBLE = 0.05
"""Nats up to which statistics that were never updated do no harm."""

SHIFTED = 1.1
"""Ratio of variances in training and evaluation mode from which dropout is held to shift them."""

MOST = 40
"""Layers that are told one by one."""

MILDER = {Verdict.FAIL: Verdict.WARN, Verdict.WARN: Verdict.INFO}


@dataclass(frozen=True)
class Judged:
    """A layer, its median divergence with the 95 % interval, and the verdict on it.

    `open` tells that the examples do not settle it; `own` is the divergence where all layers before
    it are sound, NaN where not known; a `guilty` layer is beyond the limit by that too. `odd` is
    the mean over channels, which a few of them can make large.
    """

    layer: BatchNormLayer
    value: float
    low: float
    high: float
    verdict: Verdict
    open: bool
    own: float
    guilty: bool
    odd: float


@dataclass(frozen=True)
class Proof:
    """What computing statistics anew did: by the measure that says most."""

    trial: NormTrial
    gain: Gain
    verdict: Verdict
    nothing: bool
    worse: bool


@check(
    title="Batch-norm statistics describe the data",
    failure_title="Batch-norm statistics are stale",
    needs=(STATISTICS,),
    wants=(TRIAL, SEQUENCE),
    limits={
        "divergence": Limit(
            warn=0.5,
            fail=2.0,
            source="0.5 nats is a mean off by one deviation, 2 nats by two; a healthy ResNet-20, "
            "trained with augmentation, shows 0.06 on validation images",
        ),
        "accuracy_gain": Limit(
            warn=0.02, fail=0.1, source="share of examples that stale statistics cost"
        ),
        "error_gain": Limit(
            warn=0.2,
            fail=0.5,
            source="share of the error that stale statistics add; healthy models show 0.1 of their "
            "cross-entropy, which does not fail, and has to change by 0.05 nats to warn",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge how far each layer's remembered statistics are from those of the data."""
    statistics, limit = seen[STATISTICS], limits["divergence"]
    if not statistics.layers:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No layer that keeps running statistics ran, so there is nothing to compare.",
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
    trial = seen.get(TRIAL)
    proof = _proof(trial, limits, seen)
    layers = [layer for layer in given if layer.count >= FEWEST and layer.mean.size]
    usable = layers or [layer for layer in given if layer.mean.size]
    if not usable or (not layers and proof is None):
        most = max(layer.count for layer in statistics.layers)
        return Judgement(
            Verdict.INFO,
            f"Batch-norm layers were given at most {counted(most, 'value')} per channel, too few "
            f"to compare with what they remember; {FEWEST} are needed.",
        )
    order = seen.get(SEQUENCE)
    shared = {one.layer for one in order.norms if one.calls > 1} if order is not None else set()
    judged = _judged(usable, trial, limit, shared)
    stale = [one for one in judged if one.verdict is not Verdict.PASS]
    verdict = max((one.verdict for one in judged), key=SEVERITY.__getitem__)
    source = f"{statistics.split} data"
    said = [_said(judged, stale, statistics.examples, source)]
    if stale and trial is not None and _shifted(stale, trial):
        verdict, stale = Verdict.INFO, []
        said.append(
            "They do describe what the layers are given in training mode, so that dropout before "
            "them, not staleness, parts the two: see `dropout-before-batch-norm`."
        )
    if shared:
        said.append(
            f"{counted(len(shared), 'layer')} that run{'s' if len(shared) == 1 else ''} several "
            "times a pass, each time on something else, "
            f"{'is' if len(shared) == 1 else 'are'} left to `batch-norm-misused`."
        )
    if proof is not None:
        verdict, more = _proven(verdict, proof, statistics.split)
        said.append(more)
        if verdict in (Verdict.WARN, Verdict.FAIL) and not any(one.guilty for one in stale):
            odd = _odd(judged)
            said.append(
                f"By a few of its channels `{clean_text(odd[0].layer.layer)}` is farthest off by "
                f"itself, {odd[0].odd:.2g} nats in the mean."
            )
            stale = [*odd, *(one for one in stale if all(one is not other for other in odd))]
    else:
        why = seen.missing(TRIAL) or (trial.note if trial is not None else "") or "no loss is known"
        said.append(f"What computing them anew would do was not tried: {why.rstrip('.')}.")
    unsettled = [one for one in judged if one.open]
    if unsettled and verdict in (Verdict.PASS, Verdict.INFO):
        verdict = Verdict.INFO
        said.append(_unsettled(unsettled[0], statistics.examples, limit, len(judged)))
    if statistics.split == "val":
        said.append(
            "Without training data this was measured on validation data, so a difference between "
            "the splits would show here too."
        )
    loud = verdict in (Verdict.WARN, Verdict.FAIL)
    if any(one.guilty for one in stale):
        stale.sort(key=lambda one: -np.nan_to_num(one.own) if one.guilty else math.inf)
    top = max(judged, key=lambda one: np.nan_to_num(one.value, nan=np.inf))
    return Judgement(
        verdict,
        " ".join(said),
        metrics=(
            Metric("divergence of the worst layer", top.value, "nats", *_bounds(top), limit),
            Metric("layers beyond the limit", len(stale), f"of {len(judged)}"),
            *_scores(proof, limits),
        ),
        where=tuple(
            Place("layer", clean_text(one.layer.layer), _note(one)) for one in stale[:MOST]
        ),
        advice=_advice(stale, proof) if loud else (),
        figures=(_figure(judged, limit),),
    )


def _judged(
    layers: list[BatchNormLayer], trial: NormTrial | None, limit: Limit, shared: set[str]
) -> list[Judged]:
    found, count = [], len(layers)
    anew = {layer.layer: layer for layer in trial.given} if trial is not None else {}
    for layer in layers:
        value, low, high = layer.typical()
        _, sure, _ = layer.typical(1 - 0.01 / count)
        few = layer.count < FEWEST or layer.layer in shared
        beyond = Verdict.PASS if few else limit.verdict(value, sure, math.inf)
        settled = limit.warn is None or sure > limit.warn
        verdict = worst((beyond if settled else Verdict.PASS, _untouched(layer, value)))
        sound = anew.get(layer.layer)
        sound = sound if sound is not None and _given(sound) else None
        own = sound.typical()[0] if sound is not None else math.nan
        least = NEGLIGIBLE if _never_updated(layer) else (limit.warn or 0)
        found.append(
            Judged(
                layer,
                value,
                low,
                high,
                verdict,
                beyond is not Verdict.PASS and verdict is Verdict.PASS,
                own,
                guilty=not own <= least,
                odd=float(np.nan_to_num((sound or layer).divergence, nan=np.inf).mean()),
            )
        )
    return found


def _shifted(stale: list[Judged], trial: NormTrial) -> bool:
    """Tell whether all fit what they are given in training mode, but dropout shifts that."""
    if not trial.shift.size or any(one.guilty for one in stale):
        return False
    names = [layer.layer for layer in trial.given]
    shifts = dict(zip(names, trial.shifts(SURE), strict=True))
    bounds = [shifts.get(one.layer.layer, (1.0, 1.0, 1.0))[1:] for one in stale]
    return all(low > SHIFTED or high < 1 / SHIFTED for low, high in bounds)


def _odd(judged: list[Judged]) -> list[Judged]:
    """Return the layers that are farthest off by themselves, by a few of their channels."""
    ranked = sorted(judged, key=lambda one: -one.odd)
    return [one for one in ranked if one.odd >= ranked[0].odd / 10][:5]


def _proof(trial: NormTrial | None, limits: Limits, seen: Seen) -> Proof | None:
    gains = trial.gains("as it is", "computed anew", seen.rng) if trial is not None else ()
    if trial is None or not gains:
        return None
    limit = {gain.measure: limit_on(gain, limits) for gain in gains}
    verdicts = {gain.measure: gain.verdict(limit[gain.measure]) for gain in gains}
    top = max(gains, key=lambda gain: SEVERITY[verdicts[gain.measure]])
    return Proof(
        trial,
        top,
        verdicts[top.measure],
        nothing=all(gain.nothing(limit[gain.measure]) for gain in gains[:1]),
        worse=any(gain.sure_high < -_worth(limit[gain.measure]) for gain in gains),
    )


def _worth(limit: Limit) -> float:
    return math.inf if limit.warn is None else limit.warn


def _proven(verdict: Verdict, proof: Proof, split: str) -> tuple[Verdict, str]:
    """Return the verdict in the light of the proof, and what is said of it."""
    gain = proof.gain
    shown = f"statistics computed anew from {counted(proof.trial.examples, 'example')} of {split}"
    if proof.verdict is not Verdict.PASS:
        said = f"Proven on a copy: {shown} data bring it from {gain.shown}."
        if split == "val" and verdict is Verdict.PASS:
            return Verdict.INFO, said
        return worst((verdict, proof.verdict)), said
    if verdict is Verdict.PASS:
        return verdict, f"On a copy {shown} data change little: {gain.shown}."
    if proof.worse:
        return verdict, (
            f"On a copy {shown} data make it worse ({gain.shown}): the data given to the audit is "
            "not prepared as that of the training was, or the splits are not alike."
        )
    if proof.nothing and verdict in MILDER:
        return MILDER[verdict], (
            f"On a copy {shown} data change nothing worth the while ({gain.shown}), so that what "
            "they differ by does no harm here."
        )
    return verdict, f"On a copy {shown} data bring it from {gain.shown}."


def _said(judged: list[Judged], stale: list[Judged], examples: int, source: str) -> str:
    top = max(judged, key=lambda one: np.nan_to_num(one.value, nan=np.inf))
    if not stale:
        return (
            f"What {counted(len(judged), 'batch-norm layer')} remember"
            f"{'s' if len(judged) == 1 else ''} is at most {top.value:.2g} nats from what "
            f"{counted(examples, 'example')} of {source} give."
        )
    first = clean_text(stale[0].layer.layer)
    said = (
        f"{len(stale):,} of {counted(len(judged), 'batch-norm layer')} remember"
        f"{'s' if len(stale) == 1 else ''} statistics that do not describe {source}, first "
        f"`{first}` ({stale[0].value:.2g} nats), farthest "
        f"`{clean_text(top.layer.layer)}` ({top.value:.2g} nats); each stale layer shifts "
        "what the later ones are given."
    )
    untouched = [clean_text(o.layer.layer) for o in judged if _never_updated(o.layer)]
    return said + (f" Never updated since creation: {listed(untouched)}." if untouched else "")


def _unsettled(one: Judged, examples: int, limit: Limit, count: int) -> str:
    _, low, high = one.layer.typical(1 - 0.01 / count)
    wanted = examples_to_settle(examples, one.value, low, high, limit.warn or 0)
    more = f"; about {wanted:,} would" if wanted is not None else ""
    return (
        f"{counted(examples, 'example')} do not settle whether `{clean_text(one.layer.layer)}` "
        f"({one.value:.2g} nats) is beyond the limit of {limit.warn:g}{more}."
    )


def _bounds(one: Judged) -> tuple[float | None, float | None]:
    known = math.isfinite(one.low) and math.isfinite(one.high) and one.low <= one.value <= one.high
    return (one.low, one.high) if known else (None, None)


def _scores(proof: Proof | None, limits: Limits) -> tuple[Metric, ...]:
    if proof is None:
        return ()
    gain = proof.gain
    return (
        Metric("score as it is", gain.before, gain.measure),
        Metric("score with statistics computed anew", gain.after, gain.measure),
        gain.metric("gain by computing them anew", limit_on(gain, limits)),
    )


def _valid(layer: BatchNormLayer) -> bool:
    finite = np.isfinite(layer.running_mean).all() and np.isfinite(layer.running_var).all()
    return bool(finite and (layer.running_var >= 0).all())


def _given(layer: BatchNormLayer) -> bool:
    return bool(np.isfinite(layer.mean).all() and np.isfinite(layer.squares).all())


def _invalid(broken: list[BatchNormLayer]) -> Judgement:
    broken = sorted(broken, key=lambda layer: -_impossible(layer))
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
        figures=(
            Bars(
                title="Impossible running statistics",
                caption="Negative variances, and values that are not finite, of each layer's "
                f"means and variances.{how_many(min(len(broken), MOST), len(broken))}",
                label="statistics",
                labels=tuple(names[:MOST]),
                values=tuple(float(_impossible(layer)) for layer in broken[:MOST]),
                marked=(True,) * len(broken[:MOST]),
            ),
        ),
        advice=(
            step(
                f"Forget what `{names[0]}` remembers, compute the statistics anew from training "
                "data, and save the checkpoint again:",
                snippets.STATISTICS_ANEW,
            ),
            "Look for a batch that held NaN, or for code that averages or converts `running_var`.",
        ),
    )


def _impossible(layer: BatchNormLayer) -> int:
    statistics = np.asarray([layer.running_mean, layer.running_var], float)
    return int((layer.running_var < 0).sum() + (~np.isfinite(statistics)).sum())


def _never_updated(layer: BatchNormLayer) -> bool:
    return bool((layer.running_mean == 0).all() and (layer.running_var == 1).all())


def _untouched(layer: BatchNormLayer, figure: float) -> Verdict:
    return Verdict.WARN if _never_updated(layer) and figure > NEGLIGIBLE else Verdict.PASS


def _note(one: Judged) -> str:
    layer = one.layer
    tiny = np.finfo(float).tiny
    remembered = np.asarray(layer.running_var, float) + layer.eps
    remembered = np.maximum(remembered, tiny)
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.median((layer.variance + layer.eps) / remembered)
        shift = np.median(np.abs(layer.mean - layer.running_mean) / np.sqrt(remembered))
    fresh = "; never updated" if _never_updated(layer) else ""
    if not math.isnan(one.own) and one.own <= NEGLIGIBLE and one.value > NEGLIGIBLE:
        fresh += "; sound itself, shifted by layers before it"
    return (
        f"{one.value:.2g} nats: mean off by {shift:.2g} deviations, variance {spread:.2g} times "
        f"what is remembered{fresh}"
    )


def _advice(stale: list[Judged], proof: Proof | None) -> tuple[str, ...]:
    name = clean_text(stale[0].layer.layer)
    shown = ""
    if proof is not None and proof.verdict is not Verdict.PASS:
        shown = f" On a copy that brings {proof.gain.shown}."
    lines = [
        step(
            f"Compute the statistics of `{name}` and all others anew from training data, and save."
            + shown,
            snippets.STATISTICS_ANEW,
        ),
        "Make sure that the audit's preprocessing (scaling, mean and deviation, channel order) is "
        "that of the training.",
    ]
    if any(_never_updated(one.layer) for one in stale):
        lines.append(
            "Statistics of exactly 0 and 1 were never updated: the layer was trained in evaluation "
            "mode, or its buffers were not loaded (`strict=False` hides that)."
        )
    return tuple(lines)


def _figure(judged: list[Judged], limit: Limit) -> Bars:
    kept = [judged[place] for place in foremost([one.value for one in judged])]
    spreads = [np.quantile(one.layer.divergence, (0.1, 0.9)) for one in kept]
    far = max(one.value for one in kept) > 100 * (limit.warn or math.inf)
    return Bars(
        title="How stale batch normalisation is",
        caption="Median over channels of the divergence between what a layer remembers and what it "
        "is given, layers in the order of execution; the bracket holds four channels in five."
        + how_many(len(kept), len(judged)),
        label="divergence (nats)",
        labels=tuple(clean_text(one.layer.layer) for one in kept),
        values=tuple(one.value for one in kept),
        low=tuple(float(low) for low, _ in spreads),
        high=tuple(float(high) for _, high in spreads),
        marked=tuple(one.verdict is not Verdict.PASS for one in kept),
        guides=limit.guides(),
        log=far and all(low > 0 for low, _ in spreads),
    )
