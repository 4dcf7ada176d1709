"""Recall by class, against counting."""

import numpy as np
import pytest

from auditor.core.statistics import clopper_pearson
from auditor.core.subject import TargetFacts
from auditor.observations.probabilities import Decisions, decide
from auditor.observations.recalls import recalls
from tests.predictions import drawn, predicted

EVEN = TargetFacts("classes", 40, (0, 1, 2, 3), (10, 10, 10, 10))


def test_recall_is_counted_class_by_class() -> None:
    logits, truth = drawn(400, 4)
    decisions = decide(predicted(logits, truth))
    assert not isinstance(decisions, str)
    found = recalls(decisions, EVEN, 4)
    answer = logits.argmax(axis=1)
    for number in range(4):
        own = truth == number
        assert found.recall[number] == pytest.approx((answer[own] == number).mean())
        wrong = answer[own & (answer != number)]
        assert found.mistaken_rows[number] == np.bincount(wrong).max()
        assert found.mistaken[number] == np.bincount(wrong).argmax()
        hits = int((answer[own] == number).sum())
        bounds = clopper_pearson(hits, int(own.sum()))
        assert found.interval(np.asarray([number])) == pytest.approx(bounds)
    assert found.predicted.tolist() == np.bincount(answer, minlength=4).tolist()
    assert found.recall_of_rest(0) == pytest.approx((answer == truth)[truth != 0].mean())


def test_rows_of_one_example_are_one_trial() -> None:
    truth = np.repeat([0, 1], 500)
    decisions = Decisions(truth, truth * 0, np.repeat(np.arange(10), 100), truth * 0)
    found = recalls(decisions, EVEN, 4)
    assert found.examples.tolist() == [5, 5, 0, 0]
    assert found.interval(np.asarray([1])) == pytest.approx(clopper_pearson(0, 5))
    assert np.isnan(found.recall[2])
    assert found.present.tolist() == [0, 1]


def test_each_label_has_two_classes() -> None:
    targets = np.asarray([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    outputs = np.asarray([[-1.0, 1.0], [-1.0, 1.0], [1.0, 1.0]])
    decisions = decide(predicted(outputs, targets, "binary_cross_entropy_with_logits"))
    assert not isinstance(decisions, str)
    facts = TargetFacts("labels", 6, (0, 1, 2, 3), (1, 2, 1, 2))
    found = recalls(decisions, facts, 2)
    assert found.names == ("label 0 = 0", "label 0 = 1", "label 1 = 0", "label 1 = 1")
    assert found.recall.tolist() == [1.0, 0.5, 0.0, 1.0]
    assert found.mistaken_name(2) == "label 1 = 1"
    assert found.mistaken_name(3) == ""
    assert found.peers(2).tolist() == [2, 3]
