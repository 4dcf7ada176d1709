"""A rate too low, too high, or still high when the loss has stopped; the interval to choose from.

What it does
------------
Finds the range of learning rates that train this model, on copies, and sets the declared rate
beside it. Where that lies outside, copies are raced at both rates.

Why it matters
--------------
It is the one setting that most often decides whether training works (Bengio 2012). Too low a rate
leaves a model that has learnt a fraction of what its epochs could have taught it, without any error
message; too high a rate blows up, or keeps the weights jumping about a place they never settle in.

How it is measured
------------------
A range test (Smith 2017): the rate grows from step to step, from a thousandth to three times of the
longest single step that does no harm, three times over, from fresh weights and from the checkpoint,
with the declared optimizer (its saved moments where there are some). A run stops where its loss is
beyond four times its best or not finite. The edge is the rate at which the mean curve, over three
neighbours, is least. The recommended interval ends at a third of it and is a decade and a half
wide; a tenth of the edge is tried.

The race: copies from the same weights on the same batches at the declared rate and at another; then
the loss of training batches that were not trained on, dropout off. A verdict wants the 99 %
interval of the paired difference, all seeds of one mind, and a difference that matters. Too low: a
tenth of the interval or less, and the recommended rate ends lower from fresh weights and from the
checkpoint. Too high: above the interval, and fresh copies do not get below their start while those
at the recommended rate do, or copies of the checkpoint end lower at a tenth of the rate by 2 % of
the loss of fresh weights. Near the edge a race that the declared rate wins outweighs the range
test. Stopped: at a tenth of the rate the checkpoint's loss falls, by a tenth of it and 2 % of a
fresh model's, and as far below what the rate itself brings it to.

2/λ and (2 + 2β)/λ, with λ the top eigenvalue of the Hessian and β the momentum, are the rates from
which gradient descent leaves the place where the checkpoint lies. They are shown, not judged by:
training itself drives λ up to about 2 over the rate (Cohen et al. 2021). Of Adam and its kin, which
divide gradients by their size, they say nothing.

When it misleads
----------------
Short runs favour high rates (Wu et al. 2018), which is why a rate is too low only where the
checkpoint suffers as well, and why the interval reaches so far down. Fine-tuning wants low rates.
Batch norm lets a model bear rates that later do harm. Without saved moments an optimizer gathers
them first, in three steps that change nothing.

What to do
----------
Set a rate in the interval, at a tenth of the edge to begin with; let it come down towards the end.

Source
------
Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3; Bengio 2012,
"Practical recommendations", section 3.1.1; Cohen et al. 2021, "Gradient Descent on Neural Networks
Typically Occurs at the Edge of Stability"; Goh 2017, "Why Momentum Really Works"; Wu, Ren, Liao,
Grosse 2018, "Understanding Short-Horizon Bias in Stochastic Meta-Optimization".
"""

import math
from dataclasses import dataclass

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Place
from auditor.core.text import clean_text
from auditor.core.verdict import Verdict
from auditor.observations.curvature import CurvatureOver
from auditor.observations.rate_figures import race_figures, range_figure
from auditor.observations.rate_trials import RateTrials, RateTrialsOver
from auditor.observations.rate_verdicts import (
    FAR,
    OF_START,
    Rates,
    bounds_of,
    decays,
    floor_of,
    lost_or_worse,
    material,
    outdone,
    rates_of,
    starved,
    warms_up,
)
from auditor.observations.rate_words import (
    bound_said,
    end_said,
    interval_said,
    rate_metrics,
    stops_said,
    sure_said,
)
from auditor.observations.schedule import Schedule, ScheduleOf
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.settings_code import optimizer_code

FRESH = RateTrialsOver(start="fresh")
TRAINED = RateTrialsOver(start="checkpoint")
CURVATURE = CurvatureOver()
SCHEDULE = ScheduleOf()
SETTINGS = SettingsOf()

WHERE = "training.optimizer.lr"


@dataclass(frozen=True)
class Case:
    """A fault of the rate: its verdict, sentence, a few words for the place, and advice."""

    verdict: Verdict
    said: str
    note: str
    advice: tuple[str, ...]


