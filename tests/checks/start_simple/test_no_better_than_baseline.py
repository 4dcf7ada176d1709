import numpy as np
import pytest

from auditor.checks.start_simple.no_better_than_baseline import (
    PERFORMANCE,
    SIMPLE,
    TARGETS,
    judge,
)
from auditor.core.request import Unavailable
from auditor.core.statistics import paired_bootstrap
from auditor.core.subject import TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.baselines import SimpleModel, SimpleModels
from auditor.observations.performance import Performance
from auditor.observations.targets import TargetsSeen


def classes(
    truth: np.ndarray, right: np.ndarray, entropies: np.ndarray | None = None
) -> Performance:
    count = len(truth)
    return Performance(
        "accuracy",
        np.asarray(right, float),
        np.zeros(0) if entropies is None else entropies,
        np.ones(1),
        np.array([count]),
        np.arange(count),
        truth,
        np.ones(count, int),
        np.zeros((0, 0)),
        "val",
    )


def numbers(truth: np.ndarray, predicted: np.ndarray, metric: str = "squared error"):
    gap = np.abs(truth - predicted)
    table = truth.reshape(len(truth), -1)
    gap = gap.reshape(table.shape)
    return Performance(
        metric,  # type: ignore[arg-type]
        (gap**2 if metric == "squared error" else gap).mean(axis=1),
        np.zeros(0),
        np.ones(1),
        np.array([len(truth)]),
        *(np.zeros(0, int),) * 3,
        table,
        "val",
    )


def seen(performance: Performance, facts: TargetFacts, split: str = "train") -> dict:
    return {PERFORMANCE: performance, TARGETS: TargetsSeen(facts, split)}


TWO = TargetFacts("classes", 200, (0, 1), (120, 80))
STANDARD = TargetFacts(
    "numbers", 200, mean=(0.0,), variance=(1.0,), median=(0.0,), mean_absolute_deviation=(0.8,)
)


def halves(count: int) -> np.ndarray:
    return np.arange(count) % 2


def test_a_good_model(judged) -> None:
    truth = halves(200)
    found = judged(judge, seen(classes(truth, np.arange(200) % 20 > 0), TWO))
    assert found.verdict is Verdict.PASS
    assert "accuracy is 0.95, that of always giving class 0 0.5" in found.summary
    assert "better by 0.45" in found.summary
    assert found.metrics[0].limit == judge.limits["gain"]


def test_a_model_that_gives_the_constant(judged) -> None:
    truth = halves(200)
    found = judged(judge, seen(classes(truth, truth == 0), TWO))
    assert found.verdict is Verdict.FAIL
    assert found.metrics[0].value == found.metrics[0].low == found.metrics[0].high == 0
    assert "exactly those of always giving class 0" in found.summary


def test_a_model_that_gives_another_constant_can_not_win_by_luck(judged) -> None:
    truth = np.repeat([0, 1], [40, 160])
    found = judged(judge, seen(classes(truth, truth == 1), TWO))
    assert found.metrics[0].low > 0
    assert found.verdict is Verdict.FAIL
    assert "class 1" in found.summary


def test_a_model_that_is_worse(judged) -> None:
    found = judged(judge, seen(classes(halves(200), np.arange(200) % 5 == 0), TWO))
    assert found.verdict is Verdict.FAIL
    assert "worse by 0.3" in found.summary


def test_a_straddling_interval_says_how_many_examples(judged) -> None:
    right = np.random.default_rng(0).permutation(100) < 56
    found = judged(judge, seen(classes(halves(100), right), TWO))
    assert found.verdict is Verdict.WARN
    assert "examples would settle it" in found.summary


def test_the_burden_of_proof_is_the_models(judged) -> None:
    right = np.random.default_rng(0).permutation(100) < 49
    found = judged(judge, seen(classes(halves(100), right), TWO))
    assert found.verdict is Verdict.FAIL


def test_rare_classes_pass_by_their_probabilities(judged) -> None:
    truth = (np.arange(1000) % 20 == 0).astype(int)
    rare = TargetFacts("classes", 1000, (0, 1), (950, 50))
    sharp = np.where(truth == 1, -np.log(0.4), -np.log(0.98))
    found = judged(judge, seen(classes(truth, truth == 0, sharp), rare))
    assert found.verdict is Verdict.PASS
    assert "But its cross-entropy, 0.065 nats, is better by 0.134" in found.summary


def test_constant_probabilities_never_pass_however_well_chosen(judged) -> None:
    truth = (np.arange(1000) % 20 == 0).astype(int)
    wrong = TargetFacts("classes", 1000, (0, 1), (700, 300))
    chosen = np.where(truth == 1, -np.log(0.05), -np.log(0.95))
    found = judged(judge, seen(classes(truth, truth == 0, chosen), wrong))
    assert found.verdict is Verdict.FAIL


