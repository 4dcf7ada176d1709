"""Which remedies are tried on copies, in rounds, and what the trials show."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auditor.core.finding import Finding
from auditor.core.request import Request
from auditor.core.statistics import paired_bootstrap
from auditor.diagnosis.suspects import Proof, Suspect, ranked, suspects_in
from auditor.observations.treatment import TreatmentOver, Tried

Answers = Mapping[Request[Any], Any]

MOST = 8
"""Runs of copies in one audit, treated or not. They are counted, not timed, so that the same audit
tries the same every time; eight take some 10 seconds on a small convolutional network."""

ALONE = 4
"""Remedies that are tried alone; those that matter together have to be afforded too."""

SURE = 0.99
"""Confidence with which a remedy must have helped to confirm a cause."""


@dataclass(frozen=True)
class Effect:
    """Copies before and after a treatment, and whether it made them better beyond doubt."""

    before: Tried
    after: Tried
    helped: bool


def trials(findings: Iterable[Finding], answers: Answers, seed: int) -> tuple[TreatmentOver, ...]:
    """Return what to try next, each on copies, given what was found and what was tried already.

    First each remedy alone, against copies without any. Where that leaves causes unconfirmed, all
    remedies together, and all but the one of each such cause: two faults can hide each other. Then
    second remedies. Nothing is left to try when the answer is empty.
    """
    suspects = suspects_in(findings)
    wanted: list[TreatmentOver] = []
    for more in (_alone, _joint, _second):
        made = _with_controls(more(suspects, answers, seed))
        wanted = list(dict.fromkeys((*wanted, *made)))[:MOST]
        left = tuple(request for request in wanted if request not in answers)
        if left:
            return left
    return ()


def effect(treatment: TreatmentOver, answers: Answers, seed: int) -> Effect | None:
    """Return what a treatment did, None where it was not tried or could not be.

    It has helped where it beats each of its controls; told is how it compares with the first.
    """
    made = [compared(answers.get(one), answers.get(treatment), seed) for one in treatment.controls]
    if made[0] is None:
        return None
    return replace(made[0], helped=all(one is not None and one.helped for one in made))


def compared(before: Any, after: Any, seed: int) -> Effect | None:
    """Return how one trial compares with another, None where they can't be compared."""
    if not isinstance(before, Tried) or not isinstance(after, Tried):
        return None
    if before.measure != after.measure:
        return None
    return Effect(before, after, helped(before, after, np.random.default_rng(seed)))


def helped(before: Tried, after: Tried, rng: np.random.Generator) -> bool:
    """Tell whether copies became better beyond doubt: in every run, and over examples."""
    sign = 1.0 if after.higher else -1.0
    old, new = sign * np.asarray(before.scores, float), sign * np.asarray(after.scores, float)
    if old.shape[1:] != new.shape[1:] or not np.isfinite(new).all():
        return False
    if not np.isfinite(old).all():
        return True
    if not (new.mean(axis=1) > old.mean(axis=1)).all():
        return False
    low, _ = paired_bootstrap(new.mean(axis=0), old.mean(axis=0), rng, confidence=SURE)
    return low > 0


def all_together(suspects: Iterable[Suspect]) -> TreatmentOver | None:
    """Return the first treatments of all suspects as one, None where there is but one.

    The order of suspects makes no difference, so that it is the same before and after the trials.
    """
    parts = {treatment for suspect in suspects if (treatment := _combinable(suspect)) is not None}
    return _combined(parts) if len(parts) > 1 else None


def all_but(suspect: Suspect, suspects: Iterable[Suspect]) -> TreatmentOver | None:
    """Return the first treatments of all other suspects as one, from where all together start."""
    every = tuple(suspects)
    whole, own = all_together(every), _combinable(suspect)
    if whole is None or own is None:
        return None
    others = {_combinable(other) for other in every} - {own, None}
    made = _combined({treatment for treatment in others if treatment is not None})
    return replace(made, start=whole.start)


