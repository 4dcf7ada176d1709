"""Dropout that shifts the variance batch norm remembers, in the order in which things run.

What it does
------------
Follows tensors from each dropout to the batch norms that they reach, in the order in which things
really run, and measures at each batch norm how the variance of its inputs differs between training
and evaluation mode, and what that costs.

Why it matters
--------------
Batch norm behind dropout learns the larger variance that dropout makes; in evaluation mode dropout
is off, and the layer scales its outputs by a deviation that is not there. The layers behind were
never trained on what they are given then: nothing raises, and accuracy or, sooner, confidence is
lost.

How it is measured
------------------
Dropout sets values to zero and enlarges the others, which keeps the mean but adds variance. One
batch in training mode shows what drops (modules, functions called in a `forward`, masks drawn from
a Bernoulli distribution) and which batch norms its output reaches with no other normalisation
between. On a copy the running statistics are computed anew in training mode, dropout on, as an
endlessly long training would have them; then the variance of each layer's inputs is compared batch
by batch: training mode over evaluation mode, the median over channels, with Student's interval of
the logarithms. Under one dropout of share p and inputs of mean 0 it is 1 / (1 - p).

The proof: the copy is scored with these statistics, and with others computed anew with dropout off.
All else is the same, so that the difference, over the same examples, is what the shift costs. It
has to be there at 99 % to warn. A shift that costs nothing is told as information, however large.

When it misleads
----------------
Computing statistics with dropout off is not how the model would do had it been trained with dropout
elsewhere; that may be better still. Masks that the model draws in evaluation mode too shift nothing
and are listed all the same. Dropout inside attention called as a function is not followed.

What to do
----------
Put dropout behind the last batch norm, usually right before the last linear layer; or drop less.
Where the model can't be trained again, compute the running statistics with dropout off.

Source
------
Li, Chen, Hu, Yang 2019, "Understanding the Disharmony between Dropout and Batch Normalization by
Variance Shift" (the shift's ratio, sections 3 and 4; dropout behind all batch norms, section 5).
"""

import math

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Guide, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.foremost import foremost, how_many, reading_order
from auditor.core.text import clean_text, counted, interval
from auditor.core.verdict import SEVERITY, Verdict
from auditor.observations.norm_layers import DropoutBefore, NormSequenceOver
from auditor.observations.norm_trial import Gain, NormTrial, NormTrialOver, limit_on

SEQUENCE = NormSequenceOver()
TRIAL = NormTrialOver()

MOST = 40
"""Pairs that are told one by one."""

Shift = tuple[float, float, float]
UNKNOWN: Shift = (math.nan, math.nan, math.nan)


