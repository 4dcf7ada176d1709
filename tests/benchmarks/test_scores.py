"""The metric that kills mutants, and what the audits are scored by."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks.detection.__main__ import below_floor
from benchmarks.detection.case import Case
from benchmarks.detection.found import Found, Named, Said, read, write
from benchmarks.detection.score import Rate, alarms, outcome, totals
from benchmarks.detection.scores import (
    killed,
    near,
    right_class,
    right_labels,
    right_share,
    right_token,
)
from benchmarks.detection.table import page

GOOD = tuple([1.0] * 60)
BAD = tuple([1.0] * 30 + [0.0] * 30)


def never() -> None:
    raise AssertionError("nothing is trained here")


CASE = Case(
    id="planted/decay/mlp/0",
    seed=0,
    kind="training",
    make=never,
    twin="healthy/mlp/0",
    causes=("regularisation-overwhelms",),
    places=("weight_decay",),
)

TWIN = Found("healthy/mlp/0", GOOD, (Said("dead-units", "warn", "", ("body.1",)),), (), 3.0)

SEEN = Found(
    CASE.id,
    BAD,
    (
        Said("dead-units", "warn", "", ("body.1",)),
        Said("regularisation-overwhelms", "fail", "", ("optimizer weight_decay 0.5",)),
    ),
    (
        Named("underfitted", "", "likely", ("underfitted",)),
        Named("regularisation-overwhelms", "", "likely", ("regularisation-overwhelms",)),
    ),
    5.0,
)


def test_scores_are_one_number_an_example() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    assert right_class(logits, torch.tensor([0, 0])).tolist() == [1.0, 0.0]
    maps = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)], dim=1)
    assert right_class(maps, torch.tensor([[[1, 1], [1, 0]]])).tolist() == [0.75]
    assert right_labels(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, 1.0]])).tolist() == [0.5]
    assert right_share(torch.tensor([[0.4, 0.6]]), torch.tensor([[1.0, 1.0]])).tolist() == [0.5]
    assert near(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]])).tolist() == [-2.0]
    flat = torch.zeros(1, 3, 4)
    padded = torch.tensor([[1, 2, -100]])
    assert right_token(flat, padded).item() == pytest.approx(-np.log(4))


def test_a_mutant_is_killed_where_it_does_significantly_worse() -> None:
    assert killed(np.array(BAD), np.array(GOOD))
    assert not killed(np.array(GOOD), np.array(BAD))
    assert not killed(np.array(GOOD), np.array(GOOD))
    one_wrong = np.array([0.0, *GOOD[1:]])
    assert not killed(one_wrong, np.array(GOOD))


def test_no_number_is_worse_than_any() -> None:
    assert killed(np.full(60, np.nan), -np.full(60, 1e6))


def test_other_examples_are_compared_as_a_whole() -> None:
    assert killed(np.array(BAD[::2] * 3), np.array(GOOD))
    assert not killed(np.array(GOOD[:40]), np.array(GOOD))


def test_an_outcome_counts_what_the_twin_did_not_say() -> None:
    one = outcome(CASE, SEEN, TWIN)
    assert one.counts
    assert one.loud == ("regularisation-overwhelms",)
    assert (one.rank, one.place) == (2, True)


def test_a_finding_that_got_worse_than_the_twins_is_heard() -> None:
    worse = replace(SEEN, said=(Said("dead-units", "fail", "", ()),))
    assert outcome(CASE, worse, TWIN).loud == ("dead-units",)
    milder = replace(SEEN, said=(Said("dead-units", "warn", "", ()),))
    loud_twin = replace(TWIN, said=(Said("dead-units", "fail", "", ()),))
    assert outcome(CASE, milder, loud_twin).loud == ()


def test_a_right_place_behind_a_wrong_cause_is_no_place() -> None:
    wrong = replace(SEEN, named=SEEN.named[:1])
    one = outcome(CASE, wrong, TWIN)
    assert (one.rank, one.place) == (None, False)
    fourth = replace(SEEN, named=(*[SEEN.named[0]] * 3, SEEN.named[1]))
    assert (outcome(CASE, fourth, TWIN).rank, outcome(CASE, fourth, TWIN).place) == (4, False)


def test_a_survivor_counts_only_where_its_fault_hides_by_nature() -> None:
    survivor = replace(SEEN, scores=GOOD)
    assert not outcome(CASE, survivor, TWIN).counts
    assert outcome(replace(CASE, hides="the metric is measured on it"), survivor, TWIN).counts


def test_totals_are_over_the_cases_that_count() -> None:
    hit = outcome(CASE, SEEN, TWIN)
    survivor = outcome(CASE, replace(SEEN, scores=GOOD), TWIN)
    missed = outcome(replace(CASE, places=()), replace(SEEN, said=(), named=()), TWIN)
    sums = totals([hit, survivor, missed])
    assert sums.detected == Rate(1, 2)
    assert sums.first == Rate(0, 2)
    assert sums.third == Rate(1, 2)
    assert sums.place == Rate(1, 1)


def test_the_fast_cases_fail_below_their_floor_and_where_a_healthy_model_fails(capsys) -> None:
    twin = Case(TWIN.case, 0, "healthy", never)
    right = replace(SEEN, named=SEEN.named[1:])
    assert below_floor([twin, CASE], {TWIN.case: TWIN, CASE.id: right}) == 0
    assert below_floor([twin, CASE], {TWIN.case: TWIN, CASE.id: SEEN}) == 1
    assert "first: 0 of 1" in capsys.readouterr().err
    failing = replace(TWIN, said=(Said("dead-units", "fail", "", ()),))
    assert below_floor([twin, CASE], {TWIN.case: failing, CASE.id: right}) == 1
    assert "dead-units fails on a healthy model" in capsys.readouterr().err


def test_the_table_shows_what_was_missed_and_what_healthy_models_were_told() -> None:
    twin = Case(TWIN.case, 0, "healthy", never)
    missed = replace(SEEN, named=SEEN.named[:1])
    text = page([twin, CASE], {TWIN.case: TWIN, CASE.id: missed})
    assert "In 1 audits of healthy models, 0 findings failed and 1 warned." in text
    assert f"| {CASE.id} (wrong place) | 0.5, 1 | regularisation-overwhelms | underfitted |" in text
    assert "| planted in training | 1 of 1: 100% (21% to 100%) | 0 of 1" in text
    assert "| `regularisation-overwhelms` | 1 | 1 | 0 | 0 | 0 of 1 |" in text
    hit = page([twin, CASE], {TWIN.case: TWIN, CASE.id: SEEN})
    assert "| missed |" not in hit
    assert f"| {CASE.id} | 0.5, 1 | killed | yes | 2 | yes | 5 |" in hit


def test_rates_carry_wilsons_interval() -> None:
    low, high = Rate(8, 10).interval
    z, p, n = stats.norm.ppf(0.975), 0.8, 10
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert (low, high) == pytest.approx((middle - half, middle + half))
    assert str(Rate(8, 10)) == "8 of 10: 80% (49% to 94%)"
    assert str(Rate(0, 0)) == "no case"


def test_alarms_name_the_healthy_model_and_the_check() -> None:
    case = Case("healthy/mlp/0", 0, "healthy", never)
    found = alarms({case.id: TWIN}, [case, replace(case, id="healthy/never/0")])
    assert (found.audits, found.fails) == (1, ())
    assert found.warns == (("healthy/mlp/0", "dead-units", ""),)


def test_what_came_of_a_case_is_kept(tmp_path) -> None:
    write(tmp_path, SEEN)
    assert read(tmp_path, SEEN.case) == SEEN
    assert read(tmp_path, "planted/other/mlp/0") is None
    survivor = Found("planted/x/mlp/0", (1.0, float("nan")))
    write(tmp_path, survivor)
    again = read(tmp_path, survivor.case)
    assert again is not None
    assert again.seconds is None
    assert np.isnan(again.scores[1])
    assert again.metric() == -np.inf
