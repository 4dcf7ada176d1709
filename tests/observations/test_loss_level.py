"""The loss beside that of constants, against plain computations."""

from dataclasses import replace

import numpy as np
import pytest

from auditor.observations.loss_level import drawn as boot
from auditor.observations.loss_level import equally_sure, level
from tests.predictions import drawn, predicted


def test_the_best_constant_has_the_entropy_of_the_targets() -> None:
    logits, truth = drawn(400, 4)
    found = level(predicted(logits, truth))
    assert not isinstance(found, str)
    share = np.bincount(truth) / 400
    assert found.constant.mean() == pytest.approx(-(share * np.log(share)).sum())
    assert (found.weight * found.balanced).sum() / 400 == pytest.approx(np.log(4))
    assert found.agrees == "mean"


def test_labels_have_an_entropy_each() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((300, 2)) < (0.1, 0.5)).astype(float)
    found = level(predicted(rng.standard_normal(truth.shape), truth, "multilabel_soft_margin_loss"))
    assert not isinstance(found, str)
    share = truth.mean(axis=0)
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert found.constant.mean() == pytest.approx(entropy.mean())
    assert (found.weight * found.balanced).mean() == pytest.approx(np.log(2))


@pytest.mark.parametrize("loss", ["mse_loss", "l1_loss", "huber_loss", ""])
def test_numbers_are_measured_as_their_loss_does(loss: str) -> None:
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((100, 2))
    outputs = targets + 0.3
    cost = {"mse_loss": 0.09, "l1_loss": 0.3, "huber_loss": 0.045, "": 0.045}[loss]
    seen = predicted(outputs, targets, loss, kind="numbers", losses=np.full(2, cost))
    found = level(seen)
    assert not isinstance(found, str)
    np.testing.assert_allclose(found.own, cost, rtol=1e-4)
    if loss == "mse_loss":
        assert found.constant.mean() == pytest.approx(targets.var(axis=0).mean())


def test_an_unknown_loss_of_numbers_has_no_level() -> None:
    values = np.random.default_rng(0).standard_normal((100, 1))
    found = level(predicted(values, values + 1, "", kind="numbers", losses=np.asarray([3.0, 8.0])))
    assert isinstance(found, str)


def test_no_constant_gains_in_any_draw() -> None:
    truth = (np.random.default_rng(0).random(200) < 0.3).astype(int)
    found = level(predicted(np.tile([0.4, 0.0], (200, 1)), truth))
    assert not isinstance(found, str)
    draws = boot(found, np.random.default_rng(0))
    assert draws.gain.max() <= 1e-12
    assert draws.loss[0] == pytest.approx(found.own.mean())


def test_the_bootstrap_holds_the_plain_estimates_first() -> None:
    logits, truth = drawn(500, 3)
    found = level(predicted(logits, truth))
    assert not isinstance(found, str)
    draws = boot(found, np.random.default_rng(0))
    right = (logits.argmax(axis=1) == truth).mean()
    assert draws.gain[0] == pytest.approx(1 - found.own.mean() / found.constant.mean())
    assert draws.excess[0] == pytest.approx(found.own.mean() / equally_sure(right, 3), rel=0.01)
    spread = found.own.std() / np.sqrt(500)
    assert draws.loss[1:].std() == pytest.approx(spread, rel=0.1)


def test_a_model_equally_sure_of_all_answers_has_exactly_that_loss() -> None:
    right = np.arange(1000) < 800
    truth = np.where(right, 0, 1 + np.arange(1000) % 3)
    logits = np.log(np.tile([0.8, 0.2 / 3, 0.2 / 3, 0.2 / 3], (1000, 1)))
    found = level(predicted(logits, truth))
    assert not isinstance(found, str)
    assert found.own.mean() == pytest.approx(equally_sure(np.asarray(0.8), 4), rel=1e-4)
    shuffled = replace(found, example=found.example[::-1])
    assert boot(shuffled, np.random.default_rng(0)).excess[0] == pytest.approx(1.0, abs=0.01)


def test_classes_as_many_as_rows_do_not_make_a_constant_look_good() -> None:
    found = level(predicted(*drawn(80, 5000)))
    assert not isinstance(found, str)
    assert found.constant.mean() > np.log(2500)
    assert boot(found, np.random.default_rng(0)).gain[0] > 0
