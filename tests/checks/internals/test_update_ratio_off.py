from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks.internals.update_ratio_off import CHECKPOINT, FRESH, TRIALS, judge
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.rate_trials import RateRange, RateTrials
from auditor.observations.updates import UpdateRatios

NAMES = ("a.weight", "a.bias", "b.weight", "c.weight")


def updates(
    ratio: float, start: str = "checkpoint", steps: int = 24, opening: float | None = None
) -> UpdateRatios:
    rng = np.random.default_rng(0)
    ratios = ratio * np.exp(0.2 * rng.normal(size=(steps, 4)))
    if opening is not None:
        ratios[:6] = opening
    ratios[:, 1] = 50.0
    losses = np.ones(steps)
    return UpdateRatios(
        NAMES,
        (2, 1, 4, 2),
        ratios,
        losses,
        "SGD(lr=0.1)",
        0.1,
        start,
        False,  # type: ignore[arg-type]
    )


def both(fresh: float, checkpoint: float) -> dict:
    return {FRESH: updates(fresh, "fresh"), CHECKPOINT: updates(checkpoint)}


@pytest.mark.parametrize(
    ("fresh", "checkpoint", "verdict"),
    [
        (1e-3, 1e-3, Verdict.PASS),
        (5e-2, 1e-3, Verdict.PASS),
        (1e-4, 1e-3, Verdict.PASS),
        (1e-5, 1e-3, Verdict.WARN),
        (1e-7, 1e-3, Verdict.FAIL),
        (1e-3, 1e-9, Verdict.PASS),
        (0.15, 1e-3, Verdict.WARN),
        (0.5, 1e-3, Verdict.FAIL),
        (1e-3, 0.15, Verdict.WARN),
        (1e-3, 0.5, Verdict.FAIL),
        (0.0, 0.0, Verdict.FAIL),
    ],
)
def test_both_sides(judged, fresh: float, checkpoint: float, verdict: Verdict) -> None:
    assert judged(judge, both(fresh, checkpoint)).verdict is verdict


def test_adams_opening_counts_from_fresh_weights_alone(judged) -> None:
    fresh = {FRESH: updates(0.03, "fresh", opening=0.5), CHECKPOINT: updates(1e-3)}
    found = judged(judge, fresh)
    assert found.verdict is Verdict.FAIL
    assert "first steps moved it by 0.5 each" in found.summary
    restarted = {FRESH: updates(1e-3, "fresh"), CHECKPOINT: updates(0.03, opening=0.5)}
    assert judged(judge, restarted).verdict is Verdict.PASS


def test_advice_names_the_learning_rate_that_would_do(judged) -> None:
    found = judged(judge, both(1.0, 1e-3))
    assert "down from `0.1` to about `9.5e-05`" in found.advice[0]
    found = judged(judge, both(1e-5, 1e-3))
    assert " up from `0.1` to about `9.5`" in found.advice[0]


def test_what_does_not_move_is_named_where_most_of_the_model_does_not(judged) -> None:
    answers = both(1e-3, 1e-3)
    for answer in answers.values():
        answer.ratios[:, [0, 2]] = 0.0
    found = judged(judge, answers)
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["a.weight", "b.weight"]
    assert "2 weights did not move at all" in found.summary


def test_biases_do_not_count(judged) -> None:
    assert "a.bias" not in str(judged(judge, both(0.5, 0.5)).where)


def test_without_fresh_weights_the_low_side_is_not_judged(judged) -> None:
    found = judged(judge, {FRESH: Unavailable("no factory"), CHECKPOINT: updates(1e-9)})
    assert found.verdict is Verdict.PASS
    assert "too short was not judged, which takes fresh weights: no factory" in found.summary
    found = judged(judge, {FRESH: Unavailable("no factory"), CHECKPOINT: updates(0.0)})
    assert found.verdict is Verdict.PASS


def test_one_weight_that_does_not_move(judged) -> None:
    seen = updates(1e-3)
    seen.ratios[:, 2] = 0
    found = judged(judge, {FRESH: updates(1e-3, "fresh"), CHECKPOINT: seen})
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == "b.weight"
    assert "1 weight did not move at all: b.weight" in found.summary
    assert "`b.weight`" in found.advice[0]
    assert "underflow" in found.advice[0]


