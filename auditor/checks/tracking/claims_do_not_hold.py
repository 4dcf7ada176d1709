"""Claimed metrics that the checkpoint does not reach.

What it does
------------
Measures each metric that the spec claims on validation data, and sets it beside the claim with its
interval. What the checkpoint itself records, such as `best_acc`, is told as well.

Why it matters
--------------
A number in a model card outlives the checkpoint, the data and the code that it was measured with.
Whoever builds on the model builds on that number.

How it is measured
------------------
From the outputs that other checks look at: accuracy, top-k accuracy, precision, recall and F1 by
their averages, AUC, average precision, mean IoU, cross-entropy, perplexity, the errors of a
regression and R². Names are understood in their usual spellings; a share above 1 is in per cent.
Shares of independent examples have their exact interval, all else a bootstrap over examples.
Claims are rounded, so that 0.97 stands for 0.965 to 0.975. The check warns where the interval of
99 %, all claims together, does not reach the claim, and fails where it misses it by more than the
limit below; where only a part of the data was read, it warns at most. A model that is surely better
than claimed is told of, as is a metric that is not known.

When it misleads
----------------
A claim may be of another split, such as test data, or in other units: a regression's targets are
often standardised. Precision, recall and F1 of several classes without a word on the average are
judged by the kindest one.

What to do
----------
Find out what the claim was measured on: which checkpoint, which data, which preparation. Then state
what holds, with its interval.

Source
------
Mitchell et al. 2019, "Model Cards for Model Reporting" (FAT*); Clopper & Pearson 1934 (Biometrika
26); Efron & Tibshirani 1993, "An Introduction to the Bootstrap"; DeLong et al. 1988 (Biometrics
44), the error of an AUC.
"""

import math

from auditor.core.advice import quoted, step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Figure, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.text import counted, listed
from auditor.core.verdict import Verdict, worst
from auditor.observations.claim_verdicts import Held, Unheld, held
from auditor.observations.claimed import FEWEST, Evidence
from auditor.observations.claims import ClaimsOf
from auditor.observations.performance import PerformanceOver
from auditor.observations.predictions import PredictionsOver
from auditor.observations.splits import SplitsOf, SplitsSeen

CLAIMS = ClaimsOf()
PERFORMANCE = PerformanceOver()
PREDICTIONS = PredictionsOver()
SPLITS = SplitsOf()


