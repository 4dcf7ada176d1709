"""A model that does not beat a constant, a linear model or one hidden layer.

What it does
------------
Compares the model, on the same validation examples, with three predictors: one that ignores its
input (the most common class of the training targets, or their mean for squared error, their median
for absolute error), a linear model, and a network with one hidden layer.

Why it matters
--------------
A model that does not beat a constant has learnt nothing of use, however good its score looks: with
95 % of one class, 95 % accuracy is what a constant gets. One that does not beat a linear model has
no use for its depth, or was not trained to make use of it.

How it is measured
------------------
All are scored example by example, and the interval of the mean difference comes from a paired
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

The simpler models are trained with the subject's own loss on up to 4,096 training examples: Adam at
1e-3, 3e-3, 1e-2 and 3e-2, at most 400 steps of at most 64 examples each; a fifth of the examples is
held out to choose rate and step by, so validation data is touched once. Inputs are standardised.
What "linear" means depends on the input: numbers are flattened (large images averaged until they
fit), tokens are counted; where there is a target for each position, each is read from its token or
its numbers alone, and each pixel from the 3 x 3 around it. The hidden layer has up to 64 units, and
sees two earlier tokens beside the one at its position. Here the burden of proof is the check's. It
warns where the simpler model is better in accuracy and in cross-entropy alike, both with 99 %
confidence over the two models, by more than 5 % of the constant's error, and not worse in balanced
accuracy; or where the model, with ten times the parameters, is shown to gain less than 1 % of the
constant's error although the simpler one leaves more than 5 % of it. With fewer times the
parameters that is information, and so it is where neither is shown but, with as much left, no score
of the model is better by 1 %. Else it passes and says what is open. The network with one hidden
layer is judged only where it has fewer parameters than the model.

When it misleads
----------------
Validation examples from another distribution than the training's can make either look bad. Where
only validation data is at hand the constant is fitted to it, which favours the constant a little,
and no simpler model is trained. A score of the authors' own (F1, intersection over union) may tell
more. Small tables are often as well served by a linear model: a warning is then true, and no fault
of the training.

What to do
----------
Overfit one batch to see whether the model can learn at all; then look at a few inputs with their
targets just before the model, at the learning rate, and at whether the checkpoint's weights really
arrive in the model. Add depth only where it beats the simpler model.

Source
------
Goodfellow, Bengio, Courville 2016, "Deep Learning", section 11.2 (baselines); Karpathy 2019, "A
Recipe for Training Neural Networks" ("human baseline", "input-independent baseline"); Zinkevich,
"Rules of Machine Learning", rule 4 ("keep the first model simple"); Efron & Tibshirani 1993, ch.
16; Holm 1979.
"""

from collections.abc import Sequence

import numpy as np

from auditor.core import probes
from auditor.core.advice import step as step_of_advice
from auditor.core.check import Limits, Seen, check
from auditor.core.figure import Bars, Table
from auditor.core.finding import Judgement, Limit, Metric, Place
from auditor.core.statistics import mean_interval
from auditor.core.text import counted
from auditor.core.values import Array
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModels, SimpleModelsOver
from auditor.observations.contest import (
    Contest,
    Standing,
    against_constant,
    against_simple,
    confidence,
    confidence_of_simple,
)
from auditor.observations.performance import Performance, PerformanceOver
from auditor.observations.targets import (
    TargetsOf,
    best_constant_score,
    constant_scores,
    only_answer,
)

PERFORMANCE = PerformanceOver(split="val")
TARGETS = TargetsOf()
SIMPLE = SimpleModelsOver()

FEWEST = 20
"""Examples below which the bootstrap's interval can't be trusted."""
FEWEST_WRONG = 5
"""Examples that the constant must get wrong: with k of them even a perfect model shows no gain in
a share exp(-k) of the resamples, which is below 0.83 % from 5 on."""


