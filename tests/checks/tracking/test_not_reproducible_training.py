from dataclasses import replace

import numpy as np
import pytest

from auditor.checks.tracking.not_reproducible_training import TWICE, judge
from auditor.core.verdict import Verdict
from auditor.observations.culprit import Culprit
from auditor.observations.trained_twice import FreshTwice, Parted, ReadTwice, TrainedTwice

FALLING = np.array([2.0, 1.5, 1.2, 1.0])

ALIKE = TrainedTwice(
    factory=FreshTwice(6, 0, (), 0.0),
    loader=ReadTwice("alike", batches=8),
    losses=np.stack([FALLING, FALLING]),
    weights=0.0,
    optimizer="SGD(lr=0.1)",
    instead="",
    device="cpu",
    tolerance=1e-4,
)
APART = replace(
    ALIKE, losses=np.stack([FALLING, FALLING + np.array([0, 0, 0.1, 0.2])]), weights=0.05
)
LAYER = Culprit("features.3", "Noise", functions=("rand",))
PARTED = Parted("forward", 2, 0.3, 1e-4, LAYER)


def test_all_alike(judged) -> None:
    found = judged(judge, {TWICE: ALIKE})
    assert found.verdict is Verdict.PASS
    assert "equal bit for bit (6 tensors)" in found.summary
    assert not found.where
    assert not found.advice


@pytest.mark.parametrize(
    ("apart", "verdict"), [(0.4, Verdict.WARN), (np.inf, Verdict.WARN), (1e-6, Verdict.INFO)]
)
def test_the_factory(judged, apart: float, verdict: Verdict) -> None:
    fresh = FreshTwice(6, 2, ("head.weight", "head.bias"), apart)
    found = judged(judge, {TWICE: replace(ALIKE, factory=fresh)})
    assert found.verdict is verdict
    assert "differ in 2 of 6 tensors" in found.summary
    assert "`head.weight`" in found.summary
    if verdict is Verdict.WARN:
        names = [place.name for place in found.where]
        assert names == ["model.factory", "head.weight", "head.bias"]


def test_what_the_factory_draws_from_is_named(judged) -> None:
    fresh = FreshTwice(6, 1, ("head.weight",), 0.1, ("model.RNG",))
    assert "`model.RNG`" in judged(judge, {TWICE: replace(ALIKE, factory=fresh)}).summary


@pytest.mark.parametrize(
    ("read", "verdict", "words"),
    [
        (ReadTwice("differs", 8, 0), Verdict.WARN, "batch 1 of two passes"),
        (ReadTwice("differs", 8, 2, anew=True), Verdict.WARN, "batch 3 of two loaders built"),
        (
            ReadTwice("differs", 8, -1, generators=("rng",), unseeded=("rng",)),
            Verdict.WARN,
            "draws from `rng`, which nobody seeded",
        ),
        (ReadTwice("unknown", 8, generators=("rng",)), Verdict.INFO, "hangs on `rng`"),
        (ReadTwice("unknown", missing="it raised"), Verdict.INFO, "was not seen: it raised."),
        (ReadTwice("alike", 8, 1, anew=True), Verdict.PASS, "are the same"),
    ],
)
def test_the_loader(judged, read: ReadTwice, verdict: Verdict, words: str) -> None:
    found = judged(judge, {TWICE: replace(ALIKE, loader=read)})
    assert found.verdict is verdict, found.summary
    assert words in found.summary
    assert [place.name for place in found.where] == ["data.train"] * (verdict is Verdict.WARN)


@pytest.mark.parametrize(
    ("parted", "place", "words"),
    [
        (PARTED, "features.3", "They part in step 3, in `features.3` (Noise)"),
        (replace(PARTED, outside=("model.COUNT",)), "features.3", "`model.COUNT` changed"),
        (replace(PARTED, culprit=None), "loss", "in the outputs"),
        (replace(PARTED, stage="loss", culprit=None), "loss", "in the loss"),
        (
            Parted("gradient", 0, 0.2, 1e-4, parameter="head.weight"),
            "head.weight",
            "in the gradient of `head.weight`, though the loss is the same",
        ),
        (
            Parted("step", 0, 0.2, 1e-4, parameter="head.weight"),
            "head.weight",
            "though its gradient is the same",
        ),
    ],
)
def test_where_training_parts(judged, parted: Parted, place: str, words: str) -> None:
    found = judged(judge, {TWICE: replace(APART, parted=parted)})
    assert found.verdict is Verdict.WARN
    assert found.where[0].name == place
    assert words in found.summary
    assert "from the loss of step 3 on" in found.summary
    assert found.figures[0].series[1].y == pytest.approx(tuple(APART.losses[1]))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rounding_is_told_and_on_a_gpu_what_to_do(judged, device: str) -> None:
    parted = replace(PARTED, apart=1e-6)
    found = judged(judge, {TWICE: replace(APART, parted=parted, device=device)})
    assert found.verdict is Verdict.INFO
    assert "rounding" in found.summary
    assert not found.where
    assert any("use_deterministic" in step for step in found.advice) == (device == "cuda")


def test_what_can_not_be_seen_side_by_side(judged) -> None:
    found = judged(judge, {TWICE: APART})
    assert found.verdict is Verdict.WARN
    assert "kept from one run to the next" in found.summary
    small = replace(ALIKE, losses=np.stack([FALLING, FALLING * (1 + 1e-6)]), weights=1e-6)
    assert judged(judge, {TWICE: small}).verdict is Verdict.INFO
    weights = judged(judge, {TWICE: replace(ALIKE, weights=0.5)})
    assert weights.verdict is Verdict.WARN
    assert "in their weights at the end" in weights.summary


def test_nothing_that_could_be_trained(judged) -> None:
    none = replace(ALIKE, losses=np.zeros((2, 0)), missing="the model has no trainable parameters")
    found = judged(judge, {TWICE: none})
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "no trainable parameters" in found.summary
    fresh = FreshTwice(6, 2, ("head.weight", "head.bias"), 0.4)
    assert judged(judge, {TWICE: replace(none, factory=fresh)}).verdict is Verdict.WARN


def test_a_run_that_is_lost_alike_is_alike(judged) -> None:
    lost = np.array([2.0, np.nan])
    found = judged(judge, {TWICE: replace(ALIKE, losses=np.stack([lost, lost]))})
    assert found.verdict is Verdict.PASS
    other = np.array([2.0, 1.0])
    found = judged(judge, {TWICE: replace(ALIKE, losses=np.stack([lost, other]))})
    assert found.verdict is Verdict.WARN


def test_the_optimizer_that_stands_in_is_told(judged) -> None:
    found = judged(judge, {TWICE: replace(ALIKE, instead="no optimizer is declared")})
    assert "SGD(lr=0.1) (no optimizer is declared)" in found.summary
