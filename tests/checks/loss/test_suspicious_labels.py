from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.loss.suspicious_labels import EVIDENCE, FEWEST, judge
from auditor.core.figure import Images, Table
from auditor.core.finding import Judgement
from auditor.core.verdict import Verdict
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
    made = LabelledSplit(name, examples, np.arange(examples), labels, probabilities, 0)
    return replace(made, **more)


def unpredicted(name: Any, examples: int = 100) -> LabelledSplit:
    none = np.zeros(0, np.int64)
    return LabelledSplit(name, examples, none, none, np.zeros((0, 0)), 0, "of a reason")


def evidence(
    *splits: LabelledSplit, rows: list[tuple[int, int, int, int]] | None = None, **more: Any
) -> LabelEvidence:
    table = np.asarray(rows or [], np.int64).reshape(-1, 4)
    told = LabelEvidence(splits, table[:, 0], table[:, 1], table[:, 2], table[:, 3], 0, ())
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


def test_a_share_that_is_not_certain_passes(judged: Judged) -> None:
    assert judgement(judged, evidence(split("val", 60, 0.1))).verdict is Verdict.PASS


def test_errors_that_gather_where_the_model_is_less_sure_are_its_own(judged: Judged) -> None:
    said = judgement(judged, evidence(split("val", 1000, 0.12, gathered=True)))
    assert said.verdict is Verdict.PASS
    assert "Of the 62" in said.summary


def test_predictions_that_are_mostly_wrong_do_not_judge(judged: Judged) -> None:
    said = judgement(judged, evidence(split("val", 1000, 0.7)))
    assert said.verdict is Verdict.INFO
    assert "The checkpoint can't judge the validation labels" in said.summary


def test_where_inputs_do_not_settle_the_answer_there_is_no_warning(judged: Judged) -> None:
    rows = [(0, 2 * n + k, n, k) for n in range(20) for k in (0, 1)]
    told = evidence(split("val", 1000, 0.12), rows=rows, near=600)
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
    natural = judgement(judged, evidence(split("val"), rows=rows, near=300))
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
    assert both.verdict is Verdict.PASS
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
