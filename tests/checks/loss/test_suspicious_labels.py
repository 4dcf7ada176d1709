from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.loss.suspicious_labels import EVIDENCE, judge
from auditor.core.figure import Images, Table
from auditor.core.finding import Judgement
from auditor.core.verdict import Verdict
from auditor.observations.copies import Copies
from auditor.observations.label_noise import FEWEST
from auditor.observations.labels import LabelEvidence, LabelledSplit, Thumbnail
from tests.checks.conftest import Judged


def split(
    name: Any, examples: int = 400, wrong: float = 0.0, *, gathered: bool = False, **more: Any
) -> LabelledSplit:
    """Return predictions that are surer of earlier examples, and labels that contradict some.

    Those are spread evenly, or `gathered` where predictions are least sure.
    """
    truth = np.arange(examples) % 3
    sure = np.linspace(0.99, 0.5, examples)
    probabilities = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    probabilities[np.arange(examples), truth] = sure
    count = round(wrong * examples)
    places = np.linspace(0, examples - 1, count).round().astype(int)
    if gathered:
        places = np.arange(examples // 2 - count, examples // 2)
    labels = truth.copy()
    labels[places] = (labels[places] + 1) % 3
    numbers = np.arange(examples)
    made = LabelledSplit(name, examples, True, numbers, labels, probabilities, 300, True)
    return replace(made, **more)


def unpredicted(name: Any, examples: int = 100) -> LabelledSplit:
    none = np.zeros(0, np.int64)
    nothing = np.zeros((0, 0))
    return LabelledSplit(name, examples, True, none, none, nothing, 0, True, "of a reason")


def evidence(
    *splits: LabelledSplit,
    checkpoint: LabelledSplit | None = None,
    rows: list[tuple[int, int, int, int]] | None = None,
    **more: Any,
) -> LabelEvidence:
    table = np.asarray(rows or [], np.int64).reshape(-1, 4)
    own = checkpoint or unpredicted("val")
    told = LabelEvidence(splits, own, table[:, 0], table[:, 1], table[:, 2], table[:, 3], 0.0, ())
    return replace(told, **more)


def judgement(judged: Judged, told: LabelEvidence) -> Judgement:
    return judged(judge, {EVIDENCE: told})


def test_labels_that_agree_pass(judged: Judged) -> None:
    said = judgement(judged, evidence(split("train"), split("val")))
    assert said.verdict is Verdict.PASS
    assert "twice" in said.summary


@pytest.mark.parametrize(("wrong", "verdict"), [(0.05, Verdict.PASS), (0.12, Verdict.WARN)])
def test_wrong_labels_warn_from_the_limit_on(
    judged: Judged, wrong: float, verdict: Verdict
) -> None:
    said = judgement(judged, evidence(split("val", 1000, wrong)))
    assert said.verdict is verdict, said.summary
    if verdict is Verdict.WARN:
        assert said.where[0].kind == "example"
        assert said.where[0].name.startswith("val ")
        (table,) = (figure for figure in said.figures if isinstance(figure, Table))
        margins = [row[-1] for row in table.rows]
        assert margins == sorted(margins)  # type: ignore[type-var]


def test_mostly_wrong_labels_of_training_are_told_by_models_that_are_right_elsewhere(
    judged: Judged,
) -> None:
    said = judgement(judged, evidence(split("train", wrong=0.6), split("val")))
    assert said.verdict is Verdict.WARN, said.summary
    assert said.where[0].name.startswith("train ")


@pytest.mark.parametrize(
    "val", [split("val", wrong=0.55), split("val", 60, 0.45), split("val", steps=0), None]
)
def test_models_that_prove_themselves_nowhere_do_not_accuse(judged: Judged, val: Any) -> None:
    splits = [split("train", wrong=0.6), *([val] if val is not None else [])]
    said = judgement(judged, evidence(*splits))
    assert said.verdict is Verdict.INFO, said.summary
    assert not any(place.name.startswith("train ") for place in said.where)


def test_models_that_have_learnt_from_a_handful_do_not_accuse(judged: Judged) -> None:
    few = judgement(judged, evidence(split("train", 58, 0.3), split("val", wrong=0.2)))
    assert few.verdict is Verdict.INFO, few.summary
    assert few.summary.count("has learnt from 29 examples only, fewer than 10 a class") == 2
    enough = judgement(judged, evidence(split("train", 62, 0.3), split("val", wrong=0.2)))
    assert enough.verdict is Verdict.WARN, enough.summary


def test_validation_that_is_mostly_contradicted_may_be_prepared_otherwise(judged: Judged) -> None:
    said = judgement(judged, evidence(split("train"), split("val", wrong=0.6)))
    assert said.verdict is Verdict.INFO, said.summary


def test_a_share_that_is_not_certain_says_what_would_settle_it(judged: Judged) -> None:
    beyond = judgement(judged, evidence(split("val", 60, 0.1)))
    assert beyond.verdict is Verdict.INFO
    assert "more than 3.3% is not certain; about" in beyond.summary
    below = judgement(judged, evidence(split("val", 80)))
    assert below.verdict is Verdict.PASS
    # 40 of which none is contradicted bound the share to 8.8 %; 107 / 2 bound it to 6.6 %.
    assert "less than 6.6% is not certain; about 107 examples would tell" in below.summary
    assert "not certain" not in judgement(judged, evidence(split("val", 400))).summary


def test_errors_that_gather_where_the_model_is_less_sure_are_its_own(judged: Judged) -> None:
    said = judgement(judged, evidence(split("val", 1000, 0.12, gathered=True)))
    assert said.verdict is Verdict.PASS
    assert "Of the 62" in said.summary


@pytest.mark.parametrize(
    ("surest", "doubt", "verdict"),
    [(5, 0.3, Verdict.INFO), (5, 0.01, Verdict.WARN), (10, 0.3, Verdict.WARN)],
)
def test_doubt_by_degrees_that_the_models_own_up_to_is_no_wrong_label(
    judged: Judged, surest: int, doubt: float, verdict: Verdict
) -> None:
    """39 of the surest 500 are contradicted, of which some are among the surest 125."""
    made, odds = split("val", 1000), np.linspace(0.0, doubt, 1000)
    truth = np.array(made.labels)
    probabilities = np.repeat((odds / 2)[:, None], 3, axis=1)
    probabilities[np.arange(1000), truth] = 1 - odds
    wrong = np.concatenate(
        [np.linspace(0, 124, surest), np.linspace(125, 499, 39 - surest)]
    ).astype(int)
    labels = truth.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    told = replace(made, labels=labels, probabilities=probabilities)
    found = judgement(judged, evidence(told))
    assert found.verdict is verdict, found.summary
    assert ("the models themselves expect" in found.summary) is (verdict is Verdict.INFO)


def unsure(name: Any, wrong: float, **more: Any) -> LabelledSplit:
    """Return predictions that are more often wrong where less sure, and at their surest too."""
    made = split(name, 4800, 0.0, **more)
    labels = np.array(made.labels)
    places = np.unique((np.linspace(0, 1, round(wrong * 4800)) ** 0.6 * 4799).astype(int))
    labels[places] = (labels[places] + 1) % 3
    return replace(made, labels=labels)


def test_fresh_models_that_still_learn_do_not_blame_the_labels(judged: Judged) -> None:
    learning = judgement(judged, evidence(unsure("train", 0.5, settled=False), split("val")))
    assert learning.verdict is Verdict.INFO
    assert "have not learnt what can be learnt in 300 steps" in learning.summary
    ripe = judgement(judged, evidence(unsure("train", 0.5), split("val")))
    assert ripe.verdict is Verdict.WARN, ripe.summary


def test_fresh_models_far_worse_than_the_checkpoint_do_not_blame_the_labels(
    judged: Judged,
) -> None:
    def said(own: float) -> Judgement:
        checkpoint = split("val", 4800, own, steps=0)
        return judgement(
            judged,
            evidence(unsure("train", 0.5), unsure("val", 0.5), checkpoint=checkpoint),
        )

    worse = said(0.02)
    assert worse.verdict is Verdict.INFO, worse.summary
    assert "the checkpoint is surest of" in worse.summary
    assert said(0.3).verdict is Verdict.WARN


def test_predictions_no_better_than_a_constant_do_not_accuse(judged: Judged) -> None:
    """Sure guesses of a class that three in ten are of contradict 42 % of the labels."""
    generator = np.random.default_rng(0)
    predicted, drawn = (generator.random((2, 800)) < 0.3).astype(int)
    probabilities = np.where(predicted[:, None] == np.arange(2), 0.99, 0.01)

    def said(labels: Any) -> Judgement:
        made = replace(split("train", 800), labels=labels, probabilities=probabilities)
        return judgement(judged, evidence(made, replace(made, split="val")))

    flipped = np.where(generator.random(800) < 0.12, 1 - predicted, predicted)
    assert said(flipped).verdict is Verdict.WARN
    none = said(drawn)
    assert none.verdict is Verdict.INFO, none.summary
    assert "always the commonest label would contradict" in none.summary


def test_predictions_without_any_doubt_do_not_accuse(judged: Judged) -> None:
    noisy = split("train", 1000, 0.12)
    sure = np.where(np.asarray(noisy.probabilities) >= 0.5, 1 - 2e-8, 1e-8)
    found = judgement(judged, evidence(replace(noisy, probabilities=sure), split("val", 1000)))
    assert found.verdict is Verdict.INFO, found.summary
    assert "without any doubt, wrong ones too" in found.summary


def test_predictions_that_are_mostly_wrong_do_not_judge(judged: Judged) -> None:
    said = judgement(judged, evidence(split("val", 1000, 0.7)))
    assert said.verdict is Verdict.INFO
    assert "Fresh models can't judge the validation labels" in said.summary
    bad = split("val", 1000, 0.7, steps=0)
    said = judgement(judged, evidence(unpredicted("val"), checkpoint=bad))
    assert said.verdict is Verdict.INFO
    assert "The checkpoint can't judge the validation labels" in said.summary


def test_a_checkpoint_that_can_not_judge_does_not_clear_validation(judged: Judged) -> None:
    bad = split("val", 1000, 0.7, steps=0)
    noisy = evidence(split("train"), split("val", 1000, 0.2), checkpoint=bad)
    assert judgement(judged, noisy).verdict is Verdict.WARN
    alone = evidence(split("train"), unpredicted("val"), checkpoint=bad)
    assert judgement(judged, alone).verdict is Verdict.INFO


def test_the_checkpoint_accuses_where_fresh_models_doubt_but_does_not_clear(
    judged: Judged,
) -> None:
    doubt = split("val", 60, 0.1)

    def verdict(own: float) -> Verdict:
        checkpoint = split("val", 1000, own, steps=0)
        return judgement(judged, evidence(split("train"), doubt, checkpoint=checkpoint)).verdict

    assert verdict(0.12) is Verdict.WARN
    assert verdict(0.0) is Verdict.INFO


def test_a_split_that_is_not_judged_does_not_pass(judged: Judged) -> None:
    for part in (split("val", FEWEST - 1), unpredicted("val")):
        said = judgement(judged, evidence(split("train"), part))
        assert said.verdict is Verdict.INFO, said.summary
    checkpoint = split("val", steps=0)
    unknown = evidence(unpredicted("train"), unpredicted("val"), checkpoint=checkpoint)
    said = judgement(judged, unknown)
    assert said.verdict is Verdict.INFO
    assert "Labels of training data are not ranked: of a reason." in said.summary


def test_how_much_was_read_and_predicted_is_said(judged: Judged) -> None:
    part = replace(split("train"), examples=3000, whole=False)
    said = judgement(judged, evidence(part, split("val"), note="memory was short"))
    assert "400 of 3,000 training examples are judged." in said.summary
    assert "Of training data only the first 3,000 examples are read." in said.summary
    assert "No input stands in what is read twice." in said.summary
    assert "In training, memory was short." in said.summary


def test_where_inputs_do_not_settle_the_answer_there_is_no_warning(judged: Judged) -> None:
    rows = [(0, 2 * n + k, n, k) for n in range(20) for k in (0, 1)]
    told = evidence(split("val", 1000, 0.12), rows=rows, near=0.6)
    said = judgement(judged, told)
    assert said.verdict is Verdict.INFO
    assert "do not settle" in said.summary


def test_one_input_under_two_labels_warns(judged: Judged) -> None:
    rows = [(0, 2 * n + k, n, k) for n in range(20) for k in (0, 1)]
    said = judgement(judged, evidence(split("val"), rows=rows))
    assert said.verdict is Verdict.WARN
    assert "40 examples share their input" in said.summary
    assert len(said.where) == 20
    few = judgement(judged, evidence(split("val"), rows=rows[:2]))
    assert few.verdict is Verdict.PASS
    natural = judgement(judged, evidence(split("val"), rows=rows, near=0.75))
    assert natural.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("shared", "verdict"), [(10, Verdict.PASS), (40, Verdict.WARN), (300, Verdict.FAIL)]
)
def test_validation_examples_in_training(judged: Judged, shared: int, verdict: Verdict) -> None:
    rows = [(k, n, n, n % 3) for n in range(shared) for k in (0, 1)]
    said = judgement(judged, evidence(split("train"), split("val"), rows=rows))
    assert said.verdict is verdict
    assert f"{shared} of 400 validation examples" in said.summary
    if verdict is not Verdict.PASS:
        assert said.where[0].name == "val 0"
    assert ("memory" in " ".join(said.advice)) is (verdict is not Verdict.PASS)