def test_outliers_farthest_first(judged) -> None:
    seen = updates(0.5)
    seen.ratios[:, 3] = 5.0
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.where[0].name == "c.weight"


def test_divergence(judged) -> None:
    seen = updates(1e-3, "fresh")
    seen.losses[7:] = np.nan
    found = judged(judge, {FRESH: seen, CHECKPOINT: updates(1e-3)})
    assert found.verdict is Verdict.FAIL
    assert "step 8 of 24" in found.summary
    assert "`0.01`" in found.advice[0]
    seen.ratios[6, 2:] = np.nan
    seen.losses[6] = 30.0
    assert "`0.01`" in judged(judge, {FRESH: seen, CHECKPOINT: updates(1e-3)}).advice[0]


def test_gradients_of_nan_are_not_the_learning_rates_fault(judged) -> None:
    seen = updates(1e-3, "fresh")
    seen.losses[1:], seen.ratios[0:, 2:] = np.nan, np.nan
    found = judged(judge, {FRESH: seen, CHECKPOINT: updates(1e-3)})
    assert found.verdict is Verdict.FAIL
    assert [place.name for place in found.where] == ["b.weight", "c.weight"]
    assert "no learning rate mends it" in found.advice[0]


def test_zero_initialised_weights_are_left_out(judged) -> None:
    seen = updates(1e-3, "fresh")
    seen.ratios[:, 2] = np.inf
    seen.ratios[0, 3] = np.nan
    assert judged(judge, {FRESH: seen, CHECKPOINT: updates(1e-3)}).verdict is Verdict.PASS


def test_a_zero_initialised_branch_is_no_fast_start(judged) -> None:
    """As LoRA or a zero-initialised residual branch: endless, then 1, 1/2, 1/3 ..."""
    seen = updates(1e-3, "fresh")
    seen.ratios[0, 2:] = np.inf, np.nan
    seen.ratios[1:, 2:] = 1 / np.arange(1.0, 24.0)[:, None]
    found = judged(judge, {FRESH: seen, CHECKPOINT: updates(1e-3)})
    assert found.verdict is Verdict.PASS
    assert found.metrics[1].value == pytest.approx(1e-3, rel=0.3)
    assert not found.where
    seen.ratios[0] = np.inf
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "starts off zero" in found.summary


@pytest.mark.parametrize(
    ("ratio", "limit"), [(0.5, "ratio_high"), (1e-3, "ratio_low"), (1e-7, "ratio_low")]
)
def test_the_limit_shown_is_the_one_that_was_violated(judged, ratio: float, limit: str) -> None:
    found = judged(judge, both(ratio, 1e-3))
    assert found.metrics[0].limit == judge.limits[limit]
    assert found.metrics[2].limit == judge.limits["trained_ratio_high"]


def test_short_steps_with_a_faster_opening_made_no_weight_larger(judged) -> None:
    slow = {FRESH: updates(1e-7, "fresh", opening=1e-5), CHECKPOINT: updates(1e-3)}
    found = judged(judge, slow)
    assert found.verdict is Verdict.FAIL
    assert "first steps" not in found.summary


def test_a_loss_that_is_not_finite_from_the_start_is_not_the_learning_rates_fault(judged) -> None:
    seen = updates(1e-3)
    seen.losses[:] = np.nan
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.verdict is Verdict.FAIL
    assert "With the checkpoint the loss is not finite before any step" in found.summary
    assert "learning rate has no part" in found.advice[0]
    assert not found.where


def test_says_how_it_was_measured(judged) -> None:
    note = "memory sufficed for 25% of each batch only"
    seen = replace(updates(1e-3), note=note, restored=True)
    found = judged(judge, {FRESH: updates(1e-3, "fresh"), CHECKPOINT: seen})
    assert f"From the checkpoint {note}." in found.summary
    assert "moments from the checkpoint were used" in found.figures[0].caption
    plain = judged(judge, both(1e-3, 1e-3))
    assert "memory" not in plain.summary
    assert "moments" not in plain.figures[0].caption