@check(
    title="Batch norm is not misled by dropout before it",
    failure_title="Dropout shifts the variance that batch norm remembers",
    needs=(SEQUENCE,),
    wants=(TRIAL,),
    limits={
        "shift": Limit(
            warn=1.1,
            source="ratio of variances; dropout of 0.1 gives 1.11, and residual blocks with 0.3 "
            "between their convolutions 0.92 to 1.16 at no measurable cost",
        ),
        "accuracy_gain": Limit(
            warn=0.02, fail=0.1, source="share of examples that dropout before batch norm costs"
        ),
        "error_gain": Limit(
            warn=0.1,
            fail=0.5,
            source="share of the error (or cross-entropy, which does not fail) that it adds",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the shift at each batch norm that dropout reaches by what it costs."""
    order = seen[SEQUENCE]
    if not order.norms:
        return Judgement(
            Verdict.NOT_APPLICABLE, "No layer with running statistics ran on the batch seen."
        )
    if not order.dropouts:
        return Judgement(
            Verdict.NOT_APPLICABLE, "Nothing drops in training mode, so no variance is shifted."
        )
    if not order.pairs:
        return Judgement(
            Verdict.PASS,
            f"Of {counted(len(order.dropouts), 'dropout')} none reaches any of "
            f"{counted(len(order.norms), 'batch-norm layer')}.",
        )
    trial = seen.get(TRIAL)
    shifts = _shifts(trial, 0.95)
    pairs = sorted(order.pairs, key=lambda pair: -_size(shifts.get(pair.norm, UNKNOWN)[0]))
    first = pairs[0]
    shift = shifts.get(first.norm, UNKNOWN)
    said = (
        f"Dropout reaches a batch norm in {counted(len(pairs), 'place')}: the worst is "
        f"`{clean_text(first.dropout)}`{_share(first)} before `{clean_text(first.norm)}`"
    )
    places = tuple(
        Place("layer", clean_text(pair.norm), _note(pair, shifts.get(pair.norm, UNKNOWN)))
        for pair in pairs[:MOST]
    )
    if trial is None or math.isnan(shift[0]):
        why = seen.missing(TRIAL) or (trial.note if trial is not None else "") or "nothing dropped"
        return Judgement(
            Verdict.INFO,
            f"{said}. What that does to the variance could not be measured: {why}.",
            where=places,
        )
    sure = _shifts(trial, 1 - 0.01 / len(shifts))
    shifted = [pair for pair in pairs if _beyond(sure.get(pair.norm, UNKNOWN), limits["shift"])]
    gains = trial.gains("computed anew", "without dropout", seen.rng)
    verdict, gain = _cost(gains, limits) if shifted else (Verdict.PASS, None)
    said += (
        f", whose inputs have in training {shift[0]:.3g} times the variance of evaluation mode"
        f"{interval(shift[1], shift[2])}"
    )
    if verdict is Verdict.PASS:
        verdict = Verdict.INFO
        said += _harmless(gains, limits, bool(shifted), trial)
    elif gain is not None:
        said += (
            f". Statistics computed with dropout off bring a copy from {gain.shown}, which the "
            "shift alone accounts for."
        )
    return Judgement(
        verdict,
        said,
        metrics=(
            _metric(shift, limits["shift"]),
            Metric("dropouts that reach a batch norm", len({pair.dropout for pair in pairs})),
            *_scores(trial, gain, gains, limits, seen),
        ),
        where=places,
        advice=() if gain is None or verdict is Verdict.INFO else _advice(first, gain),
        figures=(_bars(trial, shifts, {pair.norm for pair in pairs}), _table(pairs, shifts)),
    )


def _shifts(trial: NormTrial | None, confidence: float) -> dict[str, Shift]:
    if trial is None or not trial.shift.size:
        return {}
    names = [layer.layer for layer in trial.given]
    return dict(zip(names, trial.shifts(confidence), strict=True))


def _size(ratio: float) -> float:
    """Return how far a ratio is from 1, in either direction; of none it is least."""
    return abs(math.log(ratio)) if ratio > 0 else -1.0


def _beyond(shift: Shift, limit: Limit) -> bool:
    warn = math.inf if limit.warn is None else limit.warn
    return shift[1] > warn or shift[2] < 1 / warn


def _cost(gains: tuple[Gain, ...], limits: Limits) -> tuple[Verdict, Gain | None]:
    """Return the worst verdict on what the shift costs, with the measure that gives it."""
    verdicts = [(gain.verdict(limit_on(gain, limits)), gain) for gain in gains]
    return max(verdicts, key=lambda pair: SEVERITY[pair[0]], default=(Verdict.PASS, None))


def _harmless(gains: tuple[Gain, ...], limits: Limits, shifted: bool, trial: NormTrial) -> str:
    if not shifted:
        return ", which is too little to matter."
    if not gains:
        return ". Without a loss and a metric it can't be told what that costs."
    if all(gain.nothing(limit_on(gain, limits)) for gain in gains):
        return f". It costs nothing that can be measured: {gains[0].shown} without it."
    most = max(gains, key=lambda gain: gain.sure_high)
    return (
        f". {len(trial.scores[0]):,} examples do not show that it costs anything ({most.shown} "
        f"without it, 99 % interval of the gain {most.sure_low:.2g} to {most.sure_high:.2g}); four "
        "times as many would halve the interval."
    )


def _scores(
    trial: NormTrial,
    gain: Gain | None,
    gains: tuple[Gain, ...],
    limits: Limits,
    seen: Seen,
) -> tuple[Metric, ...]:
    shown = gain or next(iter(gains), None)
    if shown is None:
        return ()
    whole = next(
        (g for g in trial.gains("as it is", "without dropout", seen.rng)
         if g.measure == shown.measure),
        shown,
    )  # fmt: skip
    return (
        Metric("score as it is", whole.before, shown.measure),
        Metric("score with statistics without dropout", whole.after, shown.measure),
        shown.metric("gain without the shift", limit_on(shown, limits)),
    )


def _metric(shift: Shift, limit: Limit) -> Metric:
    known = math.isfinite(shift[1]) and math.isfinite(shift[2])
    low, high = shift[1:] if known else (None, None)
    return Metric("shift of variance at the worst layer", shift[0], "times", low, high, limit)


def _share(pair: DropoutBefore) -> str:
    return "" if math.isnan(pair.share) else f" (p = {pair.share:g})"


def _note(pair: DropoutBefore, shift: Shift) -> str:
    ratio = "" if math.isnan(shift[0]) else f": variance {shift[0]:.3g} times in training"
    return f"behind {clean_text(pair.dropout)}{_share(pair)}{ratio}"


def _advice(first: DropoutBefore, gain: Gain) -> tuple[str, ...]:
    return (
        step(
            "To mend the checkpoint without training, compute running statistics with dropout off, "
            f"and save. On a copy that brings {gain.shown}.",
            snippets.STATISTICS_WITHOUT_DROPOUT,
        ),
        f"When you train again, take `{clean_text(first.dropout)}`{_share(first)} from before "
        f"`{clean_text(first.norm)}` and put it behind the last batch norm, right before the last "
        "linear layer (Li et al. 2019).",
        "If dropout has to stay where it is, drop less (0.1 shifts the variance by about a tenth), "
        "or use `nn.LayerNorm` or `nn.GroupNorm`, which remember nothing.",
    )


def _bars(trial: NormTrial, shifts: dict[str, Shift], reached: set[str]) -> Bars:
    rows = [(name, shift) for name, shift in shifts.items() if math.isfinite(shift[0])]
    kept = foremost([_size(shift[0]) for _, shift in rows])
    shown = [rows[place] for place in kept]
    bounded = all(math.isfinite(low) and math.isfinite(high) for _, (_, low, high) in shown)
    return Bars(
        title="Variance in training over variance in evaluation",
        caption="Of what each batch norm is given, median over channels; at 1 nothing shifts. "
        "Marked layers stand behind dropout, the others behind a layer that is shifted."
        + how_many(len(shown), len(rows)),
        label="ratio of variances",
        labels=tuple(clean_text(name) for name, _ in shown),
        values=tuple(shift[0] for _, shift in shown),
        low=tuple(shift[1] for _, shift in shown) if bounded else (),
        high=tuple(shift[2] for _, shift in shown) if bounded else (),
        marked=tuple(name in reached for name, _ in shown),
        guides=(Guide(1.0, "no shift"),),
    )


def _table(pairs: list[DropoutBefore], shifts: dict[str, Shift]) -> Table:
    order, said = reading_order([_size(shifts.get(p.norm, UNKNOWN)[0]) for p in pairs])
    return Table(
        title="Dropout before batch norm",
        caption="Each dropout with the batch norms that it reaches; 1 / (1 - p) is the ratio where "
        "the inputs have mean 0 and nothing lies between." + said,
        columns=("dropout", "share dropped", "batch norm", "1 / (1 - p)", "ratio of variances"),
        rows=tuple(
            (
                clean_text(pairs[place].dropout),
                _or_none(pairs[place].share),
                clean_text(pairs[place].norm),
                _or_none(_predicted(pairs[place].share)),
                _or_none(shifts.get(pairs[place].norm, UNKNOWN)[0]),
            )
            for place in order
        ),
    )


def _predicted(share: float) -> float:
    return math.inf if share >= 1 else 1 / (1 - share)


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