@check(
    title="The model beats a constant, and no simpler model beats it",
    failure_title="The model is no better than a baseline",
    needs=(PERFORMANCE, TARGETS),
    wants=(SIMPLE,),
    limits={
        "gain": Limit(
            fail=0.0,
            bad="below",
            source="a model that ignores its input gains 0 (Karpathy 2019, input-independent "
            "baseline)",
        ),
        "gain_over_simpler": Limit(
            warn=-0.05,
            bad="below",
            source="in shares of the constant's error; another seed alone moves a network's score "
            "by a few hundredths (Bouthillier et al. 2021, Accounting for Variance in Machine "
            "Learning Benchmarks), so less says nothing of its kind",
        ),
        "times_the_parameters": Limit(
            warn=10.0,
            source="an order of magnitude more than a model that does as well; start simple, add "
            "only what helps (Zinkevich, Rules of Machine Learning, rule 4)",
        ),
    },
)
def judge(seen: Seen, limits: Limits) -> Judgement:
    """Judge the model's gain over the constant, and over simpler models, by paired intervals."""
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
    contests = against_constant(performance, constant, known, limits["gain"].fail or 0.0, seen.rng)
    main, *others = contests
    verdict, reading = _verdict(contests)
    verdict, reading = _second_look(verdict, reading, performance, main, others)
    summary = (
        f"On {int(known.sum()):,} validation examples the model's {main.name} is "
        f"{main.model.mean():.4g}, that of always {answer} {main.other.mean():.4g}: "
        f"{main.words(confidence(len(contests)))}.{reading}"
    )
    if seen[TARGETS].split == "val":
        summary += (
            " For want of training data the constant was fitted to the validation data itself, "
            "which favours it."
        )
    advice: tuple[str, ...] = () if verdict is Verdict.PASS else ADVICE
    simple = seen.get(SIMPLE)
    standings = _standings(seen, simple, performance, contests, known, limits)
    many = limits["times_the_parameters"].warn or 0.0
    worse = [standing for standing in standings if standing.warns(many)]
    if verdict is Verdict.PASS and worse:
        verdict = Verdict.WARN
    elif verdict is Verdict.PASS and any(standing.idle for standing in standings):
        verdict = Verdict.INFO
    if simple is not None:
        summary += "".join(_sentence(standing, simple.parameters) for standing in standings)
        advice += _simple_advice(worse, simple)
    if seen.missing(SIMPLE):
        summary += f" Simpler models were not tried: {seen.missing(SIMPLE)}."
    return Judgement(
        verdict,
        summary,
        metrics=(
            *_metrics(contests, performance, limits["gain"]),
            *_simple_metrics(standings, main.error, limits),
        ),
        where=tuple(_place(standing) for standing in worse),
        advice=advice,
        figures=(
            _table(contests, answer),
            _bars(main, answer, standings),
            *(_tables(standings, simple) if simple is not None and standings else ()),
        ),
    )


ADVICE = (
    step_of_advice(
        "Overfit a single batch: train on 8 examples until the loss is near zero. If that fails, "
        "the model, the loss or the learning rate is at fault, not the data.",
        probes.ONE_BATCH,
    ),
    step_of_advice(
        "Show 20 inputs with their targets just before they enter the model: are they in step, is "
        "the preprocessing that of the training, are the classes in the same order?",
        probes.examples_shown("val_loader"),
    ),
    step_of_advice("Make sure that the weights arrive:", probes.STRICT),
)


def _verdict(contests: Sequence[Contest]) -> tuple[Verdict, str]:
    """Return the verdict and, where it needs one, a sentence on how it came about."""
    main, *others = contests
    if main.won:
        return Verdict.PASS, ""
    for other in others:
        if other.won:
            return Verdict.PASS, (
                f" But its {other.name}, {other.value}, is "
                f"{other.words(confidence(len(contests)))} than that of {other.rival}, "
                f"{other.others_value}."
            )
    if all(contest.gain <= contest.least for contest in contests):
        return Verdict.FAIL, "".join(
            f" Nor is its {other.name}, {other.value}, better than that of "
            f"{other.rival}, {other.others_value}."
            for other in others
        )
    ahead = [contest for contest in contests if contest.gain > contest.least]
    needed = [number for c in ahead if (number := c.needed) is not None]
    settle = f" About {min(needed):,} examples would settle it." if needed else ""
    return Verdict.WARN, (
        f" Whether its {' or '.join(c.name for c in ahead)} is better is not certain.{settle}"
    )


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
    ahead = abs(best - float(main.other.mean()))
    if verdict is Verdict.PASS and main.sure_low <= ahead:
        return Verdict.WARN, (
            f" But the constant that suits these examples best gets {best:.4g}, so this may be "
            "luck, or a difference between the splits."
        )
    return verdict, reading


