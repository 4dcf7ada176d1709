"""Dropout left on, far too high, on the outputs, without effect, or in a network that underfits.

What it does
------------
Finds every place that drops while the model runs, in training and in evaluation mode: dropout
modules, functions, attention and recurrent layers. Shows what dropout does to the predictions and
to the loss, and whether copies that are trained without it fit better.

Why it matters
--------------
Dropout that stays on in evaluation makes every prediction noisy, which no loss curve shows, and a
rate that was meant as the share to keep drops nearly everything. Where a network underfits, dropout
holds back what there is to learn: it helps only against overfitting.

How it is measured
------------------
A copy runs a batch in either mode, and each call that drops is noted with its module, its rate and
whether it is on. Then some batches go through with dropout off and several times with it on,
everything else in evaluation mode and batch norm on its running statistics: the spread of the
predictions is that of Monte Carlo dropout, and the rise of the loss is set against the loss's
advantage over one answer to all examples, the best constant one. Where a rate is 0.5 or more, or
dropout takes a fifth of that advantage away, two pairs of copies make some steps of the declared
optimizer from the checkpoint with dropout and without (six times as many where a rate is 0.9 or
more), and are scored with it off.

It fails where something drops in evaluation mode and where a rate is 1. It warns where dropout
holds back a network that underfits, its loss being a quarter of the constant answer's or more, a
tenth at rates of 0.9 and above: in both pairs the loss on training data is lower without dropout,
by 10 % or more at 99 % (paired by example, shared among the pairs and splits), and that on
validation data too, by 5 %. So it does of rates of 0.9 and above that take a quarter of the
advantage away, or where the loss is half or more of the constant answer's (it fails where nothing
was learnt and copies begin to learn without dropout), and of dropout on the outputs, where it
zeroes answers. Other dropout that takes a quarter away is told without a verdict.

When it misleads
----------------
Monte Carlo dropout leaves dropout on in evaluation on purpose: waive it. Dropout that is written by
hand, with a random mask, is not seen here but by `not-reproducible`. A few steps show what holds
training back at the checkpoint, not what a whole run without dropout would end at.

What to do
----------
Call `model.eval()`, hand `self.training` to every functional dropout, use rates of 0.1 to 0.5, and
none where training data is not fitted.

Source
------
Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (JMLR
15): rates of 0.5 for hidden units, 0.2 for inputs; Gal & Ghahramani 2016, "Dropout as a Bayesian
Approximation" (ICML), for the spread over passes; Goodfellow, Bengio & Courville 2016, "Deep
Learning", section 7.12: it costs capacity; PyTorch documentation of `torch.nn.functional.dropout`
(`training=True` by default) and of `torch.nn.LSTM` (no dropout after the last layer).
"""

import math

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.layer import MODEL
from auditor.core.statistics import Interval, mean_interval, paired_bootstrap
from auditor.core.text import counted, listed
from auditor.core.values import Array
from auditor.core.verdict import Verdict, worst
from auditor.observations.constant_loss import constant_loss
from auditor.observations.dropout import EXTREME, HIGH, Dropout, DropoutOver, DropoutSite
from auditor.observations.dropout_figures import figures_of
from auditor.observations.performance import PerformanceOver

DROPOUT = DropoutOver()
TRAIN = PerformanceOver(split="train")
VAL = PerformanceOver(split="val")

CONFIDENCE = 0.99
"""Of a warning, shared among the pairs of copies and the two splits."""

FITS = 0.10
"""Share of the training loss that has to go without dropout, in each pair of copies."""

TAKEN = 0.25
"""Share of a network's advantage that a high rate has to take away to be called harmful."""

HARDLY = 0.5
"""Share of a constant answer's loss from which a network has learnt too little for a high rate."""

NOTHING = 0.9
"""Share of a constant answer's loss from which a network has learnt nothing."""

UNFIT = 0.25
"""Share of a constant answer's loss from which a network underfits its training data."""

TUNED = 0.1
"""Share below which it is fitted whatever it drops: from here to `UNFIT` extreme rates are blamed
alone."""

Said = tuple[Verdict, str, tuple[Place, ...], tuple[str, ...]]


