"""Terms of a loss that drown or fight one another.

What it does
------------
Takes a loss of several terms apart: the value of each, how hard each pulls at the weights that all
of them share, and whether they pull the same way.

Why it matters
--------------
Training follows the sum of the terms' gradients, so that a term whose gradient is a hundredth of
another's has no say, whatever its value: the model is trained as if it weren't there. Terms that
pull against each other from the start undo each other's steps.

How it is measured
------------------
For each batch one forward pass, dropout off, and one gradient for each term. Each value and each
gradient must be finite, for a square root at zero has a value but no slope. The ratio of two terms'
gradient norms is averaged geometrically over the batches, with Student's interval of the logarithms
at 99 %, shared among the pairs (Bonferroni); so is the cosine between them. Both are measured at
the checkpoint and at a fresh model. At the end of training terms must balance each other, so that
their gradients are opposite there; only what holds in both places, or at the checkpoint alone for
lack of a factory, is called off scale, and only a conflict that is there from the start is called
one. Where a term does not look at the targets (a penalty on outputs or codes), fresh models are
trained for 80 steps with it and without it: it drowns the others where they gain with it, on the
same batches, less than a fifth of what they gain without it, with 99 % confidence; the check fails
where that is less than a tenth. A term that is the same on every batch penalises the weights and
not the answers; that one may be as small as it likes.

When it misleads
----------------
Terms may be weighted far apart on purpose, as in a warm-up of the divergence of a variational
autoencoder. Optimizers that divide each weight's gradient by its own size (Adam) even out the
weights, not the terms.

What to do
----------
Weight the terms so that their gradients are of one order, by hand as advised, or by a rule that
keeps them so (GradNorm, uncertainty weighting). Against conflicts: project gradients (PCGrad), give
the terms more weights of their own, or drop one.

Source
------
Chen et al. 2018, "GradNorm: Gradient Normalization for Adaptive Loss Balancing" (ICML); Kendall,
Gal & Cipolla 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses" (CVPR); Yu et al. 2020,
"Gradient Surgery for Multi-Task Learning" (NeurIPS): conflict is a negative cosine.
"""

import math

import numpy as np

from auditor.core import snippets
from auditor.core.advice import step
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Figure, Heatmap, Lines, Series, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import examples_to_settle, geometric_interval, mean_interval
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.loss_terms import (
    LossTerms,
    LossTermsOver,
    Pair,
    pairs_of,
    penalty,
)
from auditor.observations.term_trials import TermTrial, TermTrialsOver

TERMS = LossTermsOver()
TRIALS = TermTrialsOver()

CONFIDENCE = 0.99
"""Of a warning, shared among the pairs of terms: a report holds some 25 checks."""

FEWEST = 3
"""Batches from which an interval says something."""


