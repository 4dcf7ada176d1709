import numpy as np
import pytest

from auditor.checks.tracking.logged_loss_oscillates import judge
from auditor.core.verdict import Verdict
from tests.logs_by_hand import decay, log, noise, seen

TO_AND_FRO = np.where(np.arange(40) % 2, 1.0, -1.0)


def swinging(size: float, count: int = 40) -> np.ndarray:
    """Return a loss of a gain of 2 that swings by a share of it in the second half."""
    base = 0.5 + decay(count, 8, 2.0)
    return base + np.where(np.arange(count) < count // 2, 0, size * TO_AND_FRO[:count])


@pytest.mark.parametrize(
    ("size", "verdict"), [(0.02, Verdict.PASS), (0.35, Verdict.PASS), (0.7, Verdict.WARN),
                          (1.5, Verdict.FAIL)]
)  # fmt: skip
@pytest.mark.parametrize("name", ["val_loss", "train_loss"])
def test_swings_of_the_second_half(judged, name: str, size: float, verdict: Verdict) -> None:
    found = judged(judge, seen(log(**{name: swinging(size), "lr": np.full(40, 0.1)})))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert found.figures[0].stretches[0].name == "second half"
        assert "0.033" in found.advice[0]


def test_swings_of_the_first_half_are_not_held_against_a_run(judged) -> None:
    values = swinging(0) + np.where(np.arange(40) < 20, TO_AND_FRO, 0)
    assert judged(judge, seen(log(val_loss=values))).verdict is Verdict.PASS


def test_a_rate_that_goes_up_and_down_explains_it(judged) -> None:
    rate = 0.1 + 0.09 * TO_AND_FRO
    found = judged(judge, seen(log(val_loss=swinging(1.5), lr=rate)))
    assert found.verdict is Verdict.INFO
    assert "goes up and down" in found.summary


def test_one_jump_is_no_oscillation(judged) -> None:
    values = swinging(0.02)
    values[30] = 20
    assert judged(judge, seen(log(val_loss=values))).verdict is Verdict.PASS


@pytest.mark.parametrize("scatter", [0.3, 1.0])
def test_the_scatter_of_batches_is_no_oscillation(judged, scatter: float) -> None:
    losses = 0.5 + decay(5000, 8, 2.0) + noise(5000, scatter)
    found = judged(judge, seen(log("steps", train_loss=losses)))
    assert found.verdict is Verdict.PASS
    few = judged(judge, seen(log("steps", train_loss=losses[:500])))
    assert few.verdict is Verdict.NOT_APPLICABLE
    assert "can't be told from the batches' scatter" in few.summary


def test_the_model_itself_swings_in_dense_losses(judged) -> None:
    wave = 1.5 * np.sign(np.sin(np.arange(5000) / 60))
    losses = 3 + decay(5000, 8, 2.0) + wave + noise(5000, 0.3)
    assert judged(judge, seen(log("steps", train_loss=losses))).verdict is Verdict.WARN


@pytest.mark.parametrize("held", [log(val_loss=swinging(1.5)[:23]), log(lr=decay(50))])
def test_too_few(judged, held) -> None:
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.NOT_APPLICABLE
    assert "it takes 24" in found.summary or "does not tell" in found.summary
