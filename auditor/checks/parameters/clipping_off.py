"""A norm that cuts most steps, and gradients that leap without one; the norm to clip at.

What it does
------------
Takes the norm of the whole gradient before clipping, batch by batch, along a short run of the
declared optimizer from fresh weights and at the checkpoint, and holds the declared clipping norm
against both distributions. Where nothing is clipped it looks for gradients that leap.

Why it matters
--------------
Clipping is made for the rare step that would throw the weights away: a norm below most gradients
shortens every step instead, and plain SGD then hardly moves. Without any clipping, one leap can
undo what thousands of steps have learnt, and leaves Adam with tiny steps for a thousand more.

How it is measured
------------------
The share of batches whose gradient is longer than the declared norm, with the interval of Clopper
and Pearson, 95 % as shown, 99 % for verdicts. Clipping is too much where it cuts more than half the
batches at the checkpoint; where the optimizer rescales its steps (Adam and its kin), or in the run
from fresh weights, the median gradient must also be 10 or 30 times the norm. It fails where the
median gradient is more than 100 times the norm and the optimizer does not rescale its steps. A norm
of more than 10 times the largest gradient never acts.

Without clipping, the largest gradient is held against what is usual: in the run the larger of the
medians of the six steps before and after it, at the checkpoint the larger of the medians there and
in the run (without a run: the median there, times by how much harder the batch is). It warns from
100 times on; from 10 times on where the loss doubles over that step, or where the step of plain
SGD or momentum, learning rate times norm over (1 - momentum), is more than a tenth of the weights'
norm. The norm that is recommended is the 90th percentile of the phase where it is larger.

When it misleads
----------------
Runs are short: the rarest leaps are not met. Adam undoes a constant factor, so that clipping every
step costs it little: the usual norm of 1 cuts most steps of many a sound language model. All
batches then count alike, whatever they have to say. Mixed precision clips scaled gradients where
`scaler.unscale_` is forgotten, which is not seen here. Where clipping is by value, or per layer or
group, the norm declared is not what training used.

What to do
----------
Set the norm to the 90th percentile of the gradient norms of training, look at the batches that
leap, and change the learning rate instead of clipping every step.

Source
------
Pascanu, Mikolov, Bengio 2013, "On the difficulty of training recurrent neural networks" (section
3.2: clip by the norm, at half to ten times its average); Zhang, He, Sra, Jadbabaie 2020, "Why
gradient clipping accelerates training"; Seetharaman et al. 2020, "AutoClip" (percentiles of the
norms seen so far); Clopper & Pearson 1934.
"""

import math

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Place
from auditor.core.statistics import median_interval, rule_of_three
from auditor.core.text import counted
from auditor.core.verdict import Verdict
from auditor.observations.gradient_size_figures import (
    leap_metrics,
    median_metric,
    norm_figures,
    percentile_metric,
    share_metrics,
)
from auditor.observations.gradient_sizes import (
    ADAPTIVE,
    Outlier,
    Phase,
    early_of,
    in_words,
    late_of,
    leaps,
)
from auditor.observations.gradients import GradientNormsOver
from auditor.observations.settings import Settings, SettingsOf
from auditor.observations.updates import UpdateRatiosFrom

SETTINGS = SettingsOf()
NORMS = GradientNormsOver()
RUN = UpdateRatiosFrom(start="fresh")

SURE = 0.99

FEWEST = 8
"""Batches below which nothing is said of the distribution."""

SHORTENED = 30.0
"""Times the clipping norm from which on the first steps of a fresh model are cut too short: first
gradients are often ten times those of later on."""

RESCALED = 10.0
"""Times the norm up to which clipping every step is told, not blamed, where the optimizer undoes a
constant factor; the sample language model, sound with AdamW and a norm of 1, shows 3.4."""

OUT_OF_REACH = 10.0
"""Times the largest gradient beyond which a clipping norm never acts."""

STANDS_OUT = 10.0
"""Times the usual gradient from which on one is a leap; 15 healthy models show 6.3 at most."""

MOVED = 0.1
"""Share of the weights' norm that no step should move them by; usual is a thousandth."""

Said = tuple[Verdict, str, str, tuple[str, ...]]
"""A verdict, the sentence for it, the note of the setting at fault (empty: none), and advice."""


