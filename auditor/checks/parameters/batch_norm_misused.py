"""Batch norm without variance or updates, on tiny batches, shared by inputs, or deaf to the mode.

What it does
------------
Looks at the settings and the use of every layer that normalises over a batch: variances next to
nothing, statistics never or seldom updated, momentum, the size of batches, modes, layers that are
given several inputs, biases in front; and compares the model on the statistics of its batches, as
in training, with the model on running statistics, as in evaluation.

Why it matters
--------------
Batch norm is two layers in one: in training it normalises by the batch, in evaluation by what it
remembers. Whatever makes the two differ is learnt around in training and missed in use, and no
error tells.

How it is measured
------------------
Settings and counts are read from the layers (or from the checkpoint), one batch in training mode
shows the order in which things run, how often each layer runs and on how many values, and one
experiment scores a copy four times on the same examples with dropout off: as it is, with running
statistics computed anew, and normalised by batches of the training's size, mixed and cut from
validation data. A setting by itself is information. It warns or fails where what it spoils is
measured: where computing statistics anew, or the statistics of batches, change the score beyond
doubt (99 %). Without a score the settings warn that leave no doubt: a momentum of 0, statistics
never updated though the model was trained.

A channel is blown up where its running variance is next to eps and what it is given is ten of the
remembered deviations and more; half of a layer's channels warn, fewer where it does harm. A layer
whose inputs vary by less than eps no longer normalises. Batches of 3 and 4 examples warn where
the score on the statistics of batches is another than on those of all; of 1 and 2 they always do,
as a ResNet-50 lost 11 points of accuracy by them (Wu & He 2018). Of two values to a channel batch
norm leaves the signs.

When it misleads
----------------
Frozen statistics, shared layers and biases in front of batch norm are often meant; they are listed.
The batch size is that of the loader where none is declared. Validation data unlike the training
data makes the statistics of its batches better than any that are remembered: that is said, not held
against batch norm.

What to do
----------
Follow the advice on each layer; then compute the running statistics anew and save.

Source
------
Ioffe & Szegedy 2015, "Batch Normalization" (section 3.1: moving averages; 3.2: the bias is
subsumed); Wu & He 2018, "Group Normalization", figure 1 (error by batch size); Wu & Johnson 2021,
"Rethinking 'Batch' in BatchNorm", sections 3 to 5; Goyal et al. 2017, "Accurate, Large Minibatch
SGD" (scales of zero at the end of residual branches).
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import reading_order
from auditor.core.text import clean_text, counted
from auditor.core.values import Array
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.batch_norm import BatchNormStatisticsOver
from auditor.observations.norm_faults import RULES, Fault, Known, judged_gain
from auditor.observations.norm_layers import NormLayersOf, NormSequenceOver
from auditor.observations.norm_trial import ARMS, Arm, Gain, NormTrial, NormTrialOver, limit_on
from auditor.observations.settings import Settings, SettingsOf

NORMS = NormLayersOf()
STATISTICS = BatchNormStatisticsOver()
SEQUENCE = NormSequenceOver()
TRIAL = NormTrialOver()
SETTINGS = SettingsOf()

MOST = 40
"""Layers that are told one by one."""

LOUD = (Verdict.WARN, Verdict.FAIL)


@check(
    title="Batch norm is set and used soundly",
    failure_title="Batch norm is misused",
    needs=(NORMS,),
    wants=(STATISTICS, SEQUENCE, TRIAL, SETTINGS),
    limits={
        "accuracy_gain": Limit(
            warn=0.05,
            fail=0.2,
            source="share of examples that are right or wrong by which statistics are used; "
            "healthy models of batches of 32 show 0.02",
        ),
        "error_gain": Limit(
            warn=0.5,
            fail=2.0,
            source="share of the error or cross-entropy by which they differ; healthy models show "
            "up to 0.8 more on the statistics of batches of 32, which is held against 8 and less",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the settings of each layer by what they spoil."""
    norms = seen[NORMS]
    if not norms.layers:
        return Judgement(Verdict.NOT_APPLICABLE, "There is no layer that normalises over a batch.")
    trial = seen.get(TRIAL)
    sound: Arm = "without dropout" if trial is not None and trial.drops else "computed anew"
    known = Known(
        norms,
        seen.get(STATISTICS),
        seen.get(SEQUENCE),
        trial,
        seen.get(SETTINGS) or Settings(),
        harm=judged_gain(_gains(trial, "as it is", "computed anew", seen), limits),
        mismatch=judged_gain(_gains(trial, sound, "on the batch", seen), limits),
        noise=_turned(judged_gain(_gains(trial, "on the batch", sound, seen), limits)),
    )
    faults = [fault for rule in RULES for fault in rule(known)]
    faults.sort(key=lambda fault: -SEVERITY[fault.verdict])
    loud = [fault for fault in faults if fault.verdict in LOUD]
    verdict = faults[0].verdict if faults else Verdict.PASS
    said = [fault.said for fault in (loud or faults)[:4]]
    if len(loud or faults) > 4:
        said.append(f"{counted(len(loud or faults) - 4, 'further remark')} of this kind left out.")
    if not faults and (known.statistics is None or known.sequence is None):
        why = seen.missing(STATISTICS) or seen.missing(SEQUENCE)
        verdict = Verdict.INFO
        said.append(
            f"The settings of {counted(len(norms.layers), 'layer')} look sound; what they do could "
            f"not be measured: {why.rstrip('.')}."
        )
    elif not faults:
        said.append(_all_well(known))
    places: dict[tuple[str, str], None] = {}
    for fault in loud:
        places |= dict.fromkeys(fault.layers)
    advice = [line for fault in loud for line in fault.advice]
    return Judgement(
        verdict,
        " ".join(said),
        metrics=_metrics(known, sound, limits, seen),
        where=tuple(Place("layer", clean_text(name), note) for name, note in list(places)[:MOST]),
        advice=tuple(dict.fromkeys(advice)),
        figures=(*_modes_table(trial), _table(known, loud)),
    )