@check(
    title="Dropout is where and as high as it should be",
    failure_title="Dropout does harm",
    needs=(DROPOUT,),
    wants=(TRAIN, VAL),
    limits={
        "rate": Limit(
            warn=0.9,
            source="Srivastava et al. 2014 keep 0.5 to 0.8 of the units; at 0.9 the noise has nine "
            "times the variance of the signal",
        ),
        "gain": Limit(
            warn=0.05,
            source="share of the validation loss that goes in a few steps without dropout; pairs "
            "of healthy copies differ by as much either way",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge each way in which dropout goes wrong; the worst decides."""
    found = seen[DROPOUT]
    if not found.sites:
        return Judgement(Verdict.NOT_APPLICABLE, "Nothing in the model drops.")
    known = constant_loss(seen.get(TRAIN) if found.split == "train" else seen.get(VAL))
    constant = found.constant if known != known else known
    lost = found.lost(constant)
    parts = [
        _left_on(found),
        _rates(found, lost, constant, seen.rng, limits["rate"]),
        _outputs(found),
        _underfits(found, constant, seen.rng, limits["gain"]),
        _notes(found),
    ]
    loud = [part for part in parts if part[0] in (Verdict.WARN, Verdict.FAIL)]
    quiet = [part for part in parts if part not in loud]
    verdict = worst(part[0] for part in parts)
    measured = found.plain.size and np.isfinite(found.dropped).all()
    doubtful = not (found.active and measured) or lost >= TAKEN or _unproven(found)
    if not loud:
        verdict = Verdict.INFO if doubtful else Verdict.PASS
    said = [part[1] for part in (*loud, *quiet) if part[1]]
    return Judgement(
        verdict,
        " ".join([_overview(found), _measured(found, lost), *said]).replace("  ", " ").strip(),
        _metrics(found, lost, seen.rng, limits),
        tuple(dict.fromkeys(place for part in loud for place in part[2])),
        tuple(step for part in loud for step in part[3]),
        figures_of(found),
    )


def _left_on(found: Dropout) -> Said:
    if not found.left_on:
        return Verdict.PASS, "", (), ()
    first = found.left_on[0]
    functions = [site for site in found.left_on if site.kind.startswith("functional.")]
    advice = []
    if functions:
        site = functions[0]
        call = site.kind.removeprefix("functional.")
        flag = (
            f"dropout_p={site.rate:g} if self.training else 0.0"
            if "attention" in call
            else f"p={site.rate:g}, training=self.training"
        )
        advice.append(
            f"In the `forward` of {_owner(site)} write `functional.{call}(..., {flag})`: without "
            "it the function drops in every mode."
        )
    if len(functions) < len(found.left_on):
        name = next(s.layer for s in found.left_on if s not in functions)
        advice.append(
            step(
                f"Find what keeps `{name}` in training mode: a `train()` of your own that leaves "
                "it out, or code that calls `.train()` on it before the forward pass. This has to "
                "pass:",
                f"model.eval()\nassert not {snippets.layer(name)}.training",
            )
        )
    advice.append("Then measure every score anew: those known were measured with noise.")
    rise = ""
    if found.plain.size and found.evaluated.size:
        rise = (
            f" The loss in evaluation mode is {np.mean(found.evaluated):.3g}, and "
            f"{np.mean(found.plain):.3g} with dropout off."
        )
    return (
        Verdict.FAIL,
        f"In evaluation mode {_named(found.left_on)} still drop{_s(found.left_on)}, first "
        f"{_owner(first)} ({first.kind}, rate {first.rate:g}).{rise}",
        tuple(
            Place("layer", s.layer, f"{s.kind} of rate {s.rate:g}, on in evaluation mode")
            for s in found.left_on
        ),
        tuple(advice),
    )


def _owner(site: DropoutSite) -> str:
    return "the model" if site.layer == MODEL else f"`{site.layer}`"


def _rates(
    found: Dropout, lost: float, constant: float, rng: np.random.Generator, limit: Limit
) -> Said:
    whole = [site for site in found.active if site.rate >= 1]
    least = limit.warn if limit.warn is not None else math.inf
    high = [site for site in found.active if site.rate >= least and site.rate < 1]
    high.sort(key=lambda site: -site.rate)
    if whole:
        first = whole[0]
        return (
            Verdict.FAIL,
            f"{_named(whole)} drop{_s(whole)} everything in training (rate 1): nothing that comes "
            "before is trained through it.",
            tuple(Place("layer", s.layer, f"{s.kind} of rate 1") for s in whole),
            (
                step(
                    f"Set the rate of `{first.layer}` to 0.1 to 0.5, or take it out, and train "
                    "anew:",
                    _rate(first, 0.2),
                ),
            ),
        )
    if not high:
        return Verdict.PASS, "", (), ()
    said = (
        f"{_named(high)} drop{_s(high)} {min(s.rate for s in high):.0%} or more: "
        f"{1 - high[0].rate:.1%} of what {_owner(high[0])} is given goes on."
    )
    verdict = Verdict.WARN
    if found.plain.size and float(np.mean(found.plain)) >= NOTHING * constant > 0:
        said += " The network has learnt nothing: one answer to all examples costs no more."
        raced = found.raced
        if raced is not None:
            gains = _gains(raced.train_with, raced.train_without, rng)
            if all(low > 0 for _, low, _ in gains):
                verdict = Verdict.FAIL
                said += " Without dropout it begins to (99 %, in each pair of copies)."
    elif found.plain.size and float(np.mean(found.plain)) >= HARDLY * constant > 0:
        share = float(np.mean(found.plain)) / constant
        said += f" And the network underfits: its loss is {share:.0%} of a constant answer's."
    elif not lost >= TAKEN:
        return Verdict.INFO, said + " What a pass loses by that is little or not known.", (), ()
    return (
        verdict,
        said,
        tuple(Place("layer", s.layer, f"{s.kind} of rate {s.rate:g}") for s in high),
        (
            step(
                f"The rate is the share that is set to zero: if {high[0].rate:g} was meant as the "
                f"share to keep, `{high[0].layer}` wants `p={1 - high[0].rate:.2g}`. Else begin at "
                "0.2 and compare validation losses at 0, 0.2 and 0.5.",
                _rate(high[0], float(f"{1 - high[0].rate:.2g}")),
            ),
        ),
    )


def _rate(site: DropoutSite, rate: float) -> str:
    """Return code that sets the rate of a module; empty of a function, which has its own."""
    if site.kind.startswith("functional.") or site.layer == MODEL:
        return ""
    return f"{snippets.layer(site.layer)}.p = {rate:g}"


def _outputs(found: Dropout) -> Said:
    last = [site for site in found.active if site.at == "output"]
    if not last:
        return Verdict.PASS, "", (), ()
    if not found.answers:
        said = f"{_named(last)} drop{_s(last)} what the model puts out, which may be meant here."
        return Verdict.INFO, said, (), ()
    said = (
        f"{_named(last)} drop{_s(last)} what the model puts out, with nothing trained after it: "
        "in training answers are set to zero at random."
    )
    return (
        Verdict.WARN,
        said,
        tuple(Place("layer", s.layer, f"rate {s.rate:g} on the outputs") for s in last),
        (
            f"Move `{last[0].layer}` before the last layer with weights: there it drops features "
            "and not answers.",
        ),
    )


def _underfits(found: Dropout, constant: float, rng: np.random.Generator, limit: Limit) -> Said:
    raced = found.raced
    if raced is None:
        why = f"Copies were not trained without it: {found.no_race}."
        return Verdict.PASS, why if _unproven(found) else "", (), ()
    train = _gains(raced.train_with, raced.train_without, rng)
    val = _gains(raced.val_with, raced.val_without, rng)
    least = limit.warn if limit.warn is not None else math.inf
    fits = all(share >= FITS and low > 0 for share, low, _ in train)
    helps = all(share >= least and low > 0 for share, low, _ in val)
    made = f"Copies made {counted(raced.steps, 'step')} of {raced.optimizer} without dropout"
    shown = [f"{_least(gains):.0%}" for gains in (train, val)]
    if not (fits and helps):
        return (
            Verdict.PASS,
            f"{made} and with it: that without it they fit better is not beyond doubt.",
            (),
            (),
        )
    gained = (
        f"{made}, and {raced.measure} is lower than that of copies with it by {shown[0]} on "
        f"training and {shown[1]} on validation data at least (99 %, in each pair)"
    )
    first = max(found.active, key=lambda site: site.rate)
    unfit = TUNED if first.rate >= EXTREME else UNFIT
    if not float(np.mean(found.plain)) >= unfit * constant:
        return (
            Verdict.INFO,
            f"{gained}: with less dropout the network would learn faster from here; it fits its "
            "training data well as it is.",
            (),
            (),
        )
    return (
        Verdict.WARN,
        f"Dropout holds back a network that underfits. {gained}.",
        tuple(
            Place("layer", s.layer, f"{s.kind} of rate {s.rate:g}")
            for s in sorted(found.active, key=lambda site: -site.rate)
        ),
        (
            f"Train on with a lower rate, beginning with `{first.layer}`: {first.rate:g} to "
            f"{_lower(first.rate)}, or without dropout, until training data is fitted; put it back "
            "where validation then falls behind.",
        ),
    )


def _unproven(found: Dropout) -> bool:
    """Tell whether copies would have been trained without dropout, and could not be."""
    return found.raced is None and any(site.rate >= HIGH for site in found.active)


def _notes(found: Dropout) -> Said:
    """Tell what is no fault, but worth knowing."""
    said = []
    for at, what in (
        ("idle", "has one layer only, so that its dropout has no effect"),
        ("unused", "never ran"),
        ("input", "drops inputs, before anything that is trained"),
    ):
        names = [f"`{site.layer}`" for site in found.sites if site.at == at]
        if names:
            said.append(f"{listed(names)} {what}.")
    return Verdict.INFO, " ".join(said), (), ()


def _lower(rate: float) -> str:
    return f"{max(0.0, min(0.2, rate / 2)):.2g}"


def _least(gains: list[tuple[float, float, float]]) -> float:
    return min(low for _, low, _ in gains)


def _gains(held: Array, freed: Array, rng: np.random.Generator) -> list[tuple[float, float, float]]:
    """Return, for each pair, the share of the loss that goes and its interval."""
    level = 1 - (1 - CONFIDENCE) / (2 * len(held))
    found = []
    for one, other in zip(held, freed, strict=True):
        size = float(np.mean(one))
        if not (size > 0 and np.isfinite(one).all() and np.isfinite(other).all()):
            found.append((math.nan, math.nan, math.nan))
            continue
        low, high = _interval(one, other, rng, level)
        found.append((float(np.mean(one - other)) / size, low / size, high / size))
    return found


def _interval(one: Array, other: Array, rng: np.random.Generator, level: float) -> Interval:
    # A bootstrap of a few batches is too narrow.
    few = len(one) <= 8
    return (
        mean_interval(one - other, level)
        if few
        else paired_bootstrap(one, other, rng, confidence=level)
    )


def _named(sites: tuple[DropoutSite, ...] | list[DropoutSite]) -> str:
    return listed([_owner(site) for site in sites])


def _s(sites: tuple[DropoutSite, ...] | list[DropoutSite]) -> str:
    return "s" if len(sites) == 1 else ""


def _overview(found: Dropout) -> str:
    if not found.active:
        return f"{counted(len(found.sites), 'place')} could drop, none does in training."
    rates = sorted({site.rate for site in found.active})
    shown = f"{rates[0]:g}" if len(rates) == 1 else f"{rates[0]:g} to {rates[-1]:g}"
    drop = "drops" if len(found.active) == 1 else "drop"
    return f"{counted(len(found.active), 'place')} {drop} in training, at rates of {shown}."


def _measured(found: Dropout, lost: float) -> str:
    if found.untold:
        return f"What it does could not be measured: {found.untold}."
    share = ""
    if lost == lost:
        share = f", {min(max(lost, 0.0), 1.0):.0%} of what it is ahead of a constant answer"
    spread = ""
    if found.spread == found.spread:
        spread = (
            f"; a pass changes {found.spread:.1%} of the predictions"
            if found.flips
            else f"; over passes predictions spread by {found.spread:.2g} of what they do over "
            "examples"
        )
    if not found.dropped.size:
        return f"Without a loss its cost can't be told{spread}." if found.active else ""
    return (
        f"With it on the loss on {found.split} data is {np.mean(found.dropped):.3g}, with it off "
        f"{np.mean(found.plain):.3g}{share}{spread}."
    )


def _metrics(
    found: Dropout, lost: float, rng: np.random.Generator, limits: Limits
) -> tuple[Metric, ...]:
    highest = max((site.rate for site in found.active), default=0.0)
    metrics = [Metric("highest rate in training", highest, limit=limits["rate"])]
    if found.dropped.size:
        metrics.append(
            Metric("loss with dropout on", float(np.mean(found.dropped)), "",
                   *_finite(mean_interval(found.dropped.mean(axis=1))))
        )  # fmt: skip
        metrics.append(Metric("loss with dropout off", float(np.mean(found.plain))))
        metrics.append(Metric("loss in evaluation mode", float(np.mean(found.evaluated))))
    if lost == lost:
        metrics.append(Metric("advantage lost to dropout", lost, "of that over a constant answer"))
    if found.spread == found.spread:
        unit = "of predictions changed" if found.flips else "of the spread over examples"
        metrics.append(Metric("spread over passes", found.spread, unit))
    raced = found.raced
    if raced is not None:
        for name, held, freed in (
            ("training", raced.train_with, raced.train_without),
            ("validation", raced.val_with, raced.val_without),
        ):
            share, low, high = min(_gains(held, freed, rng), key=lambda gain: gain[0])
            if share == share:
                limit = limits["gain"] if name == "validation" else None
                metrics.append(
                    Metric(f"{name} loss that goes without dropout", share,
                           "of the loss, the lesser of two pairs", *_finite((low, high)), limit)
                )  # fmt: skip
    return tuple(metrics)


def _finite(bounds: Interval) -> tuple[float | None, float | None]:
    low, high = bounds
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (None, None)
