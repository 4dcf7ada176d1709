"""A model that is no better than always giving the same answer.

What it does
------------
Compares the model, on the same validation examples, with a predictor that ignores its input: the
most common class of the training targets, or their mean (squared error) or median (absolute error).

Why it matters
--------------
A model that does not beat a constant has learnt nothing of use, however good its score looks: with
95 % of one class, 95 % accuracy is what a constant gets.

How it is measured
------------------
Both are scored example by example, and the interval of the mean difference comes from a paired
bootstrap, so that the hardness of the examples cancels. Where the outputs are class scores, the
cross-entropy of the model is compared as well, with that of the best constant probabilities for
these very examples (their own class frequencies): this sees what accuracy can't when classes are
rare, and no model that ignores its input can win it. Two tests are adjusted by Holm: each uses a
97.5 % interval, and the model passes with either. The burden of proof is the model's: it fails
where neither mean is better than the constant's, and where its scores are, example by example,
those of one fixed answer; it warns where one is better but not beyond doubt, or not beyond doubt
better than the constant that would have suited the validation examples best.

When it misleads
----------------
Validation examples from another distribution than the training's can make either look bad. Where
only validation data is at hand the constant is fitted to it, which favours the constant a little.
A score of the authors' own (F1, intersection over union) may tell more.

What to do
----------
Overfit one batch to see whether the model can learn at all; then look at a few inputs with their
targets just before the model, at the learning rate, and at whether the checkpoint's weights really
arrive in the model.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.2 (baselines); Karpathy 2019, "A
Recipe for Training Neural Networks" ("human baseline", "input-independent baseline"); Efron &
Tibshirani 1993, ch. 16; Holm 1979.
"""

from dataclasses import dataclass

import numpy as np

from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Table
from auditor.core.finding import Judgement, Limit, Metric
from auditor.core.statistics import examples_to_settle, mean_interval, paired_bootstrap
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.targets import (
    TargetsOf,
    best_constant_score,
    constant_entropies,
    constant_scores,
    only_answer,
)

PERFORMANCE = PerformanceOver(split="val")
TARGETS = TargetsOf()

FEWEST = 20
"""Examples below which the bootstrap's interval can't be trusted."""
FEWEST_WRONG = 5
"""Examples that the constant must get wrong: with k of them even a perfect model shows no gain in
a share exp(-k) of the resamples, which is below 1.25 % from 5 on."""


@dataclass(frozen=True)
class Contest:
    """The model against the constant, example by example; `gain` is positive where it wins."""

    name: str
    model: Array
    constant: Array
    gain: float
    low: float
    high: float