def test_repetitions_that_training_leads_to_expect_do_not_count(judged: Judged) -> None:
    rows = [(0, n, n // 2, 0) for n in range(40)] + [(1, n, n, 0) for n in range(20)]
    said = judgement(judged, evidence(split("train"), split("val"), rows=rows))
    assert said.verdict is Verdict.PASS
    assert "where 10% stand twice" in said.summary


def test_what_can_not_be_judged_says_why(judged: Judged) -> None:
    alone = judgement(judged, evidence(unpredicted("val")))
    assert alone.verdict is Verdict.NOT_APPLICABLE
    assert "of a reason" in alone.summary
    both = judgement(judged, evidence(unpredicted("train"), unpredicted("val")))
    assert both.verdict is Verdict.INFO
    few = judgement(judged, evidence(split("val", FEWEST - 1)))
    assert few.verdict is Verdict.INFO
    assert str(FEWEST) in few.summary


def test_thumbnails_stand_beside_their_examples(judged: Judged) -> None:
    told = evidence(split("val", 1000, 0.12))
    first = judgement(judged, told).where[0]
    number = int(first.name.split()[1])
    said = judgement(judged, replace(told, thumbnails=(Thumbnail("val", number, "AAAA"),)))
    (gallery,) = (figure for figure in said.figures if isinstance(figure, Images))
    assert gallery.images[0].caption == f"{first.name}: {first.note}"


def copies(*often: int) -> Copies:
    """Return how often examples of one class stand there, one number for each different one."""
    times, kinds = np.unique(np.asarray(often), return_counts=True)
    return Copies(sum(often), len(often), times, kinds)


DRAWN = np.random.default_rng(0).poisson(1.0, 1000)
COPIED = {
    "each twice": ([2] * 100, Verdict.WARN),
    "four workers with one seed": ([4] * 240 + [8] * 10, Verdict.WARN),
    "four workers that draw alike": ([*(4 * DRAWN[DRAWN > 0])], Verdict.WARN),
    "half of them twice": ([2] * 300 + [1] * 300, Verdict.WARN),
    "too few to be certain": ([2] * 30 + [1] * 70, Verdict.PASS),
    "a few of them twice": ([2] * 100 + [1] * 600, Verdict.PASS),
    "each once": ([1] * 500, Verdict.PASS),
    "drawn with replacement": ([*DRAWN[DRAWN > 0]], Verdict.PASS),
    "a part drawn ten times as often": ([10] * 60 + [1] * 540, Verdict.PASS),
    "a handful": ([25] * 4, Verdict.PASS),
}


@pytest.mark.parametrize(("often", "verdict"), COPIED.values(), ids=COPIED)
def test_training_that_was_copied_warns(judged: Judged, often: list[int], verdict: Verdict) -> None:
    told = evidence(split("train"), split("val"), copies=copies(*often))
    said = judgement(judged, told)
    assert said.verdict is verdict, said.summary
    if verdict is Verdict.WARN:
        assert said.where[0].name == "data.train"
        assert f"{len(often):,} different examples in {sum(often):,}" in said.where[0].note
        assert "over" in said.advice[0]
    # Inputs of few distinct values repeat themselves by chance.
    assert judgement(judged, replace(told, near=0.5)).verdict is Verdict.PASS


def test_training_copied_whole_leads_to_expect_no_validation_example(judged: Judged) -> None:
    rows = [(0, 2 * n, n, 0) for n in range(200)] + [(0, 2 * n + 1, n, 0) for n in range(200)]
    rows += [(1, n, n, 0) for n in range(100)]
    told = evidence(split("train"), split("val"), rows=rows, copies=copies(*[2] * 200))
    said = judgement(judged, told)
    assert any("the same as train" in place.note for place in said.where)