def _standings(
    seen: Seen,
    simple: SimpleModels | None,
    performance: Performance,
    contests: list[Contest],
    known: Array,
    limits: Limits,
) -> list[Standing]:
    """Return how the model stands against each simpler model that it can be paired with."""
    if simple is None:
        return []
    standings = [
        against_simple(
            performance,
            model,
            simple.parameters,
            contests,
            known,
            seen.rng,
            noticed=-(limits["gain_over_simpler"].warn or 0.0),
            models=len(simple.models),
        )
        for model in simple.models
    ]
    return [standing for standing in standings if standing is not None]


def _sentence(standing: Standing, parameters: int) -> str:
    """Return a sentence on how the model, of so many parameters, stands against a simpler one."""
    main, simple = standing.main, standing.simple
    rival = f"{simple.name} of {counted(simple.parameters, 'parameter')}"
    scores = f"{main.name} {main.others_value} against {main.value}"
    compared = f"the model's is {main.words(confidence_of_simple(standing.models))}"
    if not standing.judged:
        return (
            f" {rival.capitalize()} is not held against the model with its {parameters:,}, as it "
            f"has no fewer: {scores}."
        )
    if standing.standing == "ahead":
        won = next(contest for contest in standing.contests if contest.won)
        return (
            f" With its {parameters:,} it beats {rival} ({won.name} {won.others_value} against "
            f"{won.value})."
        )
    if standing.standing == "behind":
        scores = " and ".join(
            f"{contest.name} {contest.others_value} against {contest.value}"
            for contest in standing.contests
            if contest.name != "balanced accuracy"
        )
    if standing.standing != "open":
        verb = "beats" if standing.standing == "behind" else "does as well as"
        return (
            f" {rival.capitalize()} {verb} the model with its {parameters:,}: {scores}; {compared}."
        )
    settle = f"; about {main.needed:,} examples would settle it" if main.needed else ""
    return (
        f" Whether the model with its {parameters:,} is better than {rival} is not beyond doubt: "
        f"{scores}, {compared}{settle}."
    )


def _simple_advice(worse: list[Standing], simple: SimpleModels) -> tuple[str, ...]:
    if not worse:
        return ()
    best = max(worse, key=lambda standing: -standing.main.gain)
    model, main = best.simple, best.main
    step = model.steps[model.rates.index(model.rate)]
    if best.standing == "level":
        return (
            f"Use {model.name} instead, or find what more than its {model.parameters:,} parameters "
            "could take up: inputs that it can't see, order, neighbourhood, more data.",
        )
    return (
        f"Train on until the model passes {model.name}, whose {main.name} is {main.others_value} "
        f"after {step} steps of Adam at {model.rate:g} on {simple.fitted:,} standardised training "
        "examples: more epochs first, then three learning rates a factor of three apart.",
        f"Find what holds the model's {simple.parameters:,} parameters back: a layer too narrow to "
        "let the input through, dead units, order or position that the model can't see, or "
        "weights that did not arrive.",
        f"If neither helps, use {model.name}: it has {model.parameters:,} parameters.",
    )


def _place(standing: Standing) -> Place:
    main = standing.main
    return Place(
        "setting",
        standing.simple.name.partition(" ")[2],
        f"{counted(standing.simple.parameters, 'parameter')}: {main.name} {main.others_value} "
        f"against {main.value}",
    )


def _not_finite(lost: int, total: int, metric: str) -> Judgement:
    what = "output" if metric == "accuracy" else metric
    return Judgement(
        Verdict.FAIL,
        f"The model's {what} is not finite for {lost:,} of {total:,} validation examples, so it "
        "is worse than any constant.",
        metrics=(Metric("examples without a finite score", lost, f"of {total}"),),
        advice=(
            step_of_advice(
                "Find out where the outputs stop being finite, then audit again. This names the "
                "modules, the first first:",
                probes.modules_not_finite(),
            ),
        ),
        figures=(
            Bars(
                title="Validation examples with a finite score",
                caption="Examples whose score is a number, and those whose score is not.",
                label="examples",
                labels=("finite", "not finite"),
                values=(float(total - lost), float(lost)),
                marked=(False, True),
            ),
        ),
    )


