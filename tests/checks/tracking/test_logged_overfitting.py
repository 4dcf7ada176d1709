import numpy as np
import pytest

from auditor.checks.tracking.logged_overfitting import judge
from auditor.core.subject import SplitFacts, TargetFacts
from auditor.core.verdict import Verdict
from auditor.observations.losses import Losses, LossesOver
from auditor.observations.splits import SplitsOf, SplitsSeen
from tests.logs_by_hand import decay, log, noise, seen

TRAIN = decay(40, 6)


def bent(lost: float, count: int = 40, best: int = 10, scatter: float = 0.01) -> np.ndarray:
    """Return a validation loss that loses a share of its gain of 2 after its best."""
    down = np.linspace(2.5, 0.5, best)
    up = 0.5 + 2 * lost * np.linspace(0, 1, count - best)
    return np.r_[down, up] + noise(count, scatter)


@pytest.mark.parametrize(
    ("lost", "verdict"),
    [(0.0, Verdict.PASS), (0.05, Verdict.PASS), (0.3, Verdict.WARN), (0.9, Verdict.FAIL)],
)
def test_what_was_lost_since_the_best(judged, lost: float, verdict: Verdict) -> None:
    found = judged(judge, seen(log(train_loss=TRAIN, val_loss=bent(lost))))
    assert found.verdict is verdict, found.summary
    if verdict is not Verdict.PASS:
        assert "best at epoch 1" in found.summary
        assert "in validation" in found.where[0].note
        assert "can't be told" in found.summary
        assert found.figures[0].stretches[-1].name.startswith("best, epoch 1")


@pytest.mark.parametrize(
    ("saved_at", "verdict", "words"),
    [
        (40, Verdict.FAIL, "of the end"),
        (30, Verdict.FAIL, "after the best, at epoch 30"),
        (5, Verdict.INFO, "before it"),
    ],
)
def test_which_checkpoint_is_audited(judged, saved_at: int, verdict: Verdict, words: str) -> None:
    by = "`epoch` in the checkpoint"
    held = log("epochs", saved_at, by, train_loss=TRAIN, val_loss=bent(0.9))
    found = judged(judge, seen(held))
    assert found.verdict is verdict
    assert words in found.summary


def test_the_best_checkpoint_lost_nothing(judged) -> None:
    values = bent(0.9, scatter=0.0)
    best = float(np.argmin(values)) + 1
    found = judged(judge, seen(log("epochs", best, "its name", val_loss=values)))
    assert found.verdict is Verdict.INFO
    assert "of that place (its name)" in found.summary


@pytest.mark.parametrize(
    ("measured", "complete", "verdict", "words"),
    [
        ("best", True, Verdict.INFO, "of that place (by the loss that it has here)"),
        ("last", True, Verdict.FAIL, "of the end (by the loss that it has here)"),
        ("best", False, Verdict.FAIL, "can't be told"),
        ("else", True, Verdict.FAIL, "can't be told"),
    ],
)
def test_a_checkpoint_is_known_by_its_loss(
    judged, measured: str, complete: bool, verdict: Verdict, words: str
) -> None:
    values = bent(0.9)
    loss = {"best": values.min(), "last": values[-1], "else": 9.0}[measured]
    losses = Losses(np.array([loss - 0.1, loss + 0.1]), np.array([32, 32]), "val")
    targets = TargetFacts("class indices", 3)
    facts = SplitFacts(2, 2, 64, 32, complete, ("8",), "", targets, "")
    known = {LossesOver(split="val"): losses, SplitsOf(): SplitsSeen({"val": facts})}
    found = judged(judge, seen(log(train_loss=TRAIN, val_loss=values)) | known)
    assert found.verdict is verdict, found.summary
    assert words in found.summary


def test_a_model_too_sure_of_itself_is_no_worse(judged) -> None:
    held = log(train_loss=TRAIN, val_loss=bent(0.9), val_accuracy=1 - 0.1 * TRAIN)
    found = judged(judge, seen(held))
    assert found.verdict is Verdict.INFO
    assert "too sure of itself" in found.summary
    worse = log(train_loss=TRAIN, val_loss=bent(0.9), val_accuracy=1 - 0.1 * bent(0.9))
    assert judged(judge, seen(worse)).verdict is Verdict.FAIL


def test_a_run_that_went_astray(judged) -> None:
    found = judged(judge, seen(log(train_loss=bent(0.5), val_loss=bent(0.9))))
    assert found.verdict is Verdict.FAIL
    assert "astray" in found.where[0].note


@pytest.mark.parametrize("seed", range(5))
def test_luck_of_the_best_is_no_rise(judged, seed: int) -> None:
    values = 0.5 + decay(60, 12, 2.0) + noise(60, 0.1, seed)
    assert judged(judge, seen(log(val_loss=values))).verdict is Verdict.PASS


def test_too_few_since_the_best_are_told(judged) -> None:
    found = judged(judge, seen(log(val_loss=np.r_[np.linspace(2.5, 0.5, 10), [1.0, 1.5, 2.0]])))
    assert found.verdict is Verdict.INFO
    assert "too few to be sure" in found.summary
    at_end = judged(judge, seen(log(val_loss=decay(10))))
    assert at_end.verdict is Verdict.PASS
    assert "at the end of the run" in at_end.summary


@pytest.mark.parametrize("held", [log(val_loss=decay(7)), log(train_loss=decay(50))])
def test_too_few(judged, held) -> None:
    assert judged(judge, seen(held)).verdict is Verdict.NOT_APPLICABLE
