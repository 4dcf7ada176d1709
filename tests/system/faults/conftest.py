"""Healthy sample models to plant faults in."""

import pytest

from tests.subjects import Live, sample


@pytest.fixture(scope="module")
def digits() -> Live:
    return sample("digits_cnn")


@pytest.fixture(scope="module")
def diabetes() -> Live:
    return sample("diabetes_mlp")


@pytest.fixture(scope="module")
def names() -> Live:
    return sample("names_rnn")


@pytest.fixture(scope="module")
def language() -> Live:
    return sample("tiny_lm")
