"""Settings or moments that hold training back, gradients never zeroed; a race with SGD and AdamW.

What it does
------------
Reads the declared settings against known practice, looks at the moments that the saved optimizer
keeps, and lets the declared optimizer race against SGD with Nesterov momentum and AdamW on fresh
copies of the model.

Why it matters
--------------
A wrong epsilon, swapped betas or a decay that goes through the moments raise no error: the loss
falls, only slower or less far than it could, and the model gets the blame. Moments that are spoilt
destroy the weights with the first step after loading them.

How it is measured
------------------
The settings of each parameter group are held against a table of rules, each with its source.
Everyday choices are only told. A setting that has to prove itself is tried: from the same fresh
weights, over the same batches, the optimizer races as declared, with that setting put right at the
same rate (at the best of 3 usual rates where the rate itself is one of another optimizer), and
against the better of the rivals. Without such a setting it races at its own rate and at the best of
it and 3 usual ones. Rivals get the best of 3 rates each. Rates are chosen by 6 steps from another
start; one of them that is the declared optimizer itself is left out.

Progress is the fall of the mean loss of held training batches, dropout off; a loss that climbs or
is lost counts at most as far upwards as the best fell. One is behind another where, at 99 % over 4
starts in pairs (Student's one-sided bound, shared out among the rivals), it makes less than half of
the other's progress and its training loss is higher on average over all steps. Behind itself put
right, it warns, and fails below a tenth. Behind a rival at its best rate, it warns or fails only
where it is no optimizer of every day; SGD, RMSprop and Adam's kin warn below a tenth. Where only
the rate is to blame, `learning-rate-off` judges.

In the state: values that are not finite; a first moment that no gradients with such squares can
have made (Cauchy-Schwarz: |m| <= sqrt(v) (1 - b1) / sqrt((1 - b2) (1 - b1^2 / b2)), here more than
twice that); moments of zero where gradients come; a second moment a thousand times the other
layers', and as much more than its own gradient now; the share of weights for which epsilon is more
than the root of the second moment (there Adam is plain momentum with the rate lr / epsilon); the
number of steps against the epochs. And sums of gradients where gradients should be: an average of
past ones (the first moment, freed of its start) that is surely more than twice as long as those of
batches now (10 times, where no second moment is kept), of gradients that agreed with it (norm over
the root of the second moment) at least twice as well as those of now do.

When it misleads
----------------
The race is short, and what is ahead after a few steps need not be so at the end; large rates look
better than they are. It starts from fresh weights: settings made for fine-tuning look too timid.
Momentum near 1 and swapped betas do harm later than the race can show, so that these warn by the
rule alone. Accumulated gradients make the step count smaller than the batches. A huge gradient in
the last few steps looks like a sum of many.

What to do
----------
Put back the settings named, one at a time, and train anew. Load no state that is named as spoilt.

Source
------
Kingma & Ba 2015, "Adam"; Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization"; Reddi
et al. 2018, "On the Convergence of Adam and Beyond"; Sutskever et al. 2013, "On the importance of
initialization and momentum in deep learning"; Wu et al. 2018, "Understanding Short-Horizon Bias in
Stochastic Meta-Optimization"; He et al. 2019, "Bag of Tricks for Image Classification with
Convolutional Neural Networks", section 3.1.
"""

import math

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure
from auditor.core.finding import Judgement, Limit, Metric
from auditor.core.statistics import mean_interval
from auditor.core.verdict import SEVERITY, Verdict, worst
from auditor.observations.gradient_memory import GradientMemoryOver
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.optimizer_figures import (
    moments_table,
    race_figure,
    rates_table,
    settings_table,
)
from auditor.observations.optimizer_health import frozen_share, said_of_moments
from auditor.observations.optimizer_moments import OptimizerMoments, OptimizerMomentsOf
from auditor.observations.optimizer_practice import hits_in, said_of_settings
from auditor.observations.optimizer_race import OptimizerRaceOver
from auditor.observations.optimizer_standing import Standing
from auditor.observations.optimizer_trial import Trial, tried
from auditor.observations.said import Said
from auditor.observations.settings import SettingsOf
from auditor.observations.summed_gradients import metrics_of, said_of_sums

SETTINGS = SettingsOf()
MOMENTS = OptimizerMomentsOf()
RACE = OptimizerRaceOver()
GRADIENTS = GradientNormsOver()
MEMORY = GradientMemoryOver()