def test_rare_classes_that_no_model_could_win(judged) -> None:
    truth = (np.arange(100) < 3).astype(int)
    rare = TargetFacts("classes", 1000, (0, 1), (950, 50))
    found = judged(judge, seen(classes(truth, np.ones(100)), rare))
    assert found.verdict is Verdict.INFO
    assert "all but 3 of 100" in found.summary


@pytest.mark.parametrize("count", [0, 1, 19])
def test_few_examples(judged, count: int) -> None:
    found = judged(judge, seen(classes(halves(count), np.ones(count)), TWO))
    assert found.verdict is Verdict.INFO
    assert "20 are needed" in found.summary


def test_ties_go_to_the_lowest_class(judged) -> None:
    even = TargetFacts("classes", 200, (3, 7), (100, 100))
    truth = np.where(halves(200), 7, 3)
    assert "class 3" in judged(judge, seen(classes(truth, np.ones(200)), even)).summary


def test_several_labels(judged) -> None:
    count, rng = 200, np.random.default_rng(0)
    truth = rng.random((count, 3)) < [0.8, 0.3, 0.5]
    example, label = np.divmod(np.arange(count * 3), 3)
    performance = Performance(
        "accuracy",
        np.full(count, 0.95),
        np.full(count, 0.1),
        np.ones(1),
        np.array([count]),
        example,
        2 * label + truth.reshape(-1),
        np.ones(count * 3, int),
        np.zeros((0, 0)),
        "val",
    )
    facts = TargetFacts("labels", 600, tuple(range(6)), (20, 80, 70, 30, 50, 50))
    found = judged(judge, seen(performance, facts))
    assert found.verdict is Verdict.PASS
    assert "each label's most common value" in found.summary
    constant = (truth == [True, False, False]).mean()
    assert found.metrics[2].value == pytest.approx(constant)


def test_many_targets_an_example(judged) -> None:
    count = 50
    performance = Performance(
        "accuracy",
        np.full(count, 0.9),
        np.zeros(0),
        np.ones(1),
        np.array([count]),
        np.repeat(np.arange(count), 2),
        np.tile([0, 1], count),
        np.tile([60, 40], count),
        np.zeros((0, 0)),
        "val",
    )
    found = judged(judge, seen(performance, TWO))
    assert found.verdict is Verdict.PASS
    assert found.metrics[2].value == pytest.approx(0.6)