@check(
    title="The loss's terms are on one scale",
    failure_title="The loss's terms are not on one scale",
    needs=(TERMS,),
    wants=(TRIALS,),
    limits={
        "kept": Limit(
            warn=0.2,
            fail=0.1,
            bad="below",
            source="arithmetic: beside a squared error (y - t)² a penalty w y² leaves the share "
            "1 - (w / (1 + w))² of what there is to gain, a fifth at w = 8.5, a tenth at 18.5",
        ),
        "ratio": Limit(
            warn=100.0,
            source="geometry: at 100 the weaker term turns the common step by 0.6 degrees at most; "
            "Chen et al. 2018 keep all tasks' norms at one level",
        ),
        "cosine": Limit(
            warn=-0.5,
            bad="below",
            source="Yu et al. 2020: below 0 gradients conflict; at -0.5 two equal ones cancel half "
            "of each other",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the size and the direction of each term's gradient."""
    terms = seen[TERMS]
    at, fresh, names = terms.checkpoint, terms.fresh, terms.terms
    if not len(at.values):
        return Judgement(Verdict.NOT_APPLICABLE, "No batch could be taken for the loss's terms.")
    figures = _figures(terms)
    metrics = tuple(
        metric
        for i, name in enumerate(names)
        for metric in (
            Metric(f"value of {name}", *_averaged(at.values[:, i])),
            Metric(f"gradient norm of {name}", *_typical(at.norms[:, i])),
        )
    )
    for judged in (_not_finite(terms), _without_effect(terms)):
        if judged is not None:
            return Judgement(
                judged.verdict, judged.summary, metrics, judged.where, judged.advice, figures
            )
    if len(at.values) < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Of {counted(len(at.values), 'batch', 'batches')} no interval can be made; {FEWEST} "
            "are needed to weigh the terms against each other.",
            metrics,
            figures=figures,
        )
    level = 1 - (1 - CONFIDENCE) / max(1, math.comb(len(names), 2))
    pairs = pairs_of(at, level)
    before = {frozenset((p.strong, p.weak)): p for p in pairs_of(fresh, level)} if fresh else {}
    penalties = {i for i in range(len(names)) if penalty(at, i)}
    found: list[tuple[str, str, Place]] = []
    outweighed: set[int] = set()
    for pair in sorted(pairs, key=lambda pair: -pair.ratio[0]):
        start = before.get(frozenset((pair.strong, pair.weak)))
        if _apart(pair, start, limits["ratio"].warn) and pair.weak not in penalties | outweighed:
            outweighed.add(pair.weak)
            found.append(_off_scale(names, pair, start))
        if start is not None and _against(pair, start, limits["cosine"].warn):
            found.append(_conflict(names, pair, start))
    verdict = Verdict.WARN
    tried, kept = seen.get(TRIALS), limits["kept"]
    if tried is not None and tried.trials:
        sure = 1 - (1 - CONFIDENCE) / len(tried.trials)
        found = [
            _drowning(trial, tried.steps)
            for trial in tried.trials
            if kept.warn is not None and trial.drowns(kept.warn, sure)
        ] + found
        if kept.fail is not None and any(one.drowns(kept.fail, sure) for one in tried.trials):
            verdict = Verdict.FAIL
        metrics += tuple(
            Metric(f"learnt with {one.term}, of what is without", one.kept(), "share", limit=kept)
            for one in tried.trials
            if one.tells
        )
    widest = max(pairs, key=lambda pair: pair.ratio[0], default=None)
    if widest is not None:
        name = f"{names[widest.strong]} over {names[widest.weak]}, gradient norms"
        shown = [
            p for p in pairs_of(at, 0.95) if {p.strong, p.weak} == {widest.strong, widest.weak}
        ]
        metrics += (Metric(name, shown[0].ratio[0], "times", *shown[0].ratio[1:], limits["ratio"]),)
    if not found:
        return Judgement(
            Verdict.PASS, _balanced(terms, widest, limits["ratio"].warn), metrics, figures=figures
        )
    return Judgement(
        verdict,
        " ".join(said for said, _, _ in found),
        metrics,
        tuple(place for _, _, place in found),
        tuple(advice for _, advice, _ in found),
        figures,
    )


Measured = tuple[float | None, str, float | None, float | None]
"""A metric's value, unit and interval."""


def _averaged(values: Array) -> Measured:
    """Return the mean of a term's values over the batches; none where one is not finite."""
    if not np.isfinite(values).all():
        return None, "", None, None
    return float(values.mean()), "", *mean_interval(values)


def _typical(norms: Array) -> Measured:
    """Return the geometric mean of a term's norms; none where they are not finite."""
    middle, low, high = geometric_interval(norms)
    if math.isnan(middle):
        return 0.0 if (norms == 0).all() else None, "", None, None
    return middle, "", low, high


def _apart(pair: Pair, start: Pair | None, limit: float | None) -> bool:
    if limit is None or not pair.ratio[1] > limit:
        return False
    return start is None or (start.strong == pair.strong and start.ratio[1] > limit)


def _against(pair: Pair, start: Pair, limit: float | None) -> bool:
    return limit is not None and pair.cosine[2] < limit and start.cosine[2] < limit


def _off_scale(names: tuple[str, ...], pair: Pair, start: Pair | None) -> tuple[str, str, Place]:
    strong, weak = names[pair.strong], names[pair.weak]
    ratio, low, high = map(_rounded, pair.ratio)
    also = f", and {_rounded(start.ratio[0])} times in a fresh model" if start else ""
    weight = float(f"{pair.ratio[0]:.1g}")
    return (
        f"The gradient of `{strong}` is {ratio} times that of `{weak}` (99 % interval {low} to "
        f"{high}){also}: `{weak}` has no say in where the weights go.",
        step(
            f"Multiply `{weak}` by about {weight:,.0f}, or `{strong}` by {1 / weight:.1g}, which "
            "brings both gradients to one scale; or let a rule keep them there (GradNorm, "
            "uncertainty weighting). If the weight is meant to be so small, waive this finding.",
            _sum(strong, weak, snippets.digits(weight, 1)),
        ),
        Place("setting", f"loss.{weak}", f"1/{ratio} of the gradient of {strong}"),
    )


def _sum(strong: str, weak: str, weight: str) -> str:
    """Return the sum of two terms, the weaker one weighted; empty where they are no names."""
    named = all(name.isidentifier() for name in (strong, weak))
    return f"loss = {strong} + {weight} * {weak}" if named else ""


def _drowning(trial: TermTrial, steps: int) -> tuple[str, str, Place]:
    """Return what is said of a term that keeps the others from being learnt."""
    start, whole, without = (
        float(np.mean(one)) for one in (trial.start, trial.whole, trial.without)
    )
    return (
        f"`{trial.term}` drowns the terms that look at the targets: fresh models bring these from "
        f"{start:.3g} to {without:.3g} in {steps} steps without it, to {whole:.3g} with it.",
        step(
            f"Divide `{trial.term}` by 100, and raise it from there as long as the other terms, on "
            "validation data, do not get worse.",
            f"loss = others + 0.01 * {trial.term}" if trial.term.isidentifier() else "",
        ),
        Place("setting", f"loss.{trial.term}", "keeps the other terms from being learnt"),
    )


def _rounded(value: float) -> str:
    """Return a number of two digits that count."""
    return f"{float(f'{value:.2g}'):,.0f}" if math.isfinite(value) else "any number"


def _conflict(names: tuple[str, ...], pair: Pair, start: Pair) -> tuple[str, str, Place]:
    one, other = names[pair.strong], names[pair.weak]
    return (
        f"`{one}` and `{other}` pull against each other: the cosine of their gradients is "
        f"{pair.cosine[0]:.2f} at the checkpoint (99 % interval {pair.cosine[1]:.2f} to "
        f"{pair.cosine[2]:.2f}) and {start.cosine[0]:.2f} in a fresh model.",
        f"Look at the signs of `{one}` and `{other}` first; if both are meant, project their "
        "gradients onto each other (PCGrad), or give each weights of its own.",
        Place("setting", f"loss.{other}", f"cosine {pair.cosine[0]:.2f} with {one}"),
    )


def _balanced(terms: LossTerms, widest: Pair | None, limit: float | None) -> str:
    names = terms.terms
    left = f" ({terms.left_out} more were not looked at)" if terms.left_out else ""
    start = f"{counted(len(names), 'term')}{left} over {len(terms.checkpoint.values)} batches: "
    if widest is None or not math.isfinite(widest.ratio[0]):
        return f"{start}their gradients can't be set against each other."
    settled = ""
    if limit is not None and widest.ratio[0] > limit >= widest.ratio[1] > 0:
        ratio, low, _ = map(math.log, widest.ratio)
        batches = len(terms.checkpoint.values)
        enough = examples_to_settle(batches, ratio, low, math.inf, math.log(limit))
        settled = f"{enough:,} batches would settle that; " if enough else ""
    return (
        f"{start}`{names[widest.strong]}` pulls hardest, {widest.ratio[0]:,.3g} times as hard as "
        f"`{names[widest.weak]}` at the checkpoint, which is not beyond doubt too far apart; "
        f"{settled}no two terms undo each other from the start on."
    )


def _not_finite(terms: LossTerms) -> Judgement | None:
    """Return the judgement of terms whose value, or gradient alone, is not finite."""
    tables = [
        (what, whose, table)
        for at, whose in ((terms.checkpoint, ""), (terms.fresh, " of a fresh model"))
        if at
        for what, table in (("value", at.values), ("gradient", at.norms))
    ]
    bad: dict[str, str] = {}
    for what, whose, table in tables:
        over = f"{counted(len(table), 'batch', 'batches')}{whose}"
        for name, lost in zip(terms.terms, (~np.isfinite(table)).sum(axis=0), strict=True):
            if lost:
                bad.setdefault(name, f"the {what} of `{name}` on {lost:,} of {over}")
    if not bad:
        return None
    return Judgement(
        Verdict.FAIL,
        f"Terms of the loss are not finite: {', '.join(bad.values())}.",
        where=tuple(Place("setting", f"loss.{name}", "not finite") for name in bad),
        advice=(
            step(
                f"Look for a logarithm, square root, norm or division in `{next(iter(bad))}` that "
                "meets zero, and add a small constant inside it: `torch.where` around it hides the "
                "value, not the gradient.",
                "torch.sqrt(x + 1e-8)\ntorch.log(x.clamp_min(1e-8))",
            ),
        ),
    )


def _without_effect(terms: LossTerms) -> Judgement | None:
    """Return the judgement of terms that have no gradient, at the checkpoint or from the start."""
    places = [terms.checkpoint, *([terms.fresh] if terms.fresh else [])]
    idle = [
        (name, all(not at.own[i] for at in places))
        for i, name in enumerate(terms.terms)
        if all((at.norms[:, i] == 0).all() for at in places)
    ]
    if not idle:
        return None
    name, cut = idle[0]
    why = (
        "nothing connects it to a weight that is trained"
        if cut
        else "it is constant where the weights are"
    )
    fresh = " and of a fresh model" if terms.fresh else ""
    listed = "`, `".join(name for name, _ in idle)
    have = "has" if len(idle) == 1 else "have"
    return Judgement(
        Verdict.FAIL,
        f"`{listed}` {have} no gradient on any of {len(terms.checkpoint.values)} batches of the "
        f"checkpoint{fresh}: {why}, so it changes nothing but the number that is shown.",
        where=tuple(Place("setting", f"loss.{name}", "no gradient") for name, _ in idle),
        advice=(
            f"Look in `{name}` for `.detach()`, `.item()`, `argmax`, rounding or a comparison, "
            "through which no gradient passes; drop the term if it is only to be watched.",
        ),
    )


def _figures(terms: LossTerms) -> tuple[Figure, ...]:
    at, names = terms.checkpoint, terms.terms
    figures: list[Figure] = [
        Table(
            title="Terms of the loss",
            caption="At the checkpoint: mean value over the batches, gradient norm, and how many "
            "parameter tensors the term reaches.",
            columns=("term", "value", "gradient norm", "fresh model's", "tensors"),
            rows=tuple(
                (
                    name,
                    _averaged(at.values[:, i])[0],
                    float(at.norms[:, i].mean()),
                    float(terms.fresh.norms[:, i].mean()) if terms.fresh else None,
                    at.own[i],
                )
                for i, name in enumerate(names)
            ),
        ),
        _by_batch("What each term is worth", "value", names, at.values),
        _by_batch("How hard each term pulls", "gradient norm", names, at.norms),
    ]
    sizes = np.sqrt(np.maximum(np.einsum("bii->bi", at.products), 0.0))
    with np.errstate(all="ignore"):
        cosines = (at.products / (sizes[:, :, None] * sizes[:, None, :])).mean(axis=0)
    if np.isfinite(cosines).all():
        figures.append(
            Heatmap(
                title="Which way the terms pull",
                caption="Cosine between the gradients of two terms at the checkpoint: 1 the same "
                "way, -1 against each other.",
                x_label="term",
                y_label="term",
                label="cosine",
                values=tuple(tuple(row) for row in cosines.tolist()),
                x_names=names,
                y_names=names,
            )
        )
    return tuple(figures)


def _by_batch(title: str, what: str, names: tuple[str, ...], table: Array) -> Lines:
    batches = tuple(float(number) for number in range(1, len(table) + 1))
    return Lines(
        title=title,
        caption=f"The {what} of each term at the checkpoint, batch by batch.",
        x_label="batch",
        y_label=what,
        series=tuple(
            Series(name, batches, tuple(map(float, column)))
            for name, column in zip(names, table.T, strict=True)
        ),
        y_log=bool((table > 0).all()),
    )
