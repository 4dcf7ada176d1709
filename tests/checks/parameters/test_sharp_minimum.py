"""Both sides of every limit of sharp-minimum, and every reason not to judge."""

from dataclasses import replace

import numpy as np

from auditor.checks.parameters.sharp_minimum import CURVATURE, SHARPNESS, judge
from auditor.core.check import Seen
from auditor.core.finding import Judgement
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.curvature import Curvature
from auditor.observations.sharpness import LENGTHS, LINE, PLANE, RADII, Sharpness

CURVED = Curvature(
    largest=8.0,
    residual=0.02,
    ritz=np.array([1.0, 7.0, 8.0]),
    residuals=np.array([3.0, 0.4, 0.02]),
    smallest=-0.5,
    along=7.0,
    low=6.0,
    high=8.5,
    trace=40.0,
    trace_low=30.0,
    trace_high=50.0,
    probes=4,
    parameters=100,
    batches=3,
    examples=224,
    split="train",
    method="Hessian-vector products by differentiating twice",
)

GAIN = 2.0


def seen(
    random: float = 0.0, worst: float = 0.0, scatter: float = 0.01, batches: int = 6
) -> Sharpness:
    """Return losses of which these shares of a gain of 2 are lost, the more the larger a change."""
    losses = np.full(batches, 0.1)
    unlike = scatter * GAIN * np.linspace(-1, 1, batches)

    def rising(shares: tuple[float, ...]) -> np.ndarray:
        return np.stack([losses + GAIN * share + unlike for share in shares])

    return Sharpness(
        losses=losses,
        chance=losses + GAIN,
        baseline="answers that only know how common each class is",
        noisy=rising((0.0, random, max(random, 0.3), max(random, 0.9))),
        worst=rising((worst, max(worst, 0.2), max(worst, 0.8))),
        scores=np.zeros(0),
        noisy_scores=np.zeros(0),
        worst_scores=np.zeros(0),
        chance_score=np.nan,
        layers=("first", "second", "third"),
        alone=np.array([0.1, 0.1 + 0.9 * GAIN, 0.1 + 0.3 * GAIN]),
        alone_at=0.01,
        owners=("first", "second", "third"),
        climbed=np.array([0.7, 0.1, 0.2]),
        line=np.ones((2, len(LINE))),
        plane=np.ones((len(PLANE), len(PLANE))),
        parameters=100,
        examples=224,
        split="train",
    )


def judged(sharp: Sharpness, curved: object = CURVED) -> Judgement:
    return judge.judge(Seen({SHARPNESS: sharp, CURVATURE: curved}), judge.limits)


def test_limits_from_both_sides() -> None:
    assert judged(seen()).verdict is Verdict.PASS
    assert judged(seen(random=0.49)).verdict is Verdict.PASS
    assert judged(seen(random=0.53)).verdict is Verdict.WARN
    assert judged(seen(worst=0.49)).verdict is Verdict.PASS
    assert judged(seen(worst=0.53)).verdict is Verdict.WARN


def test_what_is_not_sure_is_told_with_how_many_batches_would_settle_it() -> None:
    found = judged(seen(random=0.55, scatter=0.2))
    assert found.verdict is Verdict.INFO
    assert "would settle it" in found.summary
    assert not found.advice
    alone = judged(seen(random=0.9, batches=1))
    assert alone.verdict is Verdict.INFO
    assert "not surely so on 1 batch" in alone.summary
    assert judged(seen(random=0.2, batches=1)).verdict is Verdict.PASS


def test_the_layers_that_lose_most_are_named_worst_first() -> None:
    found = judged(seen(random=0.9))
    assert [place.name for place in found.where] == ["second", "third"]
    assert "`second`" in found.advice[0]
    assert "90.0 %" in found.where[0].note
    assert [place.name for place in judged(seen(worst=0.9)).where] == ["first"]
    even = replace(seen(worst=0.9), climbed=np.array([0.2, 0.1, 0.15]))
    assert [place.name for place in judged(even).where] == ["first"]


def test_an_overconfident_model_that_makes_few_mistakes_more_does_not_warn() -> None:
    scored = replace(
        seen(random=0.9),
        scores=np.full(6, 0.95),
        noisy_scores=np.full((len(RADII), 6), 0.9),
        worst_scores=np.full((len(LENGTHS), 6), 0.9),
        chance_score=0.2,
    )
    assert judged(scored).verdict is Verdict.PASS
    assert judged(replace(scored, noisy_scores=np.full((4, 6), 0.3))).verdict is Verdict.WARN
    common = replace(scored, chance_score=0.93)
    assert judged(common).verdict is Verdict.WARN


def test_a_loss_that_is_lost_to_nan_counts_as_all() -> None:
    sharp = seen()
    sharp.noisy[RADII.index(0.01)] = np.nan
    assert judged(sharp).verdict is Verdict.WARN


def test_nothing_learnt_can_not_be_judged() -> None:
    sharp = seen()
    for chance in (sharp.losses, sharp.losses - 1, sharp.losses * 1.01):
        found = judged(replace(sharp, chance=chance))
        assert found.verdict is Verdict.NOT_APPLICABLE
        assert "nothing was learnt" in found.summary
    scattered = replace(sharp, chance=sharp.losses + np.array([3.0, -3, 4, -2, 3, -3]))
    assert judged(scattered).verdict is Verdict.NOT_APPLICABLE
    lost = replace(sharp, chance=np.full(6, np.inf))
    assert "not a finite number" in judged(lost).summary


def test_the_eigenvalue_is_told_and_decides_nothing() -> None:
    steep = replace(CURVED, largest=1e9)
    found = judged(seen(), steep)
    assert found.verdict is Verdict.PASS
    assert "rescaling changes it" in found.summary
    (rate,) = (m for m in found.metrics if m.name.startswith("rate up to"))
    assert rate.value == 2e-9
    without = judged(seen(), Unavailable("it has no second derivative"))
    assert without.verdict is Verdict.PASS
    assert "it has no second derivative" in without.summary
    flat = judged(seen(), replace(CURVED, largest=-1.0, along=np.nan))
    assert not any(m.name.startswith(("rate up to", "curvature along")) for m in flat.metrics)


def test_figures_show_what_is_there() -> None:
    kinds = [figure.kind for figure in judged(seen(random=0.9)).figures]
    assert kinds == ["lines", "bars", "lines", "heatmap", "lines"]
    bare = replace(seen(), line=np.zeros((0, 0)), plane=np.zeros((0, 0)), layers=("only",))
    bare = replace(bare, alone=np.array([0.1]))
    assert [f.kind for f in judged(bare, Unavailable("no")).figures] == ["lines"]