def _gains(trial: NormTrial | None, before: Arm, after: Arm, seen: Seen) -> tuple[Gain, ...]:
    return trial.gains(before, after, seen.rng) if trial is not None else ()


def _turned(pair: tuple[Verdict, Gain | None]) -> tuple[Verdict, Gain | None]:
    """Return a gain from batch to running statistics as the loss that it is in training."""
    verdict, gain = pair
    if gain is None:
        return pair
    return verdict, Gain(
        gain.measure,
        gain.after,
        gain.before,
        -gain.value,
        -gain.high,
        -gain.low,
        -gain.sure_high,
        -gain.sure_low,
    )


def _all_well(known: Known) -> str:
    count = counted(len(known.norms.layers), "layer")
    _, gain = known.mismatch
    size = known.trial.size if known.trial is not None else 0
    measured = "" if gain is None else (
        f" On the statistics of batches of {size} a copy goes from {gain.shown}."
    )  # fmt: skip
    return f"Nothing is amiss with the settings and the use of {count}.{measured}"


def _metrics(known: Known, sound: Arm, limits: Limits, seen: Seen) -> tuple[Metric, ...]:
    found = []
    if known.settings.batch_size:
        found.append(Metric("batch size", float(known.settings.batch_size), "examples"))
    variances = [
        float(layer.running_var.min())
        for layer in (known.statistics.layers if known.statistics else ())
        if layer.running_var.size
    ]
    if variances:
        found.append(Metric("least running variance", min(variances)))
    gains = _gains(known.trial, sound, "on the batch", seen)[:1]
    for gain in gains:
        found += [
            Metric("score on running statistics computed anew", gain.before, gain.measure),
            Metric("score on the statistics of batches", gain.after, gain.measure),
            gain.metric("gain on the statistics of batches", limit_on(gain, limits)),
        ]
    return tuple(found)


def _modes_table(trial: NormTrial | None) -> tuple[Table, ...]:
    """Return the scores of all arms."""
    if trial is None or not trial.scores.size:
        return ()
    rows = []
    for place, arm in enumerate(ARMS):
        means = [
            _mean(table[place]) if table.size else None for table in (trial.scores, trial.entropies)
        ]
        if means[0] is not None:
            shown = f"{arm}, {trial.size} examples each" if arm == "on the batch" else arm
            rows.append((shown, *means))
    return (
        Table(
            title="The same examples on several statistics",
            caption="Statistics as they are, computed anew (dropout on; then off, where there is "
            "any), and of the batch as in training; lines that differ show what is at fault.",
            columns=("running statistics", trial.measure, "cross-entropy"),
            rows=tuple(rows),
        ),
    )


def _mean(values: Array) -> float | None:
    numbers = np.asarray(values, float)
    known = numbers[np.isfinite(numbers)]
    return float(known.mean()) if known.size else None


def _table(known: Known, loud: list[Fault]) -> Table:
    ran = {one.layer: one for one in known.sequence.norms} if known.sequence else {}
    guilty = {name for fault in loud for name, _ in fault.layers}
    order, said = reading_order([float(one.layer in guilty) for one in known.norms.layers])
    rows = []
    for place in order:
        one = known.norms.layers[place]
        here = ran.get(one.layer)
        rows.append(
            (
                clean_text(one.layer),
                one.kind,
                one.channels,
                "average" if one.momentum is None else _or_none(one.momentum),
                _or_none(one.updates),
                here.values if here is not None else None,
                one.constant if one.running else None,
                one.negatives if one.scales else None,
                clean_text(here.biased) if here is not None else "",
            )
        )
    return Table(
        title="Layers that normalise over a batch",
        caption="Settings and counts as they stand; values are those per channel of one batch, "
        "switched off are channels whose running variance is below eps." + said,
        columns=(
            "layer",
            "kind",
            "channels",
            "momentum",
            "batches counted",
            "values",
            "switched off",
            "negative scales",
            "bias in front",
        ),
        rows=tuple(rows),
    )


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