def test_a_straddling_interval_warns(judged) -> None:
    seen = updates(0.35)
    seen.ratios[6:] *= np.exp(np.linspace(-2.5, 2.5, 18))[:, None]
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.verdict is Verdict.WARN


@pytest.mark.parametrize("steps", [0, 1, 2, 6])
def test_few_steps(judged, steps: int) -> None:
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: updates(1e-3, steps=steps)})
    assert found.verdict is (Verdict.PASS if steps else Verdict.NOT_APPLICABLE)


def test_nothing_that_could_be_measured(judged) -> None:
    seen = replace(updates(1e-3), dimensions=(1, 1, 1, 1))
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.verdict is Verdict.NOT_APPLICABLE
    seen = replace(updates(1e-3), ratios=np.full((24, 4), np.inf))
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    assert found.verdict is Verdict.NOT_APPLICABLE


def wide(*typical: float, start: str = "fresh", **more: Any) -> UpdateRatios:
    rng = np.random.default_rng(3)
    ratios = np.asarray(typical) * np.exp(0.1 * rng.normal(size=(24, len(typical))))
    names = tuple(f"{n}.weight" for n in range(len(typical)))
    seen = UpdateRatios(
        names, (2,) * len(names), ratios, np.ones(24), "Adam(lr=0.1)", 0.1,
        start, False,  # type: ignore[arg-type]
    )  # fmt: skip
    return replace(seen, **more)


NORMAL = (1e-3,) * 5


@pytest.mark.parametrize(
    ("odd", "verdict"),
    [
        (2e-2, Verdict.PASS),
        (6e-2, Verdict.WARN),
        (0.2, Verdict.WARN),
        (1.0, Verdict.FAIL),
        (5e-5, Verdict.PASS),
        (2.5e-5, Verdict.WARN),
        (1e-7, Verdict.WARN),
    ],
)
def test_one_layer_apart(judged, odd: float, verdict: Verdict) -> None:
    found = judged(
        judge, {FRESH: wide(*NORMAL, odd), CHECKPOINT: wide(*NORMAL, start="checkpoint")}
    )
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.PASS:
        assert not found.where
        return
    assert [place.name for place in found.where] == ["5.weight"]
    assert "Not so `5.weight`" in found.summary
    assert ("too small" if odd > 1e-3 else "too large") in found.advice[0]
    rate = float(found.advice[1].split('[own], "lr": ')[1].split("}")[0])
    assert rate == pytest.approx(0.1 * 1e-3 / odd, rel=0.2)


def test_the_checkpoints_upper_limit_is_a_decade_and_a_half(judged) -> None:
    fresh = wide(*NORMAL)
    near = {FRESH: fresh, CHECKPOINT: wide(*(2.5e-2,) * 5, start="checkpoint")}
    far = {FRESH: fresh, CHECKPOINT: wide(*(4.5e-2,) * 5, start="checkpoint")}
    assert judged(judge, near).verdict is Verdict.PASS
    assert judged(judge, far).verdict is Verdict.WARN


def test_many_slow_layers_fail_where_one_warns(judged) -> None:
    few = {FRESH: wide(*NORMAL, 1e-7, 1e-3, 1e-3), CHECKPOINT: wide(*NORMAL, start="checkpoint")}
    many = {FRESH: wide(*NORMAL, 1e-7, 1e-7, 1e-3), CHECKPOINT: wide(*NORMAL, start="checkpoint")}
    assert judged(judge, few).verdict is Verdict.WARN
    assert judged(judge, many).verdict is Verdict.FAIL


def test_tables_may_be_slow(judged) -> None:
    tables = (True, False, False, False, False)
    slow = wide(2e-5, *NORMAL[:4], tables=tables)
    fast = wide(6e-2, *NORMAL[:4], tables=tables)
    assert (
        judged(judge, {FRESH: slow, CHECKPOINT: wide(*NORMAL, start="checkpoint")}).verdict
        is Verdict.PASS
    )
    assert (
        judged(judge, {FRESH: fast, CHECKPOINT: wide(*NORMAL, start="checkpoint")}).verdict
        is Verdict.WARN
    )


