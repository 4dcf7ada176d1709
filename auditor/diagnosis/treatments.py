"""The treatment that a finding calls for; each is tried on copies, in seconds."""

import re
from typing import Literal

from auditor.core.finding import Finding
from auditor.core.verdict import Verdict
from auditor.diagnosis.rule import Trial
from auditor.observations.treatment import KEPT, TreatmentOver

MOST_NAMES = 20
"""Parameters of a finding that are initialised anew."""

PACE = 1e-3
"""The share of its size by which a step should move a weight (see `update-ratio-off`)."""

_ADVISED = re.compile(r"advised: (\([0-9., ]+\)|[0-9.]+(?:e[+-]?[0-9]+)?|True|False)")

_NUMBER = r"([0-9.]+(?:e[+-]?[0-9]+)?)"

_LEARNT_AT = re.compile(rf"learning rate {_NUMBER}")

_GAINS_AT = re.compile(rf"held back: {_NUMBER} gains")

FREED_AT = 1e-3
"""The rate, Adam's, at which `underfitted` trains a copy that it frees of all settings."""

GUESS = 30.0
"""How many times lower or higher a rate is tried than one that is off by nobody knows how much."""

_SMALL = re.compile(r"([0-9,]+); the noise scale of fresh weights is (?:above )?([0-9,]+) example")

USUAL_BATCH = 32
"""Examples that a batch which is too small is made to hold."""

LARGER_STEPS = 40
"""Steps that a trial of larger batches takes; copies beside it see as many examples."""


def always(treatment: TreatmentOver) -> Trial:
    """Return a trial that is the same whatever was found."""
    return lambda finding: treatment


def bare(finding: Finding | None) -> TreatmentOver | None:
    """Give the loss what goes into the last activation, where that is one too many."""
    for place in finding.where if finding is not None else ():
        if any(word in place.note for word in ("twice", "never outside", "ends in")):
            return TreatmentOver(bare=True)
    return None


def averaged(finding: Finding | None) -> TreatmentOver | None:
    """Take the steps that a loss averaged over the batch would take, at the same rate."""
    for place in finding.where if finding is not None else ():
        _, summed, rest = place.note.partition("summed: ")
        number = rest.partition(" ")[0].replace(",", "")
        if summed and number.isdigit() and int(number) > 1:
            return TreatmentOver(times=_round(1 / int(number)))
    return None


def anew(finding: Finding | None) -> TreatmentOver | None:
    """Make anew the parameters that the finding names."""
    names = parameters(finding)[:MOST_NAMES]
    return TreatmentOver(start="checkpoint", anew=",".join(names)) if names else None


def lifted(finding: Finding | None) -> TreatmentOver | None:
    """Set to zero the biases that the finding names, without any training.

    That alone makes a copy better where units were pushed down after they had learnt.
    """
    names = [name for name in parameters(finding) if name.rpartition(".")[2] == "bias"]
    if not names:
        return None
    return TreatmentOver(start="checkpoint", anew=",".join(names[:MOST_NAMES]), steps=0, seeds=1)


def larger_batches(finding: Finding | None) -> TreatmentOver | None:
    """Put several batches in one, where a batch is far below the noise scale of fresh weights.

    Copies see the same examples at the same rate, in fewer steps: where small batches do no harm,
    these learn less.
    """
    for place in finding.where if finding is not None else ():
        if found := _SMALL.match(place.note):
            batch, noise = (int(number.replace(",", "")) for number in found.groups())
            merged = min(noise, USUAL_BATCH) // max(1, batch)
            if merged > 1:
                return TreatmentOver(merged=merged, steps=LARGER_STEPS * merged)
    return None


def parameters(finding: Finding | None) -> list[str]:
    """Return the parameters that a finding names."""
    return [p.name for p in finding.where if p.kind == "parameter"] if finding else []


def clipped(finding: Finding | None) -> TreatmentOver | None:
    """Clip at the norm that nine in ten batches stay below."""
    norm = _metric(finding, "90th percentile")
    return TreatmentOver(clip_norm=_round(norm)) if norm is not None and norm > 0 else None


def too_fast(finding: Finding) -> bool:
    """Tell whether `update-ratio-off` saw steps that are far too long."""
    return bool(_beyond(finding, "above")) or _broke(finding)


def too_slow(finding: Finding) -> bool:
    """Tell whether `update-ratio-off` saw steps that are far too short, but steps."""
    return any(_beyond(finding, "below"))


def setting_off(finding: Finding) -> bool:
    """Tell whether `optimizer-off` blames a setting other than the rate."""
    names = {place.name for place in finding.where} - {"training.optimizer.lr"}
    return any(name.startswith("training.optimizer.") for name in names)


def optimizer_off(finding: Finding) -> bool:
    """Tell whether `optimizer-off` blames more than the rate, and than how the loop uses it."""
    others = ("training.optimizer.lr", "training.zero_grad")
    return not finding.where or any(place.name not in others for place in finding.where)


