import numpy as np
import pytest

from auditor.core.spectrum import (
    effective_rank,
    random_effective_rank,
    random_spectrum,
    stable_rank,
    tail_exponent,
)


def test_ranks_of_known_spectra() -> None:
    assert effective_rank(np.ones(7)) == pytest.approx(7)
    assert effective_rank([5.0, 0.0, 0.0]) == pytest.approx(1)
    assert effective_rank(np.zeros(3)) == 0
    assert effective_rank([]) == 0
    assert effective_rank([1.0, np.nan]) == 0
    assert effective_rank([3.0, 1.0]) == pytest.approx(4 / 3**0.75)
    assert stable_rank([2.0, 1.0, 1.0]) == pytest.approx(1.5)
    assert stable_rank([0.0]) == 0


@pytest.mark.parametrize("shape", [(16, 16), (32, 100), (300, 40), (200, 200)])
def test_the_law_of_marchenko_and_pastur_is_met_by_random_matrices(shape: tuple[int, int]) -> None:
    draws = np.random.default_rng(0).normal(size=(30, *shape))
    own = np.linalg.svd(draws, compute_uv=False)
    expected = random_spectrum(*shape)
    assert (np.diff(expected) <= 0).all()
    np.testing.assert_allclose(expected, own.mean(axis=0), atol=0.03 * expected[0])
    ranks = [effective_rank(values) for values in own]
    assert random_effective_rank(*shape) == pytest.approx(np.mean(ranks), rel=0.02)


def test_a_vector_has_one_value() -> None:
    assert random_spectrum(1, 50) == pytest.approx([50**0.5], rel=0.05)
    assert random_spectrum(0, 5).size == 0


@pytest.mark.parametrize("alpha", [2.5, 4.0])
def test_the_exponent_of_a_power_law_is_found_again(alpha: float) -> None:
    uniform = np.random.default_rng(1).random(4000)
    eigenvalues = uniform ** (-1 / (alpha - 1))
    assert tail_exponent(np.sqrt(eigenvalues)) == pytest.approx(alpha, rel=0.1)


def test_few_values_have_no_exponent() -> None:
    assert tail_exponent(np.arange(1, 40)) is None
    assert tail_exponent(np.zeros(100)) is None
    assert tail_exponent(np.ones(100)) is None
