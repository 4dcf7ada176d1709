import base64
import io

import numpy as np
import pytest
from PIL import Image

from auditor.core.png import colour, diverging, grey


def opened(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_grey_keeps_rows_and_columns_and_clips():
    values = np.array([[0.0, 0.5, 1.0], [-3.0, np.nan, 7.0]])
    assert opened(grey(values)).tolist() == [[0, 128, 255], [0, 0, 255]]


def test_scale_makes_squares_of_each_value():
    pixels = opened(grey(np.array([[0.0, 1.0]]), scale=3))
    assert pixels.shape == (3, 6)
    assert (pixels[:, :3] == 0).all()
    assert (pixels[:, 3:] == 255).all()


def test_colour_keeps_the_order_of_the_channels():
    pixels = opened(colour(np.array([[[1.0, 0.0, 0.2]]])))
    assert pixels.tolist() == [[[255, 0, 51]]]


def test_diverging_is_white_at_zero_blue_below_and_red_above():
    low, zero, high = opened(diverging(np.array([[-2.0, 0.0, 2.0]])))[0].astype(int)
    assert (zero == 247).all()
    assert low[2] > low[0] + 80
    assert high[0] > high[2] + 60


def test_diverging_can_share_a_limit_and_shows_what_is_not_finite():
    values = np.array([[1.0, np.nan, -np.inf]])
    pixels = opened(diverging(values, limit=2.0))[0]
    assert pixels[0].tolist() == [214, 96, 77]
    assert pixels[1].tolist() == [150, 150, 150]
    assert pixels[2].tolist() == [5, 48, 97]
    assert opened(diverging(np.zeros((2, 2)))).min() == 247


def test_the_same_array_gives_the_same_bytes():
    values = np.random.default_rng(0).normal(size=(8, 8))
    assert diverging(values, 4) == diverging(values.copy(), 4)


@pytest.mark.parametrize(
    ("draw", "shape"), [(grey, (3,)), (grey, (0, 4)), (colour, (4, 4)), (diverging, (2, 2, 3))]
)
def test_what_is_no_picture_is_refused(draw, shape):
    with pytest.raises(ValueError, match="picture"):
        draw(np.zeros(shape))
