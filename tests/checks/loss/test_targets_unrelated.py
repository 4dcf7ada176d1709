from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.loss.targets_unrelated import RELATION, judge
from auditor.core.verdict import Verdict
from auditor.observations.target_relation import Answers, Relation, TargetRelation

RNG = np.random.default_rng(0)


def relation(told: float, chance: float, examples: int = 400) -> Relation:
    """A relation that tells about so much of the variance."""
    constant = RNG.gamma(4, 0.25, examples)
    errors = constant * (1 - told) * RNG.gamma(100, 0.01, examples)
    return Relation(chance, errors, constant)


def answers(without: float, examples: int = 400) -> Answers:
    errors = (1 - without) * RNG.gamma(4, 0.25, examples)
    return Answers(errors / errors.mean() * (1 - without), 1.0)


CLEAR, SILENT = relation(0.5, 0.003), relation(-0.01, 0.6)


def seen(train: Relation, val: Relation, on_train: float = 0.02, on_val: float = -0.1):
    both = {"train": train, "val": val}
    model = {"train": answers(on_train), "val": answers(on_val)}
    return {RELATION: TargetRelation(model, both, both)}


def test_a_model_that_does_well_on_validation_data_learnt_from_sound_pairs(judged):
    told = TargetRelation({"val": answers(0.5)})
    assert judged(judge, {RELATION: told}).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("train", "val", "place"), [(SILENT, CLEAR, "data.train"), (CLEAR, SILENT, "data.val")]
)
def test_the_split_that_tells_nothing_while_the_other_does_fails(judged, train, val, place):
    found = judged(judge, seen(train, val))
    assert found.verdict is Verdict.FAIL
    assert [one.name for one in found.where] == [place]


@pytest.mark.parametrize(
    ("train", "val", "verdict"),
    [
        (CLEAR, CLEAR, Verdict.PASS),  # a broken model, and pairs that any simple one learns
        (relation(0.03, 0.003), CLEAR, Verdict.PASS),  # hard, or most labels wrong, but something
        (relation(0.03, 0.003), relation(0.02, 0.003), Verdict.PASS),
        (relation(0.25, 0.02), CLEAR, Verdict.INFO),  # not surely half of the other
        (SILENT, relation(0.03, 0.003), Verdict.INFO),  # too little to expect it in the other
        (SILENT, relation(0.5, 0.02), Verdict.INFO),  # may be chance
        (SILENT, SILENT, Verdict.INFO),  # beyond simple means, and the model has learnt nothing
    ],
)
def test_what_is_weak_or_alike_in_both_is_no_torn_pair(judged, train, val, verdict):
    found = judged(judge, seen(train, val))
    assert found.verdict is verdict, found.summary
    assert not found.where


def test_the_other_is_held_to_as_many_examples(judged):
    told = seen(SILENT, CLEAR)[RELATION]
    told = replace(told, cut={"train": SILENT, "val": relation(0.04, 0.003)})
    assert judged(judge, {RELATION: told}).verdict is Verdict.INFO


@pytest.mark.parametrize(
    ("on_train", "on_val", "examples", "verdict"),
    [
        (0.6, -0.3, 400, Verdict.WARN),
        (0.1, -0.3, 400, Verdict.INFO),  # a model that does not learn tells nothing of its data
        (0.6, 0.08, 400, Verdict.INFO),  # a hard task with a small signal
        (0.6, -0.3, 150, Verdict.INFO),
        (0.6, 0.0, 400, Verdict.WARN),
    ],
)
def test_noise_that_is_known_by_heart_warns(judged, on_train, on_val, examples, verdict):
    told = seen(relation(-0.01, 0.4, examples), relation(0.0, 0.7), on_train, on_val)
    found = judged(judge, told)
    assert found.verdict is verdict, found.summary
    assert len(found.where) == (2 if verdict is Verdict.WARN else 0)


def test_a_model_that_may_well_know_validation_data_is_no_sign_of_noise(judged):
    told = seen(SILENT, SILENT, 0.6)[RELATION]
    wide = np.where(np.arange(400) < 20, 19.0, 0.0)  # heavy tails: 0.95, give or take 0.53
    found = judged(judge, {RELATION: replace(told, model=told.model | {"val": Answers(wide, 1.0)})})
    assert found.verdict is Verdict.INFO


@pytest.mark.parametrize(("examples", "known"), [(39, False), (40, True)])
def test_a_few_right_answers_are_no_proof(examples, known):
    assert TargetRelation({"val": Answers(np.zeros(examples), 0.9)}).known is known


def test_what_was_not_looked_at_is_no_pass(judged):
    told = TargetRelation({"val": answers(0.0)}, reason="there is too little of it")
    assert judged(judge, {RELATION: told}).verdict is Verdict.NOT_APPLICABLE