@pytest.mark.parametrize("metric", ["squared error", "absolute error"])
def test_regression(judged, metric: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    good = judged(judge, seen(numbers(truth, 0.8 * truth, metric), STANDARD))
    assert good.verdict is Verdict.PASS
    useless = judged(judge, seen(numbers(truth, rng.normal(size=200), metric), STANDARD))
    assert useless.verdict is Verdict.FAIL
    for constant in (0.0, 0.05, float(truth.mean())):
        found = judged(judge, seen(numbers(truth, np.full(200, constant), metric), STANDARD))
        assert found.verdict is Verdict.FAIL
        assert "exactly those of always giving" in found.summary


def test_variance_explained(judged) -> None:
    truth = np.random.default_rng(0).normal(size=200)
    found = judged(
        judge,
        seen(
            numbers(
                truth,
                truth + 0.5 * np.sign(truth),
            ),
            STANDARD,
        ),
    )
    metric = next(m for m in found.metrics if m.name.startswith("variance explained"))
    assert metric.value == pytest.approx(1 - 0.25 / truth.var())


def test_luck_against_a_shifted_mean_warns(judged) -> None:
    rng = np.random.default_rng(0)
    truth = 1 + rng.normal(size=200)
    almost = 1 + 0.1 * rng.normal(size=200)
    found = judged(judge, seen(numbers(truth, almost), STANDARD))
    assert found.metrics[0].low > 0
    assert found.verdict is Verdict.WARN
    assert "difference between the splits" in found.summary


def test_predictions_that_are_not_finite(judged) -> None:
    truth = np.random.default_rng(0).normal(size=50)
    predicted = truth.copy()
    predicted[3] = np.nan
    found = judged(judge, seen(numbers(truth, predicted), STANDARD))
    assert found.verdict is Verdict.FAIL
    assert "1 of 50" in found.summary


def test_too_many_outputs_to_keep(judged) -> None:
    performance = numbers(np.ones(50), np.zeros(50))
    narrow = Performance(**{**vars(performance), "target_values": np.zeros((50, 0))})
    assert judged(judge, seen(narrow, STANDARD)).verdict is Verdict.NOT_APPLICABLE
    unknown = TargetFacts("unknown", 0)
    found = judged(judge, seen(classes(halves(50), np.ones(50)), unknown))
    assert found.verdict is Verdict.NOT_APPLICABLE


def test_targets_that_do_not_vary(judged) -> None:
    found = judged(judge, seen(numbers(np.zeros(50), np.zeros(50)), STANDARD))
    assert found.verdict is Verdict.INFO


def test_says_when_the_constant_is_fitted_to_validation_data(judged) -> None:
    found = judged(judge, seen(classes(halves(50), np.ones(50)), TWO, "val"))
    assert "fitted to the validation data itself" in found.summary


def test_the_seed_alone_decides_the_interval(judged) -> None:
    performance = classes(halves(200), np.arange(200) % 3 > 0)
    first = judged(judge, seen(performance, TWO), seed=4)
    assert first == judged(judge, seen(performance, TWO), seed=4)


RARE = TargetFacts("classes", 1000, (0, 1), (950, 50))


def weighted(recalls: tuple[float, float], count: int = 1000) -> Performance:
    """Return a model's scores where one example in twenty is of class 1, by recall of each class.

    Its probabilities are those of a model trained with class weights: poor as probabilities.
    """
    truth = (np.arange(count) % 20 == 0).astype(int)
    right = np.zeros(count, bool)
    for label, recall in enumerate(recalls):
        rows = np.flatnonzero(truth == label)
        right[rows[: round(recall * len(rows))]] = True
    return classes(truth, right, np.where(right, 0.3, 1.2))


def test_a_model_trained_with_class_weights_passes_by_its_balanced_accuracy(judged) -> None:
    performance = weighted((0.85, 0.85))
    found = judged(judge, seen(performance, RARE))
    assert found.metrics[0].high < 0
    gains = {m.name: m for m in found.metrics}
    assert gains["gain in cross-entropy"].high < 0
    assert gains["gain in balanced accuracy"].value == pytest.approx(0.35, abs=0.01)
    assert found.verdict is Verdict.PASS
    assert "But its balanced accuracy, 0.845, is better by 0.345" in found.summary
    assert found.summary.endswith("than that of any constant, 0.5.")
    assert "98.3 % interval" in found.summary


@pytest.mark.parametrize("recalls", [(0.5, 0.48), (0.2, 0.8), (0.98, 0.0)])
def test_moving_the_threshold_alone_wins_no_contest(judged, recalls) -> None:
    found = judged(judge, seen(weighted(recalls), RARE))
    assert found.verdict is Verdict.FAIL
    assert "Nor is its balanced accuracy" in found.summary


def test_guessing_is_never_certainly_better(judged) -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(400) % 20 == 0).astype(int)
    passed = 0
    for seed in range(60):
        guessed = (rng.random(400) < 0.5).astype(int) == truth
        found = judged(judge, seen(classes(truth, guessed), RARE), seed=seed)
        passed += found.verdict is Verdict.PASS
    assert passed <= 4


def test_rare_constants_of_another_class_fail_in_spite_of_a_balanced_tie(judged) -> None:
    truth = (np.arange(1000) % 20 == 0).astype(int)
    found = judged(judge, seen(classes(truth, truth == 1), RARE))
    assert found.verdict is Verdict.FAIL
    assert "exactly those of always giving class 1" in found.summary


def test_a_weighted_sampler_changes_the_constant_and_not_the_verdict(judged) -> None:
    sampled = TargetFacts("classes", 1000, (0, 1), (495, 505))
    found = judged(judge, seen(weighted((0.85, 0.85)), sampled))
    assert found.verdict is Verdict.PASS


def test_balanced_accuracy_takes_one_target_an_example(judged) -> None:
    found = judged(judge, seen(weighted((0.9, 0.9)), RARE))
    assert "gain in balanced accuracy" in [m.name for m in found.metrics]
    found = judged(judge, seen(numbers(np.arange(50.0), np.arange(50.0)), STANDARD))
    assert "gain in balanced accuracy" not in [m.name for m in found.metrics]


def test_the_records_intervals_are_of_95_percent_and_narrower_than_the_verdicts(judged) -> None:
    performance = weighted((0.85, 0.85))
    found = judged(judge, seen(performance, RARE))
    rng = np.random.default_rng(0)
    gain = found.metrics[0]
    constant = (np.arange(1000) % 20 > 0).astype(float)
    low, high = paired_bootstrap(performance.scores, constant, rng)
    assert (gain.low, gain.high) == pytest.approx((low, high))
    ends = found.summary.split("interval ")[1].split(")")[0].split(" to ")
    assert float(ends[1]) - float(ends[0]) > gain.high - gain.low


