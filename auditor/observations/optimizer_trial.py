"""What a check says of the declared settings, once they were tried against others."""

from collections.abc import Sequence
from dataclasses import dataclass

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.finding import Limit, Place
from auditor.core.statistics import examples_to_settle
from auditor.core.text import clean_text, counted
from auditor.core.verdict import Verdict
from auditor.observations.optimizer_race import OptimizerRace, Racer
from auditor.observations.optimizer_rules import Hit
from auditor.observations.optimizer_standing import Standing, best_of, standing
from auditor.observations.said import Said

STANDARD = frozenset({"SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop"})
"""Kinds that good models are trained with every day: a lead over one of these in a few steps is
told, not blamed, for early steps say little about the end (Wu et al. 2018)."""


@dataclass(frozen=True)
class Trial:
    """What the race says: `standing` is what its verdict rests on.

    `level` tells whether the declared optimizer keeps up, `judged` whether the limits applied.
    """

    said: tuple[Said, ...]
    standing: Standing | None
    level: bool
    judged: bool = False


def tried(race: OptimizerRace, kind: str, hits: Sequence[Hit], limit: Limit) -> Trial:
    """Return what the race says; `hits` are the rules that the declared settings meet."""
    doubtful = [hit for hit in hits if hit.rule.level != "info"]
    declared, mended = race.racer("declared"), race.racer("mended")
    if declared is None:
        return Trial((_recommended(race),), None, False)
    if mended is not None and doubtful:
        return _against_mended(race, declared, mended, doubtful, limit)
    return _against_others(race, kind, limit)


def setting_places(hits: Sequence[Hit]) -> tuple[Place, ...]:
    """Return the settings at fault, with what they should be."""
    return tuple(
        Place("setting", _where(hit), f"{hit.value}, advised: {hit.rule.advised}") for hit in hits
    )


def _where(hit: Hit) -> str:
    same = hit.rule.setting == "optimizer"
    return "training.optimizer" if same else f"training.optimizer.{hit.rule.setting}"


def _against_mended(
    race: OptimizerRace, declared: Racer, mended: Racer, hits: Sequence[Hit], limit: Limit
) -> Trial:
    names = ", ".join(f"`{hit.named}`" for hit in hits)
    rate = any(hit.rule.setting == "lr" for hit in hits)
    # A rate of another kind of optimizer is shown to be off by any that a rate was found for.
    rivals = [mended, *(r for r in race.racers if rate and r.kind in ("SGD", "AdamW"))]
    all_found = [standing(race, declared, rival, len(rivals)) for rival in rivals]
    found = next((f for f in all_found if f is not None and _below(f, limit.warn)), all_found[0])
    there = _there(race)
    if found is None or not found.learns:
        other = f"{clean_text(mended.name, 120)} at {mended.rate:.3g}"
        text = f"Whether {names} does harm could not be seen {there}: {other} gets nowhere either."
        return Trial((Said(Verdict.INFO, text),), found, False)
    told = f"with {names} {_told(found)} {there}"
    if _below(found, limit.warn):
        gone = _below(found, limit.fail) and not rate
        verdict = Verdict.FAIL if gone else Verdict.WARN
        advice = "Set " + ", ".join(f"`{hit.rule.setting}` to {hit.rule.advised}" for hit in hits)
        said = Said(
            verdict,
            f"{'Training gets nowhere' if gone else 'Training is held back'}: {told}.",
            setting_places(hits),
            step(f"{advice}. What did better here:", code(found.rival)),
        )
        return Trial((said,), found, False, judged=True)
    level = limit.warn is None or found.ahead(limit.warn)
    end = "no harm is seen" if level else "too uncertain to judge"
    return Trial((Said(Verdict.INFO, f"In a short race, {told}: {end}."),), found, level)


def _below(found: Standing, share: float | None) -> bool:
    return share is not None and found.behind(share)


