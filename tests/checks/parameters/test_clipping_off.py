from typing import Any

import numpy as np
import pytest

from auditor.checks.parameters.clipping_off import NORMS, RUN, SETTINGS, judge
from auditor.core.figure import Histogram, Lines
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.gradients import GradientNorms
from auditor.observations.settings import ParameterGroup, Settings
from auditor.observations.updates import UpdateRatios


def spread(count: int) -> np.ndarray:
    """Return norms around 1, evenly spread in their logarithm, in mixed order."""
    return np.random.default_rng(0).permutation(np.exp(np.linspace(-0.25, 0.25, count)))


def late(norms: Any, losses: Any = None, weights: float = 10.0) -> GradientNorms:
    """Return norms at the checkpoint, shared by two parameters of which one got a third."""
    whole = np.asarray(norms, float)
    table = np.stack([0.6 * whole, 0.8 * whole, np.full(len(whole), np.nan)], axis=1)
    return GradientNorms(
        parameters=("a.weight", "a.bias", "unused"),
        dimensions=(2, 1, 1),
        weight_norms=np.asarray([weights, 0.0, 0.0]),
        parameter_norms=table,
        layers=(),
        kinds=(),
        activation_norms=np.zeros((len(whole), 0)),
        losses=np.ones(len(whole)) if losses is None else np.asarray(losses, float),
        split="train",
    )


def early(norms: Any, losses: Any = None) -> UpdateRatios:
    whole = np.asarray(norms, float)
    return UpdateRatios(
        ("a.weight",),
        (2,),
        np.ones((len(whole), 1)),
        np.ones(len(whole)) if losses is None else np.asarray(losses, float),
        "SGD(lr=0.1)",
        0.1,
        "fresh",
        False,
        gradient_norms=whole,
    )


def answers(
    norm: float | None, at: Any, run: Any, optimizer: str = "SGD", lr: float = 1e-3
) -> dict:
    group = ParameterGroup({"lr": lr, "momentum": 0.9}, (), 2)
    sources = {"clip_norm": "the spec"} if norm is not None else {}
    known = Settings(optimizer=optimizer, groups=(group,) if optimizer else (), clip_norm=norm,
                     sources=sources)  # fmt: skip
    return {SETTINGS: known, NORMS: at, RUN: run}


def usual(norm: float | None, factor: float = 1.0, optimizer: str = "SGD") -> dict:
    """Return gradients of norm 1 or so at the checkpoint, `factor` times that in the run."""
    return answers(norm, late(spread(16)), early(factor * spread(24)), optimizer)


@pytest.mark.parametrize(
    ("norm", "optimizer", "verdict"),
    [
        (5.0, "SGD", Verdict.PASS),
        (1.15, "SGD", Verdict.PASS),
        (0.98, "SGD", Verdict.INFO),
        (0.7, "SGD", Verdict.WARN),
        (0.7, "", Verdict.WARN),
        (0.7, "Adam", Verdict.INFO),
        (0.12, "AdamW", Verdict.INFO),
        (0.05, "AdamW", Verdict.WARN),
        (0.012, "SGD", Verdict.WARN),
        (0.001, "SGD", Verdict.FAIL),
        (0.001, "", Verdict.WARN),
        (0.001, "Adam", Verdict.WARN),
        (30.0, "SGD", Verdict.INFO),
    ],
)
def test_a_norm_is_held_against_the_gradients(
    judged, norm: float, optimizer: str, verdict: Verdict
) -> None:
    found = judged(judge, usual(norm, optimizer=optimizer))
    assert found.verdict is verdict, found.summary
    guilty = verdict in (Verdict.WARN, Verdict.FAIL)
    assert [place.name for place in found.where] == (["training.clip_norm"] if guilty else [])
    if guilty:
        assert found.advice[0].startswith("Clip at 1.2")
        assert f"instead of {norm:.3g}:" in found.advice[0]


@pytest.mark.parametrize(
    ("factor", "verdict"), [(20.0, Verdict.PASS), (60.0, Verdict.WARN), (200.0, Verdict.FAIL)]
)
def test_first_gradients_may_be_longer_than_later_ones(
    judged, factor: float, verdict: Verdict
) -> None:
    found = judged(judge, usual(1.3, factor))
    assert found.verdict is verdict, found.summary


def test_shares_carry_exact_intervals(judged) -> None:
    found = judged(judge, usual(1.15))
    metrics = {metric.name: metric for metric in found.metrics}
    share = metrics["share of gradients that are cut at the checkpoint"]
    cut = int((spread(16) > 1.15).sum())
    assert share.value == cut / 16
    assert 0 <= share.low < share.value < share.high < 0.55
    assert share.limit is judge.limits["clipped"]
    tenth = metrics["90th percentile of norms at the checkpoint"]
    assert tenth.value == pytest.approx(np.quantile(spread(16), 0.9))