def test_a_layer_that_only_opens_fast(judged) -> None:
    seen = wide(*NORMAL, 5e-3)
    seen.ratios[:6, 5] = 0.25
    found = judged(judge, {FRESH: seen, CHECKPOINT: wide(*NORMAL, start="checkpoint")})
    assert found.verdict is Verdict.WARN
    assert "opens with 0.25 a step from fresh weights, 2.4 decades above" in found.where[0].note
    restarted = replace(seen, start="checkpoint")
    assert judged(judge, {FRESH: wide(*NORMAL), CHECKPOINT: restarted}).verdict is Verdict.PASS


def test_the_table_holds_every_weight_with_its_rate(judged) -> None:
    seen = wide(*(1e-3,) * 50, start="checkpoint")
    found = judged(judge, {FRESH: Unavailable("-"), CHECKPOINT: seen})
    bars, table = found.figures[1:]
    assert len(table.rows) == 50
    assert len(bars.labels) == 40
    assert "40 worst of 50 weights" in bars.caption
    assert table.rows[0][-1] == pytest.approx(0.1 * 1e-3 / table.rows[0][1])


def fast(ratio: float, then: float = 1e-3, others: float = 0.03, rest: float = 1e-3) -> dict:
    """Return a first tensor that moves otherwise than the others, from both starts."""
    answers = both(others, rest)
    for answer, own in zip(answers.values(), (ratio, then), strict=True):
        answer.ratios[:, 0] *= own / answer.ratios[:, 2].mean()
    return answers


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        (fast(0.15), Verdict.INFO),
        (fast(0.05), Verdict.PASS),
        (fast(0.15, then=0.05), Verdict.WARN),  # still fast once trained
        (fast(0.5), Verdict.FAIL),
        (fast(0.15, others=1e-3), Verdict.WARN),  # far from the others
        (fast(0.15, rest=0.05), Verdict.WARN),  # the others are fast once trained
        ({**fast(0.15), CHECKPOINT: updates(0.0)}, Verdict.WARN),
    ],
)
def test_a_tensor_that_only_begins_fast(judged, answers, verdict) -> None:
    found = judged(judge, answers)
    assert found.verdict is verdict, found.summary
    told = "`a.weight` moves by 0.1" in found.summary and "once trained" in found.summary
    assert told is (verdict is Verdict.INFO)
    assert bool(found.where) is (verdict in (Verdict.WARN, Verdict.FAIL))


def trials(declared: float, edge: float, **changes) -> RateTrials:
    """Return range tests whose loss is least at `edge`."""
    rates = edge * 10.0 ** np.linspace(-3, 1, 13)
    losses = np.tile(np.abs(np.log10(rates / edge)), (3, 1))
    found = RateRange(rates, losses, np.full(3, 3.0), ("end",) * 3)
    made = RateTrials(
        "fresh",
        "SGD(lr=0.1)",
        declared,
        "",
        1,
        False,
        0.0,
        False,
        found,
        np.ones((3, 3)),
        (),
        7,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("ratio", "rates", "verdict"),
    [
        (0.15, trials(0.1, edge=1.0), Verdict.INFO),
        (0.15, trials(0.1, edge=0.1), Verdict.WARN),
        (0.15, trials(np.nan, edge=1.0, instead="none is declared"), Verdict.WARN),
        (0.5, trials(0.1, edge=1.0), Verdict.FAIL),
        (0.01, trials(0.1, edge=1.0), Verdict.PASS),
        (1e-5, trials(0.1, edge=1.0), Verdict.WARN),
    ],
)
def test_long_steps_at_a_rate_that_range_tests_recommend(judged, ratio, rates, verdict) -> None:
    found = judged(judge, both(ratio, 1e-3) | {TRIALS: rates})
    assert found.verdict is verdict, found.summary
    assert ("range tests recommend rates up to 0.33" in found.summary) is (verdict is Verdict.INFO)
