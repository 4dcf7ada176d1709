import numpy as np
import pytest

from auditor.observations.first_filters import pictured, smoothness
from auditor.observations.structure import FirstWeights


def first(values, kind="conv2d", shape=(3, 32, 32), total=None):
    return FirstWeights(
        "conv1", kind, values, tuple(range(len(values))), total or len(values), shape
    )


def waves(count, size=7):
    y, x = np.mgrid[:size, :size] / size
    angles = np.linspace(0, np.pi, count)
    return np.array([[np.sin(4 * (x * np.cos(a) + y * np.sin(a)))] for a in angles])


def test_filters_with_a_pattern_are_smoother_than_shuffled_ones():
    smooth = smoothness(waves(32), np.random.default_rng(0))
    assert smooth is not None
    assert smooth.value > smooth.high + 0.2


@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_noise_is_as_smooth_as_its_shuffles(offset):
    inside = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        smooth = smoothness(rng.normal(offset, 1, (32, 3, 5, 5)), rng)
        assert smooth is not None
        inside += smooth.low <= smooth.value <= smooth.high
    assert inside >= 19


def test_filters_too_small_or_not_finite_have_no_smoothness():
    rng = np.random.default_rng(0)
    assert smoothness(np.ones((4, 3, 2, 2)), rng) is None
    assert smoothness(np.full((4, 3, 3, 3), np.nan), rng) is None
    assert smoothness(np.zeros((4, 3, 3, 3)), rng) is None
    assert smoothness(np.ones((4, 30)), rng) is None


@pytest.mark.parametrize(
    "shape", [(8, 3, 3, 3), (8, 1, 3, 3), (8, 16, 5, 5), (8, 2, 9), (4, 1, 3, 3, 3)]
)
def test_convolutions_have_a_picture_a_filter(shape):
    figure = pictured(first(np.random.default_rng(0).normal(size=shape), total=100))
    assert figure.kind == "images"
    assert len(figure.images) == shape[0]
    assert "of 100" in figure.caption


def test_filters_of_one_pixel_are_shown_by_feature():
    assert pictured(first(np.random.default_rng(0).normal(size=(8, 16, 1, 1)))).kind == "heatmap"


def test_a_linear_layer_over_a_picture_is_shown_as_one():
    weights = np.zeros((5, 48))
    weights[:, 17] = 2.0
    figure = pictured(first(weights, "linear", (3, 4, 4)))
    assert (len(figure.values), len(figure.values[0])) == (4, 4)
    assert figure.values[0][1] == pytest.approx(2.0 * np.sqrt(5))


def test_a_linear_layer_over_a_table_names_its_features():
    weights = np.random.default_rng(0).normal(size=(5, 13))
    figure = pictured(first(weights, "linear", (13,)))
    assert figure.x_names == tuple(map(str, range(13)))
    assert figure.values[2][7] == pytest.approx(abs(weights[2, 7]))


def test_of_many_features_the_largest_are_shown():
    weights = np.random.default_rng(0).normal(size=(50, 300)) * 0.01
    weights[:, 250] = 3.0
    figure = pictured(first(weights, "linear", (300,)))
    assert len(figure.x_names) == 40
    assert "250" in figure.x_names
    assert "of 300 features" in figure.caption
    assert len(figure.values) == 32


def test_an_embedding_has_the_norms_of_its_entries():
    figure = pictured(first(np.array([0.0, 1.0, 1.1, 1.2, 9.0]), "embedding", (12,)))
    assert figure.kind == "histogram"
    assert sum(figure.counts) == 5


def test_weights_that_are_not_finite_still_have_a_picture():
    values = np.full((2, 1, 3, 3), np.nan)
    assert len(pictured(first(values)).images) == 2