def test_outputs_that_are_not_finite_fail_by_accuracy_too(judged) -> None:
    right = np.ones(200)
    right[:3] = np.nan
    found = judged(judge, seen(classes(halves(200), right, np.ones(200)), TWO))
    assert found.verdict is Verdict.FAIL
    assert "The model's output is not finite for 3 of 200" in found.summary


def test_an_answer_near_zero_is_shown_as_zero(judged) -> None:
    truth = np.random.default_rng(0).normal(size=200)
    found = judged(judge, seen(numbers(truth, np.full(200, -5.81e-9)), STANDARD))
    assert found.summary.endswith("always giving 0.")
    centred = TargetFacts("numbers", 200, mean=(-1e-9,), variance=(1.0,))
    found = judged(judge, seen(numbers(truth, 0.5 * truth), centred))
    assert "mean (0)" in found.summary


def simple(
    scores: np.ndarray,
    entropies: np.ndarray | None = None,
    name: str = "a linear model",
    parameters: int = 65,
) -> SimpleModel:
    nothing = np.zeros(0) if entropies is None else entropies
    return SimpleModel(
        name, "built", parameters, (0.01, 0.1), (0.3, 0.2), (75, 50), 0.1, scores, nothing, scores
    )


def beside(performance: Performance, *models: SimpleModel, parameters: int = 5000) -> dict:
    known = TWO if performance.metric == "accuracy" else STANDARD
    answers = seen(performance, known)
    return {**answers, SIMPLE: SimpleModels(models, parameters, 800, 200)}


def shares(share: float, count: int = 400, turn: int = 0) -> np.ndarray:
    """Return scores of which so many are right, others for another turn."""
    return (np.roll(np.random.default_rng(5).permutation(count), turn) < share * count) * 1.0


def costs(right: np.ndarray, sure: float = 0.1) -> np.ndarray:
    return np.where(right > 0, sure, 1.5)


def test_a_linear_model_that_is_ahead_warns_and_is_named(judged) -> None:
    own, other = shares(0.7), shares(0.9, turn=7)
    performance = classes(halves(400), own, costs(own))
    found = judged(judge, beside(performance, simple(other, costs(other))))
    assert found.verdict is Verdict.WARN
    assert "A linear model of 65 parameters beats the model with its 5,000" in found.summary
    assert "accuracy 0.9 against 0.7" in found.summary
    assert [place.name for place in found.where] == ["linear model"]
    assert "after 50 steps of Adam at 0.1" in found.advice[0]
    assert found.figures[1].marked == (True, False, False)
    gain = next(m for m in found.metrics if m.name.startswith("gain over a linear model"))
    assert gain.value == pytest.approx(-0.2 / 0.5)


def test_a_model_that_is_ahead_of_both_passes(judged) -> None:
    own = shares(0.95)
    rivals = (
        simple(shares(0.8, turn=3)),
        simple(shares(0.85, turn=9), name="a network with one hidden layer", parameters=900),
    )
    found = judged(judge, beside(classes(halves(400), own), *rivals))
    assert found.verdict is Verdict.PASS
    assert "With its 5,000 it beats a linear model of 65 parameters (accuracy 0.8" in found.summary
    assert "it beats a network with one hidden layer of 900 parameters" in found.summary
    assert not found.where
    assert len(found.figures) == 4


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.94, Verdict.INFO), (0.96, Verdict.INFO), (0.98, Verdict.PASS)]
)
def test_neither_ahead_nor_behind_says_what_would_settle_it(judged, share, verdict) -> None:
    own, other = shares(share, 100), shares(0.96, 100, turn=7)
    found = judged(judge, beside(classes(halves(100), own), simple(other)))
    assert found.verdict is verdict
    assert "with its 5,000 is better than a linear model of 65 parameters is not" in found.summary
    assert share == 0.96 or "examples would settle it" in found.summary
    assert not found.where


def test_a_rival_that_leaves_nothing_to_gain_is_no_reproach(judged) -> None:
    own, other = shares(0.97, 100), shares(0.98, 100, turn=7)
    found = judged(judge, beside(classes(halves(100), own), simple(other)))
    assert found.verdict is Verdict.PASS
    assert "is not beyond doubt" in found.summary


def test_a_smaller_model_that_is_not_ahead_passes(judged) -> None:
    own, other = shares(0.94, 100), shares(0.96, 100, turn=7)
    found = judged(judge, beside(classes(halves(100), own), simple(other), parameters=60))
    assert found.verdict is Verdict.PASS


