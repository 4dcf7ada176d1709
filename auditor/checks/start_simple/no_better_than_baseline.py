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
bootstrap, so that the hardness of the examples cancels. Where the outputs are class scores, two
more contests are held. The cross-entropy is compared with that of the best constant probabilities
for these very examples (their own class frequencies): this sees what accuracy can't when classes
are rare. Where each example has one target, so is the balanced accuracy, the mean recall over the
classes present, of which any constant gets exactly 1/C: a model trained with class weights or a
weighted sampler gives up accuracy and cross-entropy for it on purpose. A model that ignores its
input can't be expected to win either. The model passes with any of the contests, so the verdict
adjusts them (Holm): each of k uses an interval of 1 - 0.05/k, while the record's are of 95 %. The
burden of proof is the model's: it fails where it is better in no contest, and, unless one of the
two others is won, where its scores are, example by example, those of one fixed answer; it warns
where it is better in one but not beyond doubt, or not beyond doubt better than the constant that
would have suited the validation examples best.

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
from auditor.core.statistics import examples_to_settle, mean_interval, paired_bootstraps
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.targets import (
    TargetsOf,
    best_constant_score,
    class_weights,
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
a share exp(-k) of the resamples, which is below 0.83 % from 5 on."""

ROUNDING = 1e-12
"""Share of a score that the rounding of its mean stays well below."""


Entry = tuple[str, str, str, float, float, Array, Array]
"""A contest's name, unit, rival and least gain, 1 where more is better, else -1, and the scores."""


@dataclass(frozen=True)
class Contest:
    """The model against the constant, example by example; `gain` is positive where it wins.

    [low, high] is the gain's 95 % interval, [sure_low, sure_high] the one adjusted for the number
    of contests; the model wins where it gains more than `least`. `rival` says what it is up
    against.
    """

    name: str
    unit: str
    rival: str
    least: float
    model: Array
    constant: Array
    gain: float
    low: float
    high: float
    sure_low: float
    sure_high: float

    @property
    def won(self) -> bool:
        """Tell whether the model is better beyond doubt."""
        return self.sure_low > self.least


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
    least = limits["gain"].fail or 0.0
    contests = _contests(seen, performance, constant, known, least)
    main, *others = contests
    confidence = _confidence(len(contests))
    verdict, reading = _verdict(contests, int(known.sum()))
    verdict, reading = _second_look(verdict, reading, performance, main, others)
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


def _confidence(contests: int) -> float:
    """Return the confidence of each interval that leaves 5 % of doubt for all together."""
    return 1 - 0.05 / contests


def _contests(
    seen: Seen, performance: Performance, constant: Array, known: Array, least: float
) -> list[Contest]:
    """Return the contests that these scores allow, the one of the metric itself first."""
    scores = np.asarray(performance.scores, float)
    entropies = np.asarray(performance.entropies, float)
    higher = performance.metric == "accuracy"
    sign = 1.0 if higher else -1.0
    entries: list[Entry] = [(performance.metric, "", "the constant", least, sign, scores, constant)]
    if higher and len(entropies) == len(scores) and bool(np.isfinite(entropies).all()):
        best = constant_entropies(performance)
        entries.append(
            ("cross-entropy", "nats", "constant probabilities", 0.0, -1.0, entropies, best)
        )
    weights = class_weights(performance)
    if weights is not None:
        balanced = weights * scores, weights * constant
        entries.append(("balanced accuracy", "", "any constant", 0.0, 1.0, *balanced))
    levels = (0.95, _confidence(len(entries)))
    contests = []
    for name, unit, rival, limit, side, model, other in entries:
        a, b = model[known], other[known]
        better, worse = (a, b) if side > 0 else (b, a)
        gain = float(np.mean(better) - np.mean(worse))
        if abs(gain) <= ROUNDING * float(np.abs(b).mean()):
            gain = 0.0
        plain, sure = paired_bootstraps(better, worse, seen.rng, levels)
        contests.append(Contest(name, unit, rival, limit, a, b, gain, *plain, *sure))
    return contests


def _verdict(contests: list[Contest], examples: int) -> tuple[Verdict, str]:
    """Return the verdict and, where it needs one, a sentence on how it came about."""
    main, *others = contests
    if main.won:
        return Verdict.PASS, ""
    for other in others:
        if other.won:
            return Verdict.PASS, (
                f" But its {other.name}, {_value(other, other.model)}, is "
                f"{_difference(other, _confidence(len(contests)))} than that of {other.rival}, "
                f"{_value(other, other.constant)}."
            )
    if all(contest.gain <= contest.least for contest in contests):
        return Verdict.FAIL, "".join(
            f" Nor is its {other.name}, {_value(other, other.model)}, better than that of "
            f"{other.rival}, {_value(other, other.constant)}."
            for other in others
        )
    ahead = [contest for contest in contests if contest.gain > contest.least]
    needed = [number for c in ahead if (number := _needed(c, examples)) is not None]
    settle = f" About {min(needed):,} examples would settle it." if needed else ""
    return Verdict.WARN, (
        f" Whether its {' or '.join(c.name for c in ahead)} is better is not certain.{settle}"
    )


def _value(contest: Contest, scores: Array) -> str:
    return f"{scores.mean():.3g} {contest.unit}".strip()


def _second_look(
    verdict: Verdict, reading: str, seen: Performance, main: Contest, others: list[Contest]
) -> tuple[Verdict, str]:
    """Return the verdict after looking for a model that itself gives always the same answer.

    Such a model can beat the training targets' constant by luck, but never the constant that
    suits the validation examples best.
    """
    if any(other.won for other in others):
        return verdict, reading
    answer = only_answer(seen)
    if answer:
        return Verdict.FAIL, f" Its scores are exactly those of always giving {answer}."
    best = best_constant_score(seen)
    ahead = abs(best - float(main.constant.mean()))
    if verdict is Verdict.PASS and main.sure_low <= ahead:
        return Verdict.WARN, (
            f" But the constant that suits these examples best gets {best:.4g}, so this may be "
            "luck, or a difference between the splits."
        )
    return verdict, reading


def _needed(contest: Contest, examples: int) -> int | None:
    bounds = contest.sure_low, contest.sure_high
    return examples_to_settle(examples, contest.gain, *bounds, contest.least)


def _difference(contest: Contest, confidence: float) -> str:
    word = "better" if contest.gain > 0 else "worse" if contest.gain < 0 else "no different"
    if contest.gain == 0:
        return word
    ends = sorted((contest.sure_low, contest.sure_high), reverse=contest.gain < 0)
    low, high = ((end if contest.gain > 0 else -end) + 0.0 for end in ends)
    return (
        f"{word} by {abs(contest.gain):.3g} ({100 * confidence:.3g} % interval {low:.3g} to "
        f"{high:.3g})"
    )


def _not_finite(lost: int, total: int, metric: str) -> Judgement:
    what = "output" if metric == "accuracy" else metric
    return Judgement(
        Verdict.FAIL,
        f"The model's {what} is not finite for {lost:,} of {total:,} validation examples, so it "
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
        Metric(f"gain in {other.name}", other.gain, other.unit, other.low, other.high)
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
        "validation examples themselves. The gain, with its 95 % interval, is positive where the "
        "model is better.",
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
        marked=(main.sure_high <= main.least, False),
    )
