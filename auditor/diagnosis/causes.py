"""Grouping findings by the cause that they share, the most likely one first."""

import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from auditor.core.finding import Finding
from auditor.core.record import Cause, Remedy
from auditor.core.request import Failed, Unavailable
from auditor.core.text import clean_text, listed
from auditor.diagnosis.rule import Cure
from auditor.diagnosis.suspects import Measured, Proof, Suspect, ranked, suspects_in
from auditor.diagnosis.treatments import in_words, parameters
from auditor.diagnosis.trying import (
    Answers,
    Effect,
    all_together,
    effect,
    joint_effect,
    proof_of,
)
from auditor.observations.treatment import TreatmentOver, Tried

_NUMBER = re.compile(r"^\d+\. ")
"""What numbers a step of advice: remedies stand in an order of their own."""

TOGETHER = "Treat the causes below as well: all remedies at once, at the learning rate as it is."
"""What is said of all treatments together."""

BESIDE = ", the other causes treated"

VAIN = 2
"""Where remedies stand that were tried in vain: behind what helped and what was not tried."""

WORDS = {
    Proof.CONFIRMED: "confirmed by a trial",
    Proof.WITH_OTHERS: "confirmed by a trial with the other causes treated",
    Proof.SEEN: "seen directly",
    Proof.LIKELY: "likely",
    Proof.POSSIBLE: "possible",
    Proof.IN_VAIN: "in doubt: its remedy did not help when tried",
}


def diagnosed(findings: Iterable[Finding], answers: Answers, seed: int) -> tuple[Cause, ...]:
    """Return the likely causes, each with the findings that it explains and its remedies.

    A finding stands with the first cause that explains it. What is seen only in findings that an
    earlier cause explains is no cause of its own, unless a trial confirms it or it is seen exactly.
    """
    suspects = suspects_in(findings)
    proofs = {s.rule.id: proof_of(s, suspects, answers, seed) for s in suspects}
    causes: list[Cause] = []
    claimed: set[str] = set()
    exact = {root for suspect in suspects if suspect.exact for root in suspect.roots}
    for suspect in ranked(suspects, proofs):
        proof = proofs[suspect.rule.id]
        proven = proof in (Proof.CONFIRMED, Proof.WITH_OTHERS)
        if claimed.issuperset(suspect.roots) and not proven and not suspect.exact:
            continue
        found = (*suspect.roots, *suspect.explained)
        apart = exact.difference(suspect.roots)
        own = tuple(check for check in found if check not in claimed and check not in apart)
        claimed.update(own)
        joint = joint_effect(suspect, suspects, answers, seed)
        remedies = _remedies(suspect, answers, seed, joint)
        title = _title(suspect)
        confidence = _confidence(suspect, proof, joint)
        causes.append(Cause(suspect.rule.id, title, confidence, own, remedies))
    whole = all_together(suspects)
    done = effect(whole, answers, seed) if whole is not None else None
    if done is not None and len(causes) > 1:
        causes[0] = replace(causes[0], remedies=_with(causes[0].remedies, _tried(TOGETHER, done)))
    return tuple(causes)


def _confidence(suspect: Suspect, proof: Proof, joint: Effect | None) -> str:
    """Return in words how sure a cause is; of a fact, what a trial showed too."""
    if suspect.plain_proof is not Proof.SEEN:
        return WORDS[proof]
    if proof is Proof.SEEN and joint is not None and joint.helped:
        proof = Proof.WITH_OTHERS
    return WORDS[proof] if proof is Proof.SEEN else f"{WORDS[Proof.SEEN]}, {WORDS[proof]}"


def _title(suspect: Suspect) -> str:
    place = suspect.sight.place(suspect.finding) if suspect.sight and suspect.finding else None
    if place is None:
        return suspect.rule.plain
    shown = {"place": clean_text(place.name, 80), "note": clean_text(place.note, 80)}
    wanted = [word for word in shown if f"{{{word}}}" in suspect.rule.title]
    if not all(shown[word] for word in wanted):
        return suspect.rule.plain
    return suspect.rule.title.format(**shown)


def _remedies(
    suspect: Suspect, answers: Answers, seed: int, joint: Effect | None
) -> tuple[Remedy, ...]:
    """Return what to do: what helped, what was not tried, and last what was tried in vain."""
    told = suspect.finding.advice if suspect.finding is not None else ()
    advice = [_NUMBER.sub("", line) for line in told]
    own = suspect.measured
    groups: list[list[Remedy]] = []
    for cure, treatment in suspect.treatments:
        if cure.fallback and treatment not in answers:
            continue
        text = _text(cure, treatment, suspect, advice)
        group = [_remedy(text, treatment, answers, seed)]
        if treatment == suspect.first:
            if own is not None:
                group = [_measured(text, own)]
            if joint is not None:
                group = _beside(group[0], joint)
        groups.append(group)
    if own is not None and not suspect.treatments and advice:
        groups.append([_measured(advice.pop(0), own)])
    groups += [[Remedy(text)] for text in advice]
    groups.sort(key=_usefulness)
    # What does as well as a remedy that was tried in vain has no place before it.
    groups += [[Remedy(text)] for text in suspect.rule.equally]
    return tuple(remedy for group in groups for remedy in group)


def _beside(alone: Remedy, joint: Effect) -> list[Remedy]:
    """Return what a remedy did alone and what it did beside all others, the better one first."""
    if not alone.tried:
        return [_tried(alone.text, joint, BESIDE)]
    if joint.helped and not alone.helped:
        return [_tried(alone.text, joint, BESIDE), replace(alone, text="The same remedy alone.")]
    return [alone, _tried("The same, the other causes treated.", joint, BESIDE)]


def _usefulness(group: list[Remedy]) -> int:
    first = group[0]
    return 0 if first.helped else VAIN if first.tried else 1


def _measured(text: str, own: Measured) -> Remedy:
    measure = f"{own.measure} of copies, tried by the check itself"
    return Remedy(text, True, own.before, own.after, measure, own.helped)


def _text(cure: Cure, treatment: TreatmentOver, suspect: Suspect, advice: list[str]) -> str:
    """Return what a cure is in words: advice that says the same is taken out of `advice`."""
    same = next(
        (line for line in advice if cure.like and _NUMBER.sub("", line).startswith(cure.like)), None
    )
    if same is not None:
        advice.remove(same)
        return same
    names = listed([f"`{name}`" for name in parameters(suspect.finding)])
    return cure.text.format(names=names, rate=in_words(treatment))


def _remedy(text: str, treatment: TreatmentOver, answers: Answers, seed: int) -> Remedy:
    done = effect(treatment, answers, seed)
    if done is not None:
        return _tried(text, done)
    lacking = [answers.get(request) for request in (*treatment.controls, treatment)]
    why = next((a.reason for a in lacking if isinstance(a, Failed | Unavailable)), "")
    return Remedy(text, measure=f"could not be tried: {clean_text(why)}" if why else "")


def _tried(text: str, done: Effect, more: str = "") -> Remedy:
    measure = f"{done.after.measure} {done.after.what}{more}"
    return Remedy(text, True, _mean(done.before), _mean(done.after), measure, done.helped)


def _mean(tried: Tried) -> float:
    return float(np.mean(tried.scores))


def _with(remedies: tuple[Remedy, ...], more: Remedy) -> tuple[Remedy, ...]:
    """Return remedies with one more behind those that helped."""
    place = sum(remedy.helped for remedy in remedies)
    return (*remedies[:place], more, *remedies[place:])