def test_ahead_in_accuracy_alone_is_not_ahead(judged) -> None:
    own, other = shares(0.8), shares(0.95, turn=7)
    worse = np.where(other > 0, 0.9, 2.0)
    performance = classes(halves(400), own, costs(own))
    found = judged(judge, beside(performance, simple(other, worse)))
    assert found.verdict is Verdict.PASS
    assert "it beats a linear model of 65 parameters (cross-entropy" in found.summary


def test_a_model_trained_with_class_weights_is_not_held_against_plain_accuracy(judged) -> None:
    performance = weighted((0.85, 0.85))
    truth = (np.arange(1000) % 20 == 0).astype(int)
    plain = simple((truth == 0) * 1.0, np.where(truth == 1, 2.0, 0.05))
    answers = {**seen(performance, RARE), SIMPLE: SimpleModels((plain,), 5000, 800, 200)}
    assert judged(judge, answers).verdict is Verdict.PASS


def test_a_lead_too_small_to_notice_is_none(judged) -> None:
    truth = np.random.default_rng(0).normal(size=2000)
    performance = numbers(truth, 0.6 * truth)
    for lead, verdict in ((0.04, Verdict.INFO), (0.07, Verdict.WARN)):
        other = simple(np.asarray(performance.scores) - lead * truth**2)
        found = judged(judge, beside(performance, other, parameters=100))
        assert found.verdict is verdict, found.summary


@pytest.mark.parametrize(
    ("parameters", "left", "verdict"),
    [
        (700, 0.3, Verdict.WARN),
        (600, 0.3, Verdict.INFO),  # not ten times the parameters
        (60, 0.3, Verdict.PASS),  # not more parameters
        (5000, 0.03, Verdict.PASS),  # nothing left to be better at
    ],
)
def test_many_times_the_parameters_for_no_gain_warns(judged, parameters, left, verdict) -> None:
    truth = np.random.default_rng(0).normal(size=2000)
    performance = numbers(truth, truth - np.sqrt(left) * truth)
    other = simple(np.asarray(performance.scores) * 1.001)
    found = judged(judge, beside(performance, other, parameters=parameters))
    assert found.verdict is verdict, found.summary
    level = f"does as well as the model with its {parameters}:" in found.summary
    assert level == (parameters in (600, 700))
    assert [place.name for place in found.where] == ["linear model"] * (verdict is Verdict.WARN)


def test_a_network_that_is_no_simpler_is_shown_and_not_judged(judged) -> None:
    own, other = shares(0.7), shares(0.9, turn=7)
    wide = simple(other, name="a network with one hidden layer", parameters=80)
    found = judged(judge, beside(classes(halves(400), own), wide, parameters=60))
    assert found.verdict is Verdict.PASS
    assert "of 80 parameters is not held against the model with its 60" in found.summary
    assert "accuracy 0.9 against 0.7" in found.summary
    assert "one hidden layer" in str(found.figures[2])
    linear = simple(other, parameters=80)
    found = judged(judge, beside(classes(halves(400), own), linear, parameters=60))
    assert found.verdict is Verdict.WARN


def test_the_constant_decides_where_that_is_worse(judged) -> None:
    truth = halves(400)
    found = judged(judge, beside(classes(truth, truth == 0), simple(shares(0.9))))
    assert found.verdict is Verdict.FAIL
    assert "beats the model with its 5,000" in found.summary
    assert [place.name for place in found.where] == ["linear model"]


def test_scores_that_can_not_be_paired_are_left_out(judged) -> None:
    performance = classes(halves(400), shares(0.7))
    for other in (shares(0.9, 399), np.full(400, np.nan)):
        found = judged(judge, beside(performance, simple(other)))
        assert found.verdict is Verdict.PASS
        assert "linear" not in found.summary


def test_says_why_no_simpler_model_was_tried(judged) -> None:
    answers = seen(classes(halves(200), np.arange(200) % 20 > 0), TWO)
    answers[SIMPLE] = Unavailable("no training data is given")
    found = judged(judge, answers)
    assert found.verdict is Verdict.PASS
    assert found.summary.endswith("Simpler models were not tried: no training data is given.")


def test_equal_models_are_not_told_apart_by_chance(judged) -> None:
    rng = np.random.default_rng(1)
    warned = 0
    for seed in range(60):
        own, other = (rng.random((2, 200)) < 0.8).astype(float)
        performance = classes(halves(200), own, costs(own))
        answers = beside(performance, simple(other, costs(other)))
        warned += judged(judge, answers, seed=seed).verdict is Verdict.WARN
    assert warned <= 1