def rate_above(finding: Finding) -> bool:
    """Tell whether `optimizer-off` blames a rate that is above the one that it advises."""
    return any(now > advised for now, advised in _advised_rates(finding))


def rate_below(finding: Finding) -> bool:
    """Tell whether `optimizer-off` blames a rate that is below the one that it advises."""
    return any(now < advised for now, advised in _advised_rates(finding))


def put_right(finding: Finding | None) -> TreatmentOver | None:
    """Put the first setting that `optimizer-off` blames to what it advises."""
    for place in finding.where if finding is not None else ():
        name = place.name.removeprefix("training.optimizer.")
        found = _ADVISED.search(place.note)
        if name in (place.name, "lr") or found is None:
            continue
        if name == "weight_decay":
            return TreatmentOver(weight_decay=0.0)
        return TreatmentOver(setting=f"{name}={found[1]}")
    return None


def resumed(finding: Finding | None) -> TreatmentOver | None:
    """Go on from the checkpoint at the first rate, where a schedule had brought it to nothing."""
    for place in finding.where if finding is not None else ():
        if any(words in place.note for words in ("never stepped", "too early")):
            return TreatmentOver(start="checkpoint")
    return None


def held_back(finding: Finding) -> bool:
    """Tell whether `underfitted` saw copies held back by a rate below the one that freed them."""
    if _freed_at(finding) is not None:
        return True
    notes = [p.note for p in finding.where if p.name == "training.optimizer"]
    rates = [float(found[1]) for note in notes if (found := _LEARNT_AT.match(note))]
    return any(0 < rate < FREED_AT / 2 for rate in rates)


def _freed_at(finding: Finding | None) -> float | None:
    """Return the higher rate at which `underfitted` saw a copy gain, None where it saw none."""
    for place in finding.where if finding is not None else ():
        if place.name == "training.optimizer.lr" and (found := _GAINS_AT.search(place.note)):
            return float(found[1])
    return None


def not_narrow(finding: Finding) -> bool:
    """Tell whether `capacity-off` names no place that is too narrow."""
    return not any(place.kind == "layer" for place in finding.where)


def rate_down(finding: Finding | None) -> TreatmentOver:
    """Lower the rate to the one recommended, or in proportion to the pace of the weights."""
    fast = _beyond(finding, "above")
    return _rate(finding, PACE / max(fast) if fast else 1 / GUESS)


def rate_up(finding: Finding | None) -> TreatmentOver:
    """Raise the rate to the one recommended, or in proportion to the pace of the weights.

    Where copies of the checkpoint gained at a higher one, others go on at it for longer: fresh ones
    would have a plateau to cross first.
    """
    if (higher := _freed_at(finding)) is not None:
        return TreatmentOver(start="checkpoint", rate=_round(higher))
    slow = [pace for pace in _beyond(finding, "below") if pace > 0]
    return _rate(finding, PACE / min(slow) if slow else GUESS)


def in_words(treatment: TreatmentOver) -> str:
    """Return to what a treatment sets the rate, for the middle of a sentence."""
    if treatment.rate != KEPT:
        return f"to `{treatment.rate:g}`"
    factor = treatment.times if treatment.times >= 1 else 1 / treatment.times
    return f"{factor:.2g} times"


def _rate(finding: Finding | None, times: float) -> TreatmentOver:
    """Try the rate that is recommended, where one is; else a multiple."""
    known = _metric(finding, "recommended to begin with")
    if known is not None and known > 0:
        return TreatmentOver(rate=_round(known))
    return TreatmentOver(times=_round(times))


def _advised_rates(finding: Finding) -> list[tuple[float, float]]:
    """Return each rate that `optimizer-off` blames, and the one that it advises."""
    notes = [place.note for place in finding.where if place.name == "training.optimizer.lr"]
    found = [re.match(rf"{_NUMBER}, advised: {_NUMBER}", note) for note in notes]
    return [(float(one[1]), float(one[2])) for one in found if one is not None]


def _beyond(finding: Finding | None, side: Literal["above", "below"]) -> list[float]:
    """Return the paces of the weights, in shares of their size, that are beyond a limit."""
    return [
        float(metric.value)
        for metric in (finding.metrics if finding is not None else ())
        if metric.name.startswith("update ratio") and metric.value is not None
        if metric.limit is not None and metric.limit.bad == side
        if metric.limit.verdict(metric.value) is not Verdict.PASS
    ]


def _broke(finding: Finding | None) -> bool:
    """Tell whether the loss broke after some steps."""
    return finding is not None and any(
        place.name == "training.optimizer.lr" and "moves the median" not in place.note
        for place in finding.where
    )


def _metric(finding: Finding | None, *names: str) -> float | None:
    for name in names:
        for metric in finding.metrics if finding is not None else ():
            if metric.name.startswith(name) and metric.value is not None:
                return float(metric.value)
    return None


def _round(value: float) -> float:
    """Return a value to two digits, which is as much as anybody would type."""
    return float(f"{value:.2g}")