def leaping(times: float, count: int, place: int = 9) -> np.ndarray:
    norms = spread(count).copy()
    norms[place] = times
    return norms


@pytest.mark.parametrize(
    ("times", "optimizer", "lr", "verdict"),
    [
        (8.0, "SGD", 1.0, Verdict.PASS),
        (40.0, "SGD", 1e-3, Verdict.INFO),
        (40.0, "SGD", 1e-2, Verdict.WARN),
        (40.0, "Adam", 1e-2, Verdict.INFO),
        (40.0, "", 1e-2, Verdict.INFO),
        (300.0, "Adam", 1e-3, Verdict.WARN),
        (300.0, "SGD", 1e-6, Verdict.WARN),
        (300.0, "", 1e-3, Verdict.WARN),
    ],
)
def test_leaps_at_the_checkpoint_that_nothing_clips(
    judged, times: float, optimizer: str, lr: float, verdict: Verdict
) -> None:
    found = judged(judge, answers(None, late(leaping(times, 16)), early(spread(24)), optimizer, lr))
    assert found.verdict is verdict, found.summary
    if verdict is Verdict.WARN:
        assert "batch 10 of 16 at the checkpoint" in found.summary
        assert found.where[0].name == "training.clip_norm"
        assert "clip_grad_norm_" in found.advice[0]


def test_a_leap_in_the_run_over_which_the_loss_jumps(judged) -> None:
    calm, jumping = np.ones(24), np.where(np.arange(24) > 12, 3.0, 1.0)
    told = []
    for losses in (calm, jumping):
        run = early(leaping(40.0, 24, 12), losses)
        found = judged(judge, answers(None, late(spread(16)), run, "Adam"))
        told.append(found.verdict)
    assert told == [Verdict.INFO, Verdict.WARN]
    assert "step 13 of 24" in found.summary
    assert "from 1 to 3" in found.summary


def test_a_trend_is_no_leap(judged) -> None:
    falling = 300 * np.exp(-np.arange(24.0))
    found = judged(judge, answers(None, late(spread(16) * 1e-3), early(falling + 0.01), "SGD"))
    assert found.verdict is Verdict.PASS, found.summary


def test_gradients_near_a_minimum_are_held_against_those_of_the_run(judged) -> None:
    tiny = late(leaping(300.0, 16) * 1e-3)
    assert judged(judge, answers(None, tiny, early(spread(24)), "Adam")).verdict is Verdict.PASS


def test_without_a_run_a_harder_batch_is_no_leap(judged) -> None:
    missing = Unavailable("no optimizer is declared")
    losses = np.where(np.arange(16) == 9, 200.0, 1.0)
    hard = judged(judge, answers(None, late(leaping(300.0, 16), losses), missing, ""))
    assert hard.verdict is Verdict.PASS, hard.summary
    assert "no optimizer is declared" in hard.summary
    leap = judged(judge, answers(None, late(leaping(300.0, 16)), missing, ""))
    assert leap.verdict is Verdict.WARN


def test_gradients_that_are_not_finite_are_left_out_and_told(judged) -> None:
    norms = spread(16).copy()
    norms[[2, 5]] = np.inf
    found = judged(judge, answers(None, late(norms), early(spread(24))))
    assert found.verdict is Verdict.INFO
    assert "2 gradients at the checkpoint not finite" in found.summary


def test_a_run_alone_does_not_pass_a_checkpoint_without_gradients(judged) -> None:
    found = judged(judge, answers(None, late(np.full(16, np.inf)), early(spread(24))))
    assert found.verdict is Verdict.INFO
    assert "At the checkpoint no batch gave a finite gradient" in found.summary


@pytest.mark.parametrize("norms", [np.zeros(16), np.full(16, np.inf)])
def test_nothing_to_clip(judged, norms: np.ndarray) -> None:
    found = judged(judge, answers(1.0, late(norms), Unavailable("no factory")))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "nothing to clip" in found.summary


def test_few_batches_tell_nothing(judged) -> None:
    few = answers(1.0, late(spread(7)), Unavailable("no factory"))
    assert judged(judge, few).verdict is Verdict.NOT_APPLICABLE
    assert judged(judge, {**few, NORMS: late(spread(8))}).verdict is not Verdict.NOT_APPLICABLE


def test_figures_show_the_norm_and_the_percentile(judged) -> None:
    found = judged(judge, usual(0.7))
    order, *distributions = found.figures
    assert isinstance(order, Lines)
    assert [len(series.x) for series in order.series] == [24, 16]
    assert [guide.value for guide in order.guides[:1]] == [0.7]
    assert [type(figure) for figure in distributions] == [Histogram, Histogram]
    assert sum(distributions[0].counts) == 24
