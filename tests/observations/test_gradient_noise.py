import math

import numpy as np
import pytest

from auditor.observations.gradient_noise import GradientNoise, agreements, scale_of


def gradients(
    rng: np.random.Generator, pieces: int, size: int, signal: float, decay: float = 1.0
) -> tuple[GradientNoise, float]:
    """Return the observation of normal gradients whose noise scale is known, and that scale."""
    spread = 1 / np.arange(1, 301) ** decay
    mean = np.full(300, signal / math.sqrt(300))
    table = mean + rng.normal(size=(pieces, 300)) * np.sqrt(spread / size)
    scale = spread.sum() / signal**2 if signal else math.inf
    return GradientNoise(table @ table.T, np.ones(pieces), size, "fresh", "train", 300), scale


def test_the_scale_is_that_of_two_batch_sizes() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 40)) + 1.0
    noise = GradientNoise(table @ table.T, np.ones(6), 5, "fresh", "train", 40)
    small, large = float((table**2).sum(axis=1).mean()), float((table.mean(axis=0) ** 2).sum())
    # McCandlish et al. 2018, appendix A.1, with the batch sizes 5 and 30.
    signal = (30 * large - 5 * small) / (30 - 5)
    variance = (small - large) / (1 / 5 - 1 / 30)
    assert scale_of(noise).value == pytest.approx(variance / signal)
    assert scale_of(noise).steady == pytest.approx(signal / small)


def test_the_scale_of_a_gradient_does_not_hang_on_its_length() -> None:
    noise, _ = gradients(np.random.default_rng(1), 16, 8, 1.0)
    tiny = GradientNoise(noise.products * 1e-60, noise.losses, 8, "fresh", "train", 300)
    assert scale_of(tiny).value == pytest.approx(scale_of(noise).value)


@pytest.mark.parametrize("signal", [0.0, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_intervals_hold_the_true_scale(signal: float, decay: float) -> None:
    rng = np.random.default_rng(2)
    missed = {0.95: 0, 0.99: 0}
    for _ in range(200):
        noise, true = gradients(rng, 16, 32, signal, decay)
        for confidence in missed:
            scale = scale_of(noise, confidence)
            assert scale.low <= scale.value <= scale.high
            missed[confidence] += not scale.low <= true <= scale.high
    # Of 200, 10 and 2 are expected; these many would be seen in one of a thousand runs.
    assert missed[0.95] <= 22, missed
    assert missed[0.99] <= 9, missed


def test_gradients_that_cancel_out_have_no_bound() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(16, 50))
    table -= table.mean(axis=0)
    scale = scale_of(GradientNoise(table @ table.T, np.ones(16), 4, "checkpoint", "train", 50))
    assert scale.value == scale.high == math.inf
    assert scale.cosine(1000) == 0.0


def test_gradients_that_agree_have_no_noise() -> None:
    table = np.ones((16, 50))
    scale = scale_of(GradientNoise(table @ table.T, np.ones(16), 4, "checkpoint", "train", 50))
    assert scale.value == pytest.approx(0, abs=1e-8)
    assert scale.cosine(1) == pytest.approx(1)


def test_measured_cosines_lie_on_the_curve() -> None:
    rng = np.random.default_rng(4)
    runs = [gradients(rng, 16, 32, 0.3)[0] for _ in range(40)]
    true = gradients(rng, 16, 32, 0.3)[1]
    for place, size in enumerate((32, 64, 128, 256)):
        points = [agreements(run)[place] for run in runs]
        assert {found for found, _ in points} == {size}
        expected = 1 / math.sqrt(1 + true / size)
        assert np.mean([cosine for _, cosine in points]) == pytest.approx(expected, abs=0.08)


def test_a_scale_over_a_batch_is_so_many_batches() -> None:
    noise, _ = gradients(np.random.default_rng(5), 16, 8, 1.0)
    scale = scale_of(noise)
    over = scale.over(4)
    assert over.value == scale.value / 4
    assert over.cosine(1) == pytest.approx(scale.cosine(4))