@check(
    title="Clipping acts on rare steps alone",
    failure_title="Gradient clipping is off",
    needs=(SETTINGS, NORMS),
    wants=(RUN,),
    limits={
        "clipped": Limit(
            warn=0.5,
            source="clipping more than half of all steps is extremely aggressive: the norm then "
            "sets the step, no longer the learning rate (Pascanu et al. 2013, section 3.2)",
        ),
        "cut": Limit(
            fail=100.0,
            source="a step of plain SGD is a hundredth of what its learning rate says",
        ),
        "leap": Limit(
            warn=100.0,
            source="where usual steps change the weights by a thousandth (CS231n notes), such a "
            "one changes them by a tenth; Adam's next 1,000 steps get 3 times shorter by it",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the declared norm by the gradients' norms, or their leaps where there is none."""
    settings, late, early = seen[SETTINGS], late_of(seen[NORMS]), early_of(seen.get(RUN))
    phases = [phase for phase in (early, late) if phase is not None]
    if not phases:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            "No batch gave a finite gradient that is not zero, so there is nothing to clip.",
        )
    most = max(len(phase.norms) for phase in phases)
    if most < FEWEST:
        return Judgement(
            Verdict.NOT_APPLICABLE,
            f"{counted(most, 'batch', 'batches')} with a finite gradient tell nothing of the "
            f"distribution of norms; {FEWEST} are needed.",
        )
    high = max(phases, key=lambda phase: float(np.quantile(phase.norms, 0.9)))
    percentile = percentile_metric(high, seen.rng)
    advised, norm = float(percentile.value or 0.0), settings.clip_norm
    if norm is None:
        weights = float(np.linalg.norm(np.asarray(seen[NORMS].weight_norms, float)))
        verdict, said, note, advice = _unclipped(settings, early, late, weights, advised, limits)
    else:
        verdict, said, note, advice = _clipped(settings, norm, phases, advised, limits)
    whole = late is not None and not any(phase.lost for phase in phases)
    verdict = Verdict.INFO if verdict is Verdict.PASS and not whole else verdict
    told = [said]
    if late is None:
        told.append("At the checkpoint no batch gave a finite gradient that is not zero.")
    told += [
        f"{counted(phase.lost, 'gradient')} {phase.name} not finite, and left out."
        for phase in phases
        if phase.lost
    ]
    if early is None:
        why = seen.missing(RUN) or "it gave no gradient"
        told.append(f"There is no run from fresh weights: {why}.")
    return Judgement(
        verdict,
        " ".join(told),
        metrics=(
            *(
                share_metrics(phases, norm, limits)
                if norm is not None
                else leap_metrics(early, late, limits)
            ),
            *(median_metric(phase) for phase in phases),
            percentile,
        ),
        where=(Place("setting", "training.clip_norm", note),) if note else (),
        advice=advice,
        figures=norm_figures(phases, norm, advised),
    )


def _clipped(
    settings: Settings, norm: float, phases: list[Phase], advised: float, limits: Limits
) -> Said:
    """Judge a clipping norm by how many gradients are longer, and how much."""
    limit = limits["clipped"].warn
    most, adaptive = math.inf if limit is None else limit, settings.optimizer in ADAPTIVE
    declared = f"The clipping norm {norm:.3g} ({settings.source('clip_norm') or 'declared'})"
    cuts = f"{declared} cuts {_cuts(phases, norm)}."
    guilty = [phase for phase in phases if _too_much(phase, norm, most, adaptive)]
    if guilty:
        worst = max(guilty, key=lambda phase: phase.median)
        times, fail = worst.median / norm, limits["cut"].fail
        fails = fail is not None and median_interval(worst.norms, SURE)[0] / norm > fail
        undone = (
            f"{settings.optimizer} undoes the factor itself, but every batch now counts alike, "
            "and nothing tells a leap from a usual step."
            if adaptive
            else "Steps are shorter by that factor than the learning rate says."
        )
        return (
            Verdict.FAIL if fails and settings.optimizer and not adaptive else Verdict.WARN,
            f"{cuts} That is most steps instead of rare ones: the median gradient {worst.name} is "
            f"{in_words(times)} times the norm. {undone}",
            f"{norm:.3g}; the median gradient is {worst.median:.3g}",
            _loosen(norm, advised, times, adaptive),
        )
    largest = max(float(phase.norms.max()) for phase in phases)
    if not any(phase.clipped(norm) for phase in phases):
        bound = rule_of_three(sum(len(phase.norms) for phase in phases))
        never = f"{cuts} The longest gradient is {largest:.3g}, so that "
        if norm > OUT_OF_REACH * largest:
            never += (
                f"a norm {in_words(norm / largest)} times as large guards against next to nothing."
            )
            return Verdict.INFO, never, "", (_set(advised),)
        return Verdict.PASS, f"{never}at most {bound:.0%} of steps are cut.", "", ()
    late = next((phase for phase in phases if not phase.early), None)
    if late is None or late.share(norm)[0] <= most:
        return Verdict.PASS, cuts, "", ()
    if late.share(norm, SURE)[1] > most:
        why = (
            f"That is extremely aggressive, but {settings.optimizer or 'the optimizer, if Adam,'} "
            "undoes a constant factor, and the median gradient is only "
            f"{in_words(late.median / norm)} times the norm. With plain SGD every step would be "
            "that much shorter."
        )
    else:
        why = f"That may be most steps; {late.count} don't settle it."
    return Verdict.INFO, f"{cuts} {why}", "", (_set(advised),)


def _too_much(phase: Phase, norm: float, most: float, adaptive: bool) -> bool:
    """Tell whether the norm surely cuts most steps, and by a factor that matters there."""
    bar = SHORTENED if phase.early else RESCALED if adaptive else 0.0
    surely = phase.share(norm, SURE)[1] > most
    return surely and median_interval(phase.norms, SURE)[0] > bar * norm


def _cuts(phases: list[Phase], norm: float) -> str:
    return " and ".join(
        f"{phase.clipped(norm):,} of {phase.count} {phase.name} ({share:.0%}, 95 % interval "
        f"{low:.0%} to {high:.0%})"
        for phase in phases
        for share, low, high in (phase.share(norm),)
    )


def _unclipped(
    settings: Settings,
    early: Phase | None,
    late: Phase | None,
    weights: float,
    advised: float,
    limits: Limits,
) -> Said:
    """Judge the leaps of gradients that nothing is known to clip."""
    found = leaps(early, late)
    harms = [(one, _harm(one, settings, weights, limits)) for one in found]
    one, harm = next(((one, harm) for one, harm in harms if harm), harms[0])
    here = f"{one.phase.what} {one.place + 1} of {len(one.phase.norms)} {one.phase.name}"
    leap = f"{here} has a gradient of {one.phase.norms[one.place]:.3g}, {in_words(one.times)} times"
    if harm:
        advice = (
            _set(advised),
            f"Look at the examples of {here}, in the loader's order: are inputs or targets off "
            "scale, or mislabelled? What is wrong rather than rare wants mending, not clipping.",
        )
        said = f"No clipping is declared, and gradients leap: {leap} the usual one. {harm}"
        return Verdict.WARN, said, f"none; {here} is {in_words(one.times)} times the usual", advice
    if one.times > STANDS_OUT:
        said = f"No clipping is declared. {leap[0].upper()}{leap[1:]} the usual one, by which no "
        return Verdict.INFO, f"{said}harm was seen.", "", (_set(advised),)
    return (
        Verdict.PASS,
        f"No clipping is declared, and none is called for: {leap} the usual one, and no other "
        f"stands out more. Were clipping wanted, {advised:.2g}, the 90th percentile, would do.",
        "",
        (),
    )


def _harm(one: Outlier, settings: Settings, weights: float, limits: Limits) -> str:
    """Return what harm a leap does, in words; empty where none is seen."""
    if one.times <= STANDS_OUT:
        return ""
    if one.jumped:
        return (
            f"Over that step the loss goes from {one.before:.3g} to {one.after:.3g} (medians of "
            "the steps around it)."
        )
    group = settings.groups[0] if settings.groups else None
    if group is not None and settings.optimizer == "SGD" and weights > 0:
        rate = group.number("initial_lr", group.number("lr"))
        norm, momentum = float(one.phase.norms[one.place]), group.number("momentum")
        moved = rate * norm / (1 - min(momentum, 0.999)) / weights
        if moved > MOVED:
            far = f"{moved:.0%} of" if moved < 1 else f"{in_words(moved)} times"
            return f"At the rate {rate:.3g} it moves the weights by {far} their norm."
    limit = limits["leap"].warn
    if limit is None or one.times <= limit:
        return ""
    if settings.optimizer in ADAPTIVE:
        return f"{settings.optimizer} remembers its square, which shortens the steps that follow."
    return "Where usual steps move the weights by a thousandth, it moves them by a tenth."


def _set(advised: float, now: str = "") -> str:
    return step(
        f"Clip at {advised:.2g}, the 90th percentile of the norms seen here{now}:",
        snippets.clipped(snippets.digits(advised)),
    )


def _loosen(norm: float, advised: float, times: float, adaptive: bool) -> tuple[str, ...]:
    slower = (
        f"Steps get up to {in_words(times)} times longer by it: begin with a smaller learning rate "
        "if the loss leaps, and tune it anew."
    )
    return (
        _set(advised, f", instead of {norm:.3g}"),
        *(() if adaptive else (slower,)),
        "Log that `norm`, which is the one before clipping: about one step in ten should be above "
        "the limit.",
    )