@check(
    title="The learning rate suits the model",
    failure_title="The learning rate is off",
    needs=(SETTINGS, SCHEDULE),
    wants=(FRESH, TRAINED, CURVATURE),
    limits={
        "learnt": Limit(
            fail=0.9,
            source="share of the loss of fresh weights that a checkpoint still has: above it, "
            "training at this rate has taught it next to nothing",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the declared rate by the range test, and by what copies at other rates gain."""
    fresh, trained, schedule = seen.get(FRESH), seen.get(TRAINED), seen[SCHEDULE]
    answers = [answer for answer in (fresh, trained) if answer is not None]
    if not answers:
        why = seen.missing(TRAINED) or seen.missing(FRESH) or "nothing could be trained"
        return Judgement(Verdict.NOT_APPLICABLE, f"No rate could be tried: {clean_text(why)}.")
    first = answers[0]
    rates = rates_of(fresh, trained)
    if first.instead:
        case = _undeclared(first, rates)
    else:
        case = (
            _too_high(fresh, trained, rates, schedule, seen[SETTINGS], limits["learnt"])
            or _too_low(fresh, trained, rates, seen[SETTINGS], limits["learnt"])
            or _stopped(fresh, trained, rates, schedule, seen[SETTINGS])
            or _otherwise(fresh, trained, rates, seen.missing(FRESH))
        )
    plain, heavy = bounds_of(seen.get(CURVATURE), first.momentum)
    said = [case.said, interval_said(rates), *stops_said(answers), *bound_said(first, plain, heavy)]
    said += [f"For want of means {a.note}." for a in answers[:1] if a.note]
    marks = {} if first.instead else {"declared": first.declared}
    if not first.adaptive and math.isfinite(heavy):
        marks["(2 + 2β)/λ" if first.momentum else "2/λ"] = heavy
    bad = case.verdict in (Verdict.WARN, Verdict.FAIL)
    return Judgement(
        case.verdict,
        " ".join(part for part in said if part),
        metrics=rate_metrics(first, rates, plain, heavy, fresh, trained),
        where=(Place("setting", WHERE, case.note),) if bad else (),
        advice=case.advice,
        figures=(range_figure(answers, rates, marks), *race_figures(answers)),
    )


def _too_low(
    fresh: RateTrials | None,
    trained: RateTrials | None,
    rates: Rates,
    settings: Settings,
    learnt: Limit,
) -> Case | None:
    rate = (fresh or trained).declared  # type: ignore[union-attr]
    if not rates.known or not rate < rates.low / FAR or trained is None:
        return None
    gain, other = starved(trained, fresh), trained.arm("recommended")
    if gain is None or other is None:
        return None
    said = (
        f"The learning rate {rate:.2g} is too low, {rates.low / rate:,.0f} times below the rates "
        f"that train this model: in {trained.steps} steps copies of the checkpoint come from "
        f"{trained.level:.4g} to {end_said(trained, 'declared')} at it and to "
        f"{end_said(trained, 'recommended')} at {other.rate:.2g}{sure_said(gain)}."
    )
    verdict = Verdict.WARN
    if fresh is not None:
        small, large = fresh.arm("declared"), fresh.arm("recommended")
        if small is None or large is None:
            return None
        over = fresh.gain(large, small)
        if over is None or not over.sure:
            return None
        said += (
            f" Fresh models come from {fresh.level:.4g} to {end_said(fresh, 'declared')} and "
            f"{end_said(fresh, 'recommended')}."
        )
        if learnt.fail is not None and trained.level > learnt.fail * fresh.level:
            verdict = Verdict.FAIL
            said += " The checkpoint has learnt next to nothing."
    return Case(verdict, said, f"{rate:.2g} is too low", _set(rates, "low", settings))


def _too_high(
    fresh: RateTrials | None,
    trained: RateTrials | None,
    rates: Rates,
    schedule: Schedule,
    settings: Settings,
    learnt: Limit,
) -> Case | None:
    rate = (fresh or trained).declared  # type: ignore[union-attr]
    if not rates.known or fresh is None or not rate > rates.high:
        return None
    usual, other = fresh.arm("declared"), fresh.arm("recommended")
    ramp = fresh.arm("ramp")
    said, breaks = "", False
    if usual is not None and other is not None:
        better = fresh.gain(other)
        over = fresh.gain(other, usual)
        works = better is not None and better.sure
        breaks = works and (lost_or_worse(fresh, usual) or (over is not None and over.sure))
        if breaks:
            said = (
                f"In {fresh.steps} steps fresh models come from {fresh.level:.4g} to "
                f"{end_said(fresh, 'declared')} at it and to {end_said(fresh, 'recommended')} at "
                f"{other.rate:.2g}{sure_said(over)}."
            )
    harm, hurt = _harm(fresh, trained, rates)
    if outdone(fresh, trained, rates):
        return None
    stuck = trained is None or (
        learnt.fail is not None and trained.level > learnt.fail * fresh.level
    )
    if not breaks and not harm:
        return None
    softened = breaks and not harm and not stuck and (warms_up(schedule) or ramp is not None)
    verdict = Verdict.FAIL if breaks and (stuck or hurt) else Verdict.WARN
    if softened:
        verdict = Verdict.INFO
    if stuck and trained is not None:
        harm += " The checkpoint has learnt next to nothing."
    elif softened:
        harm = "The checkpoint bears it: a rate that is warmed up to may be that high."
    whole = (
        f"The learning rate {rate:.2g} is too high, {rate / rates.high:.2g} times the highest that "
        f"can be recommended. {said} {harm}"
    )
    return Case(
        verdict,
        " ".join(whole.split()),
        f"{rate:.2g} is too high",
        _set(rates, "high", settings),
    )


def _harm(fresh: RateTrials, trained: RateTrials | None, rates: Rates) -> tuple[str, bool]:
    """Return what the rate does to the checkpoint, if it surely matters, and whether it breaks."""
    usual = trained.arm("declared") if trained is not None else None
    tenth = trained.arm("tenth") if trained is not None else None
    if trained is None or usual is None or tenth is None:
        return "", False
    over, held, gain = trained.gain(tenth, usual), trained.gain(usual), trained.gain(tenth)
    ends = (
        f"Copies of the checkpoint come from {trained.level:.4g} to "
        f"{end_said(trained, 'declared')} at {usual.rate:.2g} and to "
        f"{end_said(trained, 'tenth')} at a tenth of it"
    )
    if usual.lost:
        return f"{ends}.", True
    rattles = over is not None and over.sure and over.value > OF_START * abs(fresh.level)
    if rattles and held is not None and not held.sure:
        return f"{ends}{sure_said(over)}.", held.loss
    better = over is not None and over.sure
    if better and fresh.declared > rates.edge and material(gain, trained, fresh):
        return f"{ends}{sure_said(gain)}.", False
    return "", False


def _stopped(
    fresh: RateTrials | None,
    trained: RateTrials | None,
    rates: Rates,
    schedule: Schedule,
    settings: Settings,
) -> Case | None:
    floor = floor_of(trained, fresh)
    if floor is None or decays(schedule):
        return None
    assert trained is not None
    said = (
        f"The loss has stopped falling, and no schedule is known that brings the rate down: at "
        f"{floor.rate:.2g} copies of the checkpoint go from {floor.level:.4g} to "
        f"{end_said(trained, 'declared')} in {floor.steps} steps, at a tenth of it to "
        f"{end_said(trained, 'tenth')}{sure_said(floor.gain)}. The rate was right to begin with "
        "and is too high for the end."
    )
    return Case(
        Verdict.WARN,
        said,
        f"{floor.rate:.2g} to the end, without a schedule",
        (
            step(
                f"Keep `lr={floor.rate:.2g}` for the beginning and let a schedule bring it down to "
                f"about `{floor.rate / 100:.1g}`"
                + (f", over the {settings.epochs:g} epochs:" if settings.epochs else ":"),
                snippets.cosine(settings.epochs or 20, floor.rate / 100),
            ),
            step(
                f"Or go on from this checkpoint at `lr={floor.rate / 10:.2g}` for a few epochs: "
                "that was tried on copies and lowers the loss.",
                optimizer_code(settings, lr=floor.rate / 10),
            ),
        ),
    )


def _otherwise(
    fresh: RateTrials | None, trained: RateTrials | None, rates: Rates, missing: str
) -> Case:
    rate = (fresh or trained).declared  # type: ignore[union-attr]
    if fresh is None:
        return Case(
            Verdict.INFO,
            f"From the checkpoint alone no harm is shown of the learning rate {rate:.2g}; whether "
            "it suits training from the start takes fresh weights: "
            f"{clean_text(missing or 'not asked for')}.",
            "",
            (),
        )
    if not rates.known:
        return Case(
            Verdict.INFO,
            "At no rate did the loss of fresh models surely fall within a range test, so that no "
            f"rate can be recommended; the declared one is {rate:.2g}.",
            "",
            ("Look at `cannot-overfit-one-batch` and `does-not-learn-in-short-run` first.",),
        )
    if outdone(fresh, trained, rates):
        said = f"The learning rate {rate:.2g} trains fresh models faster than the recommended ones"
        return Case(Verdict.PASS, f"{said}: it suits the model.", "", ())
    if rates.low <= rate <= rates.high:
        return Case(Verdict.PASS, f"The learning rate {rate:.2g} suits the model.", "", ())
    if rates.low / FAR <= rate <= rates.edge:
        side = "just below" if rate < rates.low else "just above"
        said = f"The learning rate {rate:.2g} lies {side} the interval that is recommended"
        return Case(Verdict.PASS, f"{said}, where it still trains the model.", "", ())
    side = "below" if rate < rates.low else "above"
    return Case(
        Verdict.INFO,
        f"The learning rate {rate:.2g} lies far {side} the interval that is recommended, but no "
        "harm to the checkpoint is sure.",
        "",
        (f"Try `lr={rates.best:.2g}` in the next training.",),
    )


def _undeclared(first: RateTrials, rates: Rates) -> Case:
    said = (
        f"The declared rate can't be judged: {clean_text(first.instead)}. What follows is of "
        f"{clean_text(first.optimizer, 80)}, its rate left free."
    )
    advice = (f"With this optimizer begin at `lr={rates.best:.2g}`.",) if rates.known else ()
    return Case(Verdict.INFO, said, "", advice)


def _set(rates: Rates, side: str, settings: Settings) -> tuple[str, ...]:
    return (
        step(
            f"Set `lr={rates.best:.2g}`; anything from {rates.low:.2g} to {rates.high:.2g} will "
            "do. Train again from fresh weights.",
            optimizer_code(settings, lr=rates.best),
        ),
        "Look for a slip in the exponent, or a rate that was meant for another optimizer: SGD "
        "takes ten to a hundred times what Adam takes."
        if side == "high"
        else "Look for a slip in the exponent, a rate meant for fine-tuning, or a schedule that "
        "divides the rate further.",
    )
