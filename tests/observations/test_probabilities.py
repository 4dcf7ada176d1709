"""Outputs as probabilities, against torch and against what they were drawn from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from auditor.core.subject import TargetFacts
from auditor.observations.probabilities import (
    BLOCKS,
    agreement,
    blocks,
    decide,
    draws_of,
    emphasis,
    fitted_temperature,
    log_softmax,
    read,
)
from tests.predictions import drawn, predicted


@pytest.mark.parametrize("scale", ["logits", "probabilities", "log-probabilities"])
def test_classes_are_read_by_their_numbers(scale: str) -> None:
    logits, truth = drawn(200, 5)
    logs = log_softmax(logits)
    loss = {"logits": "cross_entropy", "probabilities": "", "log-probabilities": "nll_loss"}[scale]
    outputs = {"logits": logits, "probabilities": np.exp(logs), "log-probabilities": logs}[scale]
    stated = read(predicted(outputs, truth, loss))
    assert not isinstance(stated, str)
    assert (stated.scale, stated.sure) == (scale, True)
    np.testing.assert_allclose(stated.logs, logs, atol=1e-4)
    expected = functional.cross_entropy(torch.tensor(logits), torch.tensor(truth), reduction="none")
    np.testing.assert_allclose(stated.surprise, expected.numpy(), atol=1e-4)
    np.testing.assert_array_equal(stated.decisions.predicted, logits.argmax(axis=1))


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_labels_are_read_as_their_loss_reads_them(loss: str) -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.standard_normal((60, 3)) * 2, (rng.random((60, 3)) > 0.5).astype(float)
    outputs = logits if loss.endswith("logits") else 1 / (1 + np.exp(-logits))
    seen = predicted(outputs, truth, loss)
    stated = read(seen)
    assert not isinstance(stated, str)
    expected = getattr(functional, loss)(
        torch.tensor(outputs), torch.tensor(truth), reduction="none"
    )
    np.testing.assert_allclose(stated.surprise, expected.numpy().reshape(-1), atol=1e-4)
    np.testing.assert_array_equal(stated.decisions.label[:4], [0, 1, 2, 0])
    np.testing.assert_array_equal(stated.decisions.example[:4], [0, 0, 0, 1])
    np.testing.assert_array_equal(stated.decisions.predicted, (logits > 0).reshape(-1))


def test_a_softmax_before_cross_entropy_leaves_the_reading_in_doubt() -> None:
    logits, truth = drawn(200, 5)
    seen = predicted(np.exp(log_softmax(logits)), truth)
    by_numbers, by_loss = read(seen), read(seen, as_loss=True)
    assert not isinstance(by_numbers, str)
    assert not isinstance(by_loss, str)
    assert (by_numbers.scale, by_numbers.sure) == ("probabilities", False)
    assert (by_loss.scale, by_loss.sure) == ("logits", True)
    assert by_loss.surprise.mean() > by_numbers.surprise.mean()


def test_logits_of_an_own_loss_are_a_guess_unless_it_is_the_cross_entropy() -> None:
    logits, truth = drawn(200, 5)
    same = predicted(logits, truth)
    for losses, sure in ((same.losses, True), (np.square(same.losses), False)):
        stated = read(replace(same, loss="", losses=losses))
        assert not isinstance(stated, str)
        assert stated.sure is sure


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "numbers"}, "regression"),
        ({"outputs": np.zeros((0, 5)), "targets": np.zeros(0)}, "no target"),
        ({"outputs": np.full((200, 5), np.nan)}, "200 of 200 outputs are not finite"),
        ({"loss": "multi_margin_loss"}, "does not make probabilities"),
    ],
)
def test_what_can_not_be_read_says_why(changes: dict, reason: str) -> None:
    stated = read(replace(predicted(*drawn(200, 5)), **changes))
    assert isinstance(stated, str)
    assert reason in stated


def test_soft_labels_are_no_decisions() -> None:
    said = decide(predicted(np.zeros((9, 2)), np.full((9, 2), 0.3), "binary_cross_entropy"))
    assert said == "the targets are not all 0 or 1"


def test_masked_logits_are_no_fault() -> None:
    logits, truth = drawn(50, 4)
    logits[np.arange(50), (truth + 1) % 4] = -np.inf
    stated = read(predicted(logits, truth))
    assert not isinstance(stated, str)
    assert np.isfinite(stated.surprise).all()
    assert fitted_temperature(stated) is not None


def test_class_weights_are_taken_out_again() -> None:
    logits, truth = drawn(300, 3)
    weights = np.asarray([1.0, 5.0, 0.2])
    weighted = predicted(logits + np.log(weights), truth, weights=tuple(weights))
    stated = read(weighted)
    assert not isinstance(stated, str)
    np.testing.assert_allclose(stated.logs, log_softmax(logits), atol=1e-4)
    np.testing.assert_array_equal(
        stated.decisions.predicted, (logits + np.log(weights)).argmax(axis=1)
    )


def test_weights_of_positive_labels_are_taken_out_again() -> None:
    logits = np.linspace(-3, 3, 40).reshape(20, 2)
    seen = predicted(
        logits + np.log([2.0, 7.0]),
        (logits > 0).astype(float),
        "binary_cross_entropy_with_logits",
        weights=(2.0, 7.0),
    )
    stated = read(seen)
    assert not isinstance(stated, str)
    odds = stated.logs[:, 1] - stated.logs[:, 0]
    np.testing.assert_allclose(odds, logits.reshape(-1), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda losses, sizes: losses, "mean"),
        (lambda losses, sizes: -losses, "negated"),
        (lambda losses, sizes: losses * sizes, "sum"),
        (lambda losses, sizes: losses / 128, "scaled"),
        (lambda losses, sizes: losses + np.arange(len(losses)), ""),
        (lambda losses, sizes: np.full(len(losses), np.nan), ""),
    ],
)
def test_how_the_loss_comes_from_the_recomputed_one(change, told: str) -> None:
    seen = predicted(*drawn(180, 5))
    stated = read(seen)
    assert not isinstance(stated, str)
    changed = replace(seen, losses=change(seen.losses, seen.batch_examples))
    assert agreement(changed, stated.surprise) == told


@pytest.mark.parametrize("factor", [0.1, 1.0, 20.0])
def test_the_temperature_undoes_a_factor_on_the_logits(factor: float) -> None:
    logits, truth = drawn(2000, 5)
    stated = read(predicted(factor * logits, truth))
    assert not isinstance(stated, str)
    best = fitted_temperature(stated)
    assert best is not None
    low, high = best.interval(2.576)
    assert low < factor < high
    assert best.value == pytest.approx(factor, rel=0.1)
    near = [stated.warmed(best.value * by).surprise.mean() for by in (0.97, 1.0, 1.03)]
    assert near[1] == min(near)


def test_the_interval_of_the_temperature_holds() -> None:
    missed = 0
    for seed in range(200):
        stated = read(predicted(*drawn(150, 4, seed=seed)))
        assert not isinstance(stated, str)
        best = fitted_temperature(stated)
        assert best is not None
        low, high = best.interval(1.96)
        missed += not low < 1 < high
    assert missed <= 20


def test_no_temperature_where_all_answers_are_right_or_worse_than_their_opposite() -> None:
    logits, _ = drawn(100, 3)
    for truth in (logits.argmax(axis=1), logits.argmin(axis=1)):
        stated = read(predicted(logits, truth))
        assert not isinstance(stated, str)
        assert fitted_temperature(stated) is None


def test_a_sampler_shows_in_the_shares_of_classes() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(2000) < 0.05).astype(int)
    stated = read(predicted(rng.standard_normal((2000, 2)), truth))
    assert not isinstance(stated, str)
    rare = int(truth.sum())
    added = emphasis(stated, TargetFacts("classes", 4000, (0, 1), (2000, 2000)))
    np.testing.assert_allclose(added[1] - added[0], np.log((2000 - rare) / rare), atol=0.02)
    assert not emphasis(stated, TargetFacts("classes", 4000, (0, 1), (3800, 200))).size
    assert not emphasis(stated, TargetFacts("numbers", 4000, mean=(0.0,))).size


def test_blocks_keep_examples_whole() -> None:
    example = np.repeat(np.arange(3000), 2)
    block = blocks(example, np.random.default_rng(0))
    np.testing.assert_array_equal(block[::2], block[1::2])
    assert np.bincount(block).tolist() == [6] * BLOCKS


def test_the_first_draw_is_the_data_itself() -> None:
    drawn_often = draws_of(30, np.random.default_rng(0), 50)
    assert drawn_often.shape == (51, 30)
    assert (drawn_often[0] == 1).all()
    assert (drawn_often.sum(axis=1) == 30).all()


def test_more_rows_than_are_compared_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = predicted(*drawn(400, 3))
    whole = read(seen)
    monkeypatch.setattr("auditor.observations.probabilities.MOST_ROWS", 100)
    thin = read(seen)
    assert not isinstance(whole, str)
    assert not isinstance(thin, str)
    assert len(thin.logs) == len(thin.decisions.truth) == 100
    assert (thin.agrees, whole.agrees) == ("mean", "mean")
    assert thin.surprise.mean() == pytest.approx(whole.surprise.mean(), rel=0.3)