@check(
    title="What is claimed of the model holds",
    failure_title="A claim does not hold",
    needs=(CLAIMS,),
    wants=(PERFORMANCE, PREDICTIONS, SPLITS),
    limits={
        "shortfall": Limit(
            warn=0.0,
            fail=0.01,
            source="part of the claim that is missed for sure; 99 % of the reference is what "
            "MLPerf Inference asks of a changed model (Reddi et al. 2020)",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge each claim by whether its interval reaches it."""
    claims, limit = seen[CLAIMS], limits["shortfall"]
    if not claims.declared and not claims.recorded:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "Nothing is claimed: neither in the spec (`claims`) nor in the checkpoint.",
        )
    performance = seen.get(PERFORMANCE)
    predictions = seen.get(PREDICTIONS)
    if performance is None and predictions is None:
        reason = seen.missing(PERFORMANCE) or seen.missing(PREDICTIONS)
        return Judgement(Verdict.NOT_APPLICABLE, f"No claim can be measured: {reason}.")
    examples = performance.examples if performance is not None else 0
    examples = examples or (predictions.examples if predictions is not None else 0)
    if examples < FEWEST:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"Only {counted(examples, 'validation example')} were read; {FEWEST} are needed to "
            "measure a claim.",
        )
    found = held(claims.declared, claims.recorded, Evidence(performance, predictions), seen.rng)
    judged = [one for one in found if isinstance(one, Held)]
    verdicts = [_verdict(one, limit) for one in judged]
    verdict = worst(verdicts)
    if verdict is Verdict.PASS and Verdict.INFO in verdicts:
        verdict = Verdict.INFO
    partly = _partly(seen.get(SPLITS))
    if partly and verdict is Verdict.FAIL:
        verdict = Verdict.WARN
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    missed = sorted((one for one in judged if _missed(one, limit)), key=lambda one: -one.shortfall)
    said = [
        f"On {counted(examples, 'validation example')}:",
        *(_told(one, limit) for one in judged),
        *(f"Not judged: {one.name} {one.reason}." for one in found if isinstance(one, Unheld)),
        *partly,
    ]
    return Judgement(
        verdict,
        " ".join(said),
        metrics=tuple(map(_metric, judged)),
        where=tuple(map(_place, missed)) if bad else (),
        advice=_advice(missed) if bad else (),
        figures=_figures(judged, limit) if judged else (),
    )


def _partly(splits: SplitsSeen | None) -> list[str]:
    """Return a sentence where only a part of the validation data was read."""
    facts = splits.data.get("val") if splits is not None else None
    if facts is None or facts.complete:
        return []
    return [
        f"Only the first {facts.batches_read:,} of {facts.batches:,} batches of validation data "
        "were read, which may not stand for the rest."
    ]


def _missed(one: Held, limit: Limit) -> bool:
    return one.origin == "spec" and limit.verdict(one.shortfall) is not Verdict.PASS


def _verdict(one: Held, limit: Limit) -> Verdict:
    """Return the verdict on a claim; what only the checkpoint records is merely told."""
    verdict = limit.verdict(one.shortfall)
    if one.stale or (one.origin == "checkpoint" and verdict is not Verdict.PASS):
        return Verdict.INFO
    return verdict


def _told(one: Held, limit: Limit) -> str:
    """Return a sentence on a claim: what it is, what was measured, and whether it is reached."""
    by = "claimed" if one.origin == "spec" else "recorded in the checkpoint"
    note = f" ({one.what.kind}, {one.seen.note})" if one.seen.note else ""
    bounds = ""
    if all(map(math.isfinite, one.seen.told)):
        low, high = map(_number, one.seen.told)
        bounds = f" (95 % interval {low} to {high})"
    text = f"`{one.name}`{note}, {by} as {_number(one.claim)}, is {_number(one.seen.value)}{bounds}"
    sizes = sorted((abs(one.seen.value), abs(one.claim)))
    apart = not one.what.share and sizes[1] > 10 * sizes[0]
    units = ", unless the units are others" if apart else ""
    if limit.verdict(one.shortfall) is not Verdict.PASS:
        return f"{text}, surely worse{units}."
    return f"{text}, surely better{units}." if one.stale else f"{text}."


def _number(value: float) -> str:
    return f"{value:.4g}"


def _metric(one: Held) -> Metric:
    by = "claimed" if one.origin == "spec" else "recorded in the checkpoint"
    known = all(map(math.isfinite, one.seen.told))
    low, high = one.seen.told if known else (None, None)
    return Metric(
        one.name,
        one.seen.value,
        "share" if one.what.share else "",
        low,
        high,
        Limit(
            fail=one.bound,
            bad="below" if one.what.higher_is_better else "above",
            source=f"{by} as {_number(one.claim)}, to its rounding",
        ),
    )


def _place(one: Held) -> Place:
    note = f"claimed {_number(one.claim)}, measured {_number(one.seen.value)}"
    return Place("setting", f"claims.{one.name}", note)


def _advice(missed: list[Held]) -> tuple[str, ...]:
    lines = [
        f"  {quoted(one.name)}: {one.seen.value:.3g}"
        for one in missed
        if math.isfinite(one.seen.value)
    ]
    names = listed([one.name for one in missed], 3)
    return (
        f"Find out what the claim is of: whether {names} was measured with this checkpoint, these "
        "validation examples and this preparation of inputs.",
        "If an earlier checkpoint reached it, ship that one.",
        step(
            "Else state what holds:", "\n".join(["claims:", *lines[:10]]) if lines else "", "yaml"
        ),
    )


def _figures(judged: list[Held], limit: Limit) -> tuple[Figure, ...]:
    table = Table(
        title="Claims and measurements",
        caption="Each claim, who makes it, and what was measured, with its 95 % interval.",
        columns=("claim", "is", "of", "claimed", "measured", "low", "high"),
        rows=tuple(
            (
                one.name,
                one.what.name + (f" ({one.seen.note})" if one.seen.note else ""),
                one.origin,
                one.claim,
                one.seen.value,
                *one.seen.told,
            )
            for one in judged
        ),
    )
    shown = [one for one in judged if all(map(math.isfinite, one.seen.told))]
    if not shown:
        return (table,)
    bars = Bars(
        title="How far measurements are from claims",
        caption="Measured less claimed, as a part of the claim, with 95 % intervals; marked ones "
        "are surely missed.",
        label="measured less claimed, part of the claim",
        labels=tuple(one.name for one in shown),
        values=tuple(one.off(one.seen.value) for one in shown),
        low=tuple(one.off(one.seen.told[0]) for one in shown),
        high=tuple(one.off(one.seen.told[1]) for one in shown),
        marked=tuple(_missed(one, limit) for one in shown),
        guides=(Guide(0.0, "as claimed"),),
    )
    return table, bars