def _against_others(race: OptimizerRace, kind: str, limit: Limit) -> Trial:
    own = best_of(race, "declared", "retuned")
    others = [racer for racer in race.racers if racer.kind in ("SGD", "AdamW")]
    rival = best_of(race, "SGD", "AdamW")
    if own is None or rival is None:
        return Trial((), None, True)
    found = standing(race, own, rival, len(others))
    there = _there(race)
    if found is None or not found.learns:
        # The rival got nowhere, which is no fault where the declared one got somewhere.
        turned = standing(race, rival, own)
        if turned is not None and turned.learns:
            return Trial(_rate(race, own), None, True)
        text = (
            f"No optimizer gets anywhere for sure {there}, at any of the rates tried, so that none "
            "can be preferred; see `does-not-learn-in-short-run`."
        )
        return Trial((Said(Verdict.INFO, text),), None, False)
    standard = kind in STANDARD
    told = f"at the best of its rates {_told(found)} {there}"
    if _below(found, limit.warn):
        hopeless = _below(found, limit.fail)
        verdict = Verdict.FAIL if hopeless else Verdict.WARN
        if standard:
            verdict = Verdict.WARN if hopeless else Verdict.INFO
        better = f"{rival.name} at {rival.rate:.3g}"
        advice = step(
            f"Try {clean_text(rival.name, 120)} for a whole training, and rates a factor of 3 to "
            "both sides:",
            code(rival),
        )
        if verdict is Verdict.INFO:
            early = "Early steps say little about the end: compare whole trainings."
            return Trial((Said(verdict, f"{_began(told)}. {early}", (), advice),), found, False)
        note = f"{clean_text(kind, 60)}, advised: {better}"
        where = (Place("setting", "training.optimizer", note),)
        return Trial((Said(verdict, f"{_began(told)}.", where, advice),), found, False, judged=True)
    at_stake = limit.fail if standard else limit.warn
    if at_stake is None or found.ahead(at_stake):
        return Trial(_rate(race, own), found, True, judged=not standard)
    more = examples_to_settle(len(race.before), found.share, found.low, found.high, at_stake)
    settle = f"; some {more:,} starts would settle it" if more and more < 10_000 else ""
    text = f"{_began(told)}, which is too uncertain to judge{settle}."
    return Trial((Said(Verdict.INFO, text),), found, False)


def _there(race: OptimizerRace) -> str:
    return f"in {counted(race.steps, 'step')} from {counted(len(race.before), 'fresh start')}"


def code(racer: Racer) -> str:
    """Return code that builds a racer; empty where its name is no plain call."""
    rate = {"lr": float(f"{racer.rate:.3g}")}
    if racer.kind == "SGD":
        return snippets.optimizer("SGD", {**rate, "momentum": 0.9, "nesterov": True})
    kind, settings = snippets.read(racer.name)
    return snippets.optimizer(kind, {**rate, **settings})


def _began(text: str) -> str:
    return text[0].upper() + text[1:]


def _told(found: Standing) -> str:
    """Return what one makes of the other's progress, in words."""
    own, other = (
        f"{clean_text(racer.name, 120)} at {racer.rate:.3g}" for racer in (found.racer, found.rival)
    )
    if found.high < 0:
        return f"{own} makes the loss climb, where it falls with {other},"
    return f"{own} makes {_share(found)} of the progress that {other} makes"


def _rate(race: OptimizerRace, own: Racer) -> tuple[Said, ...]:
    """Return a word on the rate where another did better than the declared one."""
    declared = race.racer("declared")
    if declared is None or declared is own:
        return ()
    found = standing(race, declared, own)
    if found is None or not found.behind(0.5):
        return ()
    text = (
        f"Over so few steps it is the rate that counts: at the declared {declared.rate:.3g} it "
        f"makes {_share(found)} of the progress that it makes at {own.rate:.3g}. The first steps "
        "favour large rates; `learning-rate-off` judges that."
    )
    return (Said(Verdict.INFO, text),)


def _recommended(race: OptimizerRace) -> Said:
    best = best_of(race, "SGD", "AdamW")
    named = f"{best.name} at {best.rate:.3g}" if best is not None else "none of those tried"
    return Said(
        Verdict.INFO,
        f"Of the optimizers tried over {counted(race.steps, 'step')} from "
        f"{counted(len(race.before), 'fresh start')}, {named} gets farthest.",
    )


def _share(found: Standing) -> str:
    known = found.low > -10 and found.high < 10
    span = f" (95 % interval {100 * found.low:.0f} to {100 * found.high:.0f} %)" if known else ""
    return f"{100 * found.share:.0f} %{span}"