@check(
    title="The optimizer and its settings suit the model",
    failure_title="The optimizer or its settings hold training back",
    needs=(SETTINGS, MOMENTS),
    wants=(RACE, GRADIENTS, MEMORY),
    limits={
        "progress": Limit(
            warn=0.5,
            fail=0.1,
            bad="below",
            source="half the progress is a training twice as long or longer, a tenth is none to "
            "speak of; Adam and SGD at tuned rates are within half of one another on the sample "
            "models",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the settings by rules and trial, and the state by what can be."""
    settings, moments, race = seen[SETTINGS], seen[MOMENTS], seen.get(RACE)
    if not moments.roles:
        return Judgement(
            Verdict.NOT_APPLICABLE, "The model has no trainable parameters to be optimized."
        )
    known = bool(moments.optimizer or moments.groups)
    kept = [held for held in moments.optimizers if any(one.size for one in held.moments)]
    if not known and not kept and race is None:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No optimizer is declared (`training: optimizer`) or saved in the checkpoint, and none "
            f"could be tried: {seen.missing(RACE) or 'not asked for'}.",
        )
    limit = limits["progress"]
    hits = hits_in(settings, moments)
    trial = tried(race, moments.optimizer, hits, limit) if race is not None else None
    said = [
        *said_of_sums(seen.get(MEMORY)),
        *(one for held in kept for one in said_of_moments(held, settings, seen.get(GRADIENTS))),
        *(trial.said if trial is not None else ()),
        *said_of_settings(
            hits, moments, race, [one.advice for one in trial.said] if trial is not None else ()
        ),
    ]
    said.sort(key=lambda one: -SEVERITY[one.verdict])
    verdict = worst(one.verdict for one in said) if said else Verdict.PASS
    text = [one.text for one in said]
    if SEVERITY[verdict] <= SEVERITY[Verdict.PASS]:
        verdict = Verdict.PASS if known and trial is not None and trial.level else Verdict.INFO
        text = [_fine(moments.optimizer, trial), *text] if verdict is Verdict.PASS else text
    text += [] if known else ["No optimizer is declared or saved, so that no settings are judged."]
    if race is None:
        text.append(f"No race was held: {seen.missing(RACE) or 'not asked for'}.")
    elif race.absent and known:
        text.append(f"The declared optimizer did not race: {race.absent}.")
    if race is not None and race.note:
        text.append(f"Of the race: {race.note}.")
    figures: list[Figure] = []
    if race is not None and race.racers:
        curves = race_figure(race)
        figures += [rates_table(race)] if curves is None else [curves, rates_table(race)]
    figures += [settings_table(hits, len(moments.groups))] if hits else []
    figures += [table for held in kept if (table := moments_table(held)) is not None]
    return Judgement(
        verdict,
        " ".join(text),
        metrics=(*_metrics(trial, len(hits), moments, limit), *metrics_of(seen.get(MEMORY))),
        where=tuple(dict.fromkeys(place for one in said for place in one.where)),
        advice=_numbered(said, verdict),
        figures=tuple(figures),
    )


def _numbered(said: list[Said], verdict: Verdict) -> tuple[str, ...]:
    """Return what to do about what is wrong, or what is told where nothing is."""
    if verdict is Verdict.PASS:
        return ()
    bad = verdict in (Verdict.WARN, Verdict.FAIL)
    chosen = [one for one in said if not bad or one.verdict in (Verdict.WARN, Verdict.FAIL)]
    return tuple(dict.fromkeys(one.advice for one in chosen if one.advice))


def _fine(kind: str, trial: Trial | None) -> str:
    found = trial.standing if trial is not None else None
    if found is None:
        return f"{kind} gets on over a few steps from fresh weights, and no rival further for sure."
    return (
        f"{found.racer.name} at {found.racer.rate:.3g} keeps up with {found.rival.name} at "
        f"{found.rival.rate:.3g} over a few steps from fresh weights: it makes "
        f"{f'{100 * found.share:.0f} % of' if found.share < 2 else 'more than twice'} the progress."
    )


def _metrics(
    trial: Trial | None, hits: int, moments: OptimizerMoments, limit: Limit
) -> tuple[Metric, ...]:
    found = [Metric("settings that a rule names", hits, "")]
    one = trial.standing if trial is not None else None
    if one is not None:
        low, high = (one.low, one.high) if math.isfinite(one.low) else (None, None)
        name = f"progress, of that of {one.rival.name} at {one.rival.rate:.3g}"
        judged = limit if trial is not None and trial.judged else None
        found.insert(0, Metric(name, one.share, "", low, high, judged))
        if judged is not None:
            found += _ends(one)
    counted_ = sum(held.moments[0].size > 0 for held in moments.optimizers if held.moments)
    for held in moments.optimizers:
        share = frozen_share(held)
        if share == share:
            name = "weights below eps" + (f" ({held.where})" if counted_ > 1 else "")
            found.append(Metric(name, share, "share"))
    return tuple(found)


def _ends(one: Standing) -> tuple[Metric, ...]:
    """Return the held losses that the two end with, and what the better racer gains."""
    gain = one.ends[1] - one.ends[0]
    return (
        Metric("held loss, as declared", float(np.mean(one.racer.after))),
        Metric("held loss, better racer", float(np.mean(one.rival.after))),
        Metric("gain of the better racer", float(gain.mean()), "", *mean_interval(gain)),
    )