def proof_of(suspect: Suspect, suspects: tuple[Suspect, ...], answers: Answers, seed: int) -> Proof:
    """Return what speaks for a suspect, in view of what was tried."""
    alone = proof_alone(suspect, answers, seed)
    joint = joint_effect(suspect, suspects, answers, seed)
    if alone is not Proof.CONFIRMED and joint is not None and joint.helped:
        return max(Proof.WITH_OTHERS, suspect.plain_proof)
    return alone


def proof_alone(suspect: Suspect, answers: Answers, seed: int) -> Proof:
    """Return what speaks for a suspect, in view of what its remedies did alone."""
    effects = (effect(treatment, answers, seed) for _, treatment in suspect.treatments)
    tried = [one.helped for one in (suspect.measured, *effects) if one is not None]
    if any(tried):
        return Proof.CONFIRMED
    return Proof.IN_VAIN if tried and not suspect.fact else suspect.plain_proof


def joint_effect(
    suspect: Suspect, suspects: tuple[Suspect, ...], answers: Answers, seed: int
) -> Effect | None:
    """Return what a suspect's treatment adds to those of all others."""
    whole, rest = all_together(suspects), all_but(suspect, suspects)
    if whole is None or rest is None:
        return None
    return compared(answers.get(rest), answers.get(whole), seed)


def _alone(suspects: tuple[Suspect, ...], answers: Answers, seed: int) -> list[TreatmentOver]:
    """Return the first treatment of each suspect, to be tried alone, whatever was tried so far."""
    order = ranked(suspects, {s.rule.id: s.plain_proof for s in suspects})
    firsts = (suspect.first for suspect in order if suspect.measured is None)
    return list(dict.fromkeys(first for first in firsts if first is not None))[:ALONE]


def _second(suspects: tuple[Suspect, ...], answers: Answers, seed: int) -> list[TreatmentOver]:
    """Return other treatments: of suspects in doubt first, then what may do as well for others."""
    made: dict[Proof, list[TreatmentOver]] = {Proof.IN_VAIN: [], Proof.CONFIRMED: []}
    for suspect in suspects:
        proof = proof_of(suspect, suspects, answers, seed)
        for cure, treatment in suspect.treatments[1:]:
            if proof is Proof.IN_VAIN or (proof is Proof.CONFIRMED and not cure.fallback):
                made[proof].append(treatment)
    return made[Proof.IN_VAIN] + made[Proof.CONFIRMED]


def _joint(suspects: tuple[Suspect, ...], answers: Answers, seed: int) -> list[TreatmentOver]:
    """Return all treatments together, and all but that of each suspect still in doubt."""
    whole = all_together(suspects)
    sure = [
        suspect for suspect in suspects if proof_alone(suspect, answers, seed) is Proof.CONFIRMED
    ]
    open_ones = [
        suspect
        for suspect in suspects
        if _combinable(suspect) is not None
        and suspect not in sure
        and not any(suspect.comes_of(one) for one in sure)
    ]
    if whole is None or not open_ones:
        return []
    rests = (all_but(suspect, suspects) for suspect in open_ones)
    return [whole, *(rest for rest in rests if rest is not None)]


def _combinable(suspect: Suspect) -> TreatmentOver | None:
    """Return the first treatment of a suspect where it can be one of several.

    Not so a rate: the right one depends on what else is mended. Nor larger batches, which are
    compared by examples, not by steps, nor what is not trained from the start, nor a treatment for
    what no finding shows.
    """
    first = suspect.first
    if first is None or suspect.finding is None or first.paced or first.controls[0] != first.blank:
        return None
    if first.merged > 1:
        return None
    return first


def _combined(treatments: set[TreatmentOver]) -> TreatmentOver:
    parts = sorted(treatments, key=lambda treatment: treatment.key)
    return functools.reduce(TreatmentOver.together, parts)


def _with_controls(treatments: Iterable[TreatmentOver]) -> list[TreatmentOver]:
    """Return each treatment behind what it is to be compared with, none twice."""
    return list(dict.fromkeys(r for t in treatments for r in (*t.controls, t)))