def _metrics(contests: list[Contest], seen: Performance, limit: Limit) -> tuple[Metric, ...]:
    main, *others = contests
    metrics = [
        Metric(f"gain in {main.name} over the constant", main.gain, "", main.low, main.high, limit),
        Metric(
            f"{main.name} of the model", float(main.model.mean()), "", *mean_interval(main.model)
        ),
        Metric(f"{main.name} of the constant", float(main.other.mean())),
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


def _simple_metrics(standings: Sequence[Standing], error: float, limits: Limits) -> list[Metric]:
    """Return the gains over simpler models, in shares of the constant's `error`, and their size."""
    metrics = []
    for standing in standings:
        main, name = standing.main, standing.simple.name
        shares = (end / error for end in (main.gain, main.low, main.high))
        gain, low, high = shares
        judged = limits if standing.judged else {}
        limit = judged.get("gain_over_simpler")
        metrics += [
            Metric(f"gain over {name}, in a constant's errors", gain, "", low, high, limit),
            Metric(f"parameters, times those of {name}", standing.times),
        ]
    return metrics


def _table(contests: list[Contest], answer: str) -> Table:
    return Table(
        title="The model against a constant",
        caption=f"The constant: always {answer}; for cross-entropy, the class frequencies of the "
        "validation examples themselves. The gain, with its 95 % interval, is positive where the "
        "model is better.",
        columns=("score", "model", "constant", "gain", "low", "high"),
        rows=tuple(
            (c.name, float(c.model.mean()), float(c.other.mean()), c.gain, c.low, c.high)
            for c in contests
        ),
    )


def _tables(standings: Sequence[Standing], simple: SimpleModels) -> tuple[Table, Table]:
    """Return the contests with the simpler models, and how these were tuned."""
    models = [standing.simple for standing in standings]
    made = "; ".join(f"{model.name}: {model.built}" for model in models)
    return (
        Table(
            title="The model against simpler ones",
            caption=f"The gain, with its 95 % interval, is positive where the model, of "
            f"{simple.parameters:,} parameters, is better. {made[0].upper()}{made[1:]}.",
            columns=("rival", "parameters", "score", "model", "rival's", "gain", "low", "high"),
            rows=tuple(
                (
                    _short(standing),
                    standing.simple.parameters,
                    c.name,
                    float(c.model.mean()),
                    float(c.other.mean()),
                    c.gain,
                    c.low,
                    c.high,
                )
                for standing in standings
                for c in standing.contests
            ),
        ),
        Table(
            title="How the simpler models were tuned",
            caption=f"Adam on {simple.fitted:,} training examples: for each learning rate the "
            f"least loss on {simple.held:,} others, and after how many steps. The least was taken.",
            columns=("rival", "learning rate", "held-out loss", "steps", "taken"),
            rows=tuple(
                (_short(standing), rate, loss, step, "yes" if rate == model.rate else "")
                for standing, model in zip(standings, models, strict=True)
                for rate, loss, step in zip(model.rates, model.held_out, model.steps, strict=True)
            ),
        ),
    )


def _short(standing: Standing) -> str:
    return "linear" if standing.simple.name.endswith("linear model") else "one hidden layer"


def _bars(main: Contest, answer: str, standings: Sequence[Standing]) -> Bars:
    rivals = [main.other, *(standing.main.other for standing in standings)]
    intervals = [mean_interval(scores) for scores in (main.model, *rivals)]
    behind = any(standing.judged and standing.standing == "behind" for standing in standings)
    return Bars(
        title=f"{main.name.capitalize()} of the model and of its baselines",
        caption=f"Mean over validation examples with its 95 % interval; the constant: always "
        f"{answer}.",
        label=main.name,
        labels=("model", "constant", *(_short(standing) for standing in standings)),
        values=(float(main.model.mean()), *(float(scores.mean()) for scores in rivals)),
        low=tuple(low for low, _ in intervals),
        high=tuple(high for _, high in intervals),
        marked=(main.sure_high <= main.least or behind, *(False for _ in rivals)),
    )