@check(
    title="The model beats a constant answer",
    failure_title="The model is no better than a constant answer",
    needs=(PERFORMANCE, TARGETS),
    limits={
        "gain": Limit(
            fail=0.0,
            bad="below",
            source="a model that ignores its input gains 0 (Karpathy 2019, input-independent "
            "baseline)",
        )
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the model's gain over the constant by its paired interval."""
    performance, facts = seen[PERFORMANCE], seen[TARGETS].targets
    if performance.examples < FEWEST:
        return Judgement(
            Verdict.INFO,
            f"Only {counted(performance.examples, 'validation example')} were scored; at least "
            f"{FEWEST} are needed to tell the model from a constant.",
        )
    answer, constant = constant_scores(performance, facts)
    if constant is None:
        return Judgement(Verdict.NOT_APPLICABLE, answer)
    scores = np.asarray(performance.scores, float)
    known = np.isfinite(constant)
    lost = int((~np.isfinite(scores[known])).sum())
    if lost:
        return _not_finite(lost, int(known.sum()), performance.metric)
    higher = performance.metric == "accuracy"
    missed = float((1 - constant[known]).sum() if higher else constant[known].sum())
    if missed < FEWEST_WRONG if higher else missed <= 0:
        return Judgement(
            Verdict.INFO,
            f"Always {answer} is right for all but {missed:.3g} of {int(known.sum()):,} validation "
            "examples, so no model could be told from it; validation data with more of the other "
            "answers is needed.",
        )
    entropies = np.asarray(performance.entropies, float)
    proper = higher and len(entropies) == len(scores) and bool(np.isfinite(entropies).all())
    confidence = 0.975 if proper else 0.95
    sign = 1.0 if higher else -1.0
    main = _contest(seen, performance.metric, scores[known], constant[known], sign, confidence)
    contests = [main]
    if proper:
        best = constant_entropies(performance)
        contests.append(_contest(seen, "cross-entropy", entropies[known], best[known], -1, 0.975))
    least = limits["gain"].fail or 0.0
    verdict, reading = _verdict(contests, least, int(known.sum()))
    verdict, reading = _second_look(verdict, reading, performance, main, contests[1:])
    summary = (
        f"On {int(known.sum()):,} validation examples the model's {main.name} is "
        f"{main.model.mean():.4g}, that of always {answer} {main.constant.mean():.4g}: "
        f"{_difference(main, confidence)}.{reading}"
    )
    if seen[TARGETS].split == "val":
        summary += (
            " For want of training data the constant was fitted to the validation data itself, "
            "which favours it."
        )
    return Judgement(
        verdict,
        summary,
        metrics=_metrics(contests, performance, limits["gain"]),
        advice=() if verdict is Verdict.PASS else ADVICE,
        figures=(_table(contests, answer), _bars(main, answer)),
    )


ADVICE = (
    "Overfit a single batch: train on 8 examples until the loss is near zero. If that fails, the "
    "model, the loss or the learning rate is at fault, not the data.",
    "Show 20 inputs with their targets just before they enter the model: are they in step, is the "
    "preprocessing that of the training, are the classes in the same order?",
    "Make sure that the weights arrive: `load_state_dict(..., strict=True)`, with no key missing.",
)


def _contest(
    seen: Seen, name: str, model: Array, constant: Array, sign: float, confidence: float
) -> Contest:
    a, b = (model, constant) if sign > 0 else (constant, model)
    low, high = paired_bootstrap(a, b, seen.rng, confidence=confidence)
    return Contest(name, model, constant, float(np.mean(a) - np.mean(b)), low, high)


def _verdict(contests: list[Contest], least: float, examples: int) -> tuple[Verdict, str]:
    """Return the verdict and, where it needs one, a sentence on how it came about."""
    main, *others = contests
    if main.low > least:
        return Verdict.PASS, ""
    for other in others:
        if other.low > 0:
            return Verdict.PASS, (
                f" Its probabilities do tell more than a constant's: the {other.name} is better by "
                f"{other.gain:.3g} nats (97.5 % interval {other.low:.3g} to {other.high:.3g})."
            )
    if main.gain <= least and all(other.gain <= 0 for other in others):
        return Verdict.FAIL, "".join(
            f" Nor is its {other.name}, {other.model.mean():.3g} nats, better than that of "
            f"constant probabilities, {other.constant.mean():.3g}."
            for other in others
        )
    needed = [
        number
        for contest, limit in zip(contests, (least, 0.0), strict=False)
        if contest.low <= limit < contest.high
        and (number := _needed(contest, limit, examples)) is not None
    ]
    settle = f" About {min(needed):,} examples would settle it." if needed else ""
    return Verdict.WARN, f" Whether it is better is not certain.{settle}"


def _second_look(
    verdict: Verdict, reading: str, seen: Performance, main: Contest, others: list[Contest]
) -> tuple[Verdict, str]:
    """Return the verdict after looking for a model that itself gives always the same answer.

    Such a model can beat the training targets' constant by luck, but never the constant that
    suits the validation examples best.
    """
    if any(other.low > 0 for other in others):
        return verdict, reading
    answer = only_answer(seen)
    if answer:
        return Verdict.FAIL, f" Its scores are exactly those of always giving {answer}."
    best = best_constant_score(seen)
    ahead = abs(best - float(main.constant.mean()))
    if verdict is Verdict.PASS and main.low <= ahead:
        return Verdict.WARN, (
            f" But the constant that suits these examples best gets {best:.4g}, so this may be "
            "luck, or a difference between the splits."
        )
    return verdict, reading


def _needed(contest: Contest, limit: float, examples: int) -> int | None:
    return examples_to_settle(examples, contest.gain, contest.low, contest.high, limit)


def _difference(contest: Contest, confidence: float) -> str:
    word = "better" if contest.gain > 0 else "worse" if contest.gain < 0 else "no different"
    if contest.gain == 0:
        return word
    ends = sorted((contest.low, contest.high), reverse=contest.gain < 0)
    low, high = ((end if contest.gain > 0 else -end) + 0.0 for end in ends)
    return (
        f"{word} by {abs(contest.gain):.3g} ({100 * confidence:g} % interval {low:.3g} to "
        f"{high:.3g})"
    )


def _not_finite(lost: int, total: int, metric: str) -> Judgement:
    return Judgement(
        Verdict.FAIL,
        f"The model's {metric} is not finite for {lost:,} of {total:,} validation examples, so it "
        "is worse than any constant.",
        metrics=(Metric("examples without a finite score", lost, f"of {total}"),),
        advice=("Find out where the outputs stop being finite, then audit again.",),
    )


def _metrics(contests: list[Contest], seen: Performance, limit: Limit) -> tuple[Metric, ...]:
    main, *others = contests
    metrics = [
        Metric(f"gain in {main.name} over the constant", main.gain, "", main.low, main.high, limit),
        Metric(
            f"{main.name} of the model", float(main.model.mean()), "", *mean_interval(main.model)
        ),
        Metric(f"{main.name} of the constant", float(main.constant.mean())),
    ]
    metrics += [
        Metric(f"gain in {other.name}", other.gain, "nats", other.low, other.high)
        for other in others
    ]
    if seen.metric == "squared error":
        variance = float(np.var(seen.target_values, axis=0).mean())
        if variance > 0:
            share = 1 - float(main.model.mean()) / variance
            metrics.append(Metric("variance explained (R²)", share, "share"))
    return tuple(metrics)


def _table(contests: list[Contest], answer: str) -> Table:
    return Table(
        title="The model against a constant",
        caption=f"The constant: always {answer}; for cross-entropy, the class frequencies of the "
        "validation examples themselves. The gain is positive where the model is better.",
        columns=("score", "model", "constant", "gain", "low", "high"),
        rows=tuple(
            (c.name, float(c.model.mean()), float(c.constant.mean()), c.gain, c.low, c.high)
            for c in contests
        ),
    )


def _bars(main: Contest, answer: str) -> Bars:
    intervals = [mean_interval(scores) for scores in (main.model, main.constant)]
    return Bars(
        title=f"{main.name.capitalize()} of the model and of a constant",
        caption=f"Mean over validation examples with its 95 % interval; the constant: always "
        f"{answer}.",
        label=main.name,
        labels=("model", "constant"),
        values=(float(main.model.mean()), float(main.constant.mean())),
        low=tuple(low for low, _ in intervals),
        high=tuple(high for _, high in intervals),
        marked=(main.high <= 0, False),
    )
