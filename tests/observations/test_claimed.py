"""Claimed metrics are measured as scikit-learn measures them, with intervals that hold."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from auditor.observations.claim_verdicts import stated
from auditor.observations.claimed import Evidence, measured
from auditor.observations.claims import KNOWN, Quantity, quantity
from auditor.observations.performance import Performance
from auditor.observations.predictions import Predictions
from auditor.observations.resampled import Measured
from tests.predictions import drawn, predicted

EXAMPLES = 800


def measure(name: str, seen: Any, confidence: float = 0.99) -> Measured | str:
    what = quantity(name)
    assert what is not None
    performance = seen if isinstance(seen, Performance) else None
    predictions = seen if isinstance(seen, Predictions) else None
    rng = np.random.default_rng(0)
    return measured(what, Evidence(performance, predictions), confidence, rng)


def close(name: str, seen: Any, wanted: float) -> None:
    found = measure(name, seen)
    assert isinstance(found, Measured), found
    assert found.value == pytest.approx(wanted, rel=1e-6)
    assert found.sure[0] <= found.told[0] <= found.value <= found.told[1] <= found.sure[1]
    assert found.told[0] < found.told[1]


LOGITS, TRUTH = drawn(EXAMPLES, 5, 1.5)
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
SAID = LOGITS.argmax(axis=1)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("balanced_accuracy", metrics.balanced_accuracy_score(TRUTH, SAID)),
        ("f1_macro", metrics.f1_score(TRUTH, SAID, average="macro")),
        ("weighted F1", metrics.f1_score(TRUTH, SAID, average="weighted")),
        ("precision (weighted)", metrics.precision_score(TRUTH, SAID, average="weighted")),
        ("recall_micro", metrics.recall_score(TRUTH, SAID, average="micro")),
        ("mIoU", metrics.jaccard_score(TRUTH, SAID, average="macro")),
        ("roc_auc", metrics.roc_auc_score(TRUTH, SHARES, multi_class="ovr")),
        ("top3", metrics.top_k_accuracy_score(TRUTH, LOGITS, k=3)),
        ("acc@2", metrics.top_k_accuracy_score(TRUTH, LOGITS, k=2)),
        ("exact match", metrics.accuracy_score(TRUTH, SAID)),
        (
            "average_precision",
            np.mean([metrics.average_precision_score(c == TRUTH, SHARES[:, c]) for c in range(5)]),
        ),
    ],
)
def test_several_classes(name: str, wanted: float) -> None:
    close(name, predicted(LOGITS, TRUTH), wanted)


def test_the_kindest_average_stands_for_one_that_is_not_named() -> None:
    found = measure("f1", predicted(LOGITS, TRUTH))
    assert isinstance(found, Measured)
    averages = ("macro", "micro", "weighted")
    best = max(averages, key=lambda a: metrics.f1_score(TRUTH, SAID, average=a))
    assert found.note == f"{best} average"


TWO, YES = drawn(EXAMPLES, 2, 1.5)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("f1", metrics.f1_score(YES, TWO.argmax(1))),
        ("precision", metrics.precision_score(YES, TWO.argmax(1))),
        ("recall_binary", metrics.recall_score(YES, TWO.argmax(1))),
        ("AUROC", metrics.roc_auc_score(YES, TWO[:, 1] - TWO[:, 0])),
        ("pr_auc", metrics.average_precision_score(YES, TWO[:, 1] - TWO[:, 0])),
    ],
)
def test_two_classes(name: str, wanted: float) -> None:
    close(name, predicted(TWO, YES), wanted)


RNG = np.random.default_rng(1)
RAW = RNG.standard_normal((EXAMPLES, 4))
SET = (RAW + RNG.standard_normal(RAW.shape) > 0).astype(int)
MADE = (RAW > 0).astype(int)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("f1_macro", metrics.f1_score(SET, MADE, average="macro")),
        ("f1_micro", metrics.f1_score(SET, MADE, average="micro")),
        ("precision_weighted", metrics.precision_score(SET, MADE, average="weighted")),
        ("auc", metrics.roc_auc_score(SET, RAW)),
        ("subset accuracy", metrics.accuracy_score(SET, MADE)),
        ("iou", metrics.jaccard_score(SET, MADE, average="macro")),
    ],
)
def test_several_labels(name: str, wanted: float) -> None:
    close(name, predicted(RAW, SET, "binary_cross_entropy_with_logits"), wanted)


WANTED = RNG.standard_normal((300, 2)) * [1, 3] + [0, 5]
GIVEN = WANTED + RNG.standard_normal((300, 2))


def numbers() -> Predictions:
    seen = predicted(np.zeros((300, 2)), np.zeros(300, int))
    changes = {"kind": "numbers", "loss": "mse_loss", "task": "regression"}
    values = {"outputs": GIVEN, "targets": WANTED}
    return Predictions(**{**vars(seen), **changes, **values})


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mse", metrics.mean_squared_error(WANTED, GIVEN)),
        ("RMSE", metrics.mean_squared_error(WANTED, GIVEN) ** 0.5),
        ("mae", metrics.mean_absolute_error(WANTED, GIVEN)),
        ("r2_score", metrics.r2_score(WANTED, GIVEN)),
    ],
)
def test_numbers(name: str, wanted: float) -> None:
    close(name, numbers(), wanted)


def performance(**changes: Any) -> Performance:
    """Return 400 examples of 3 targets, of which a share of about 0.9 is right."""
    rng = np.random.default_rng(0)
    scores = rng.binomial(3, 0.9, 400) / 3
    entropies = rng.gamma(2.0, 0.2, 400)
    sizes = np.full(10, 40)
    seen = {
        "metric": "accuracy",
        "scores": scores,
        "entropies": entropies,
        "losses": entropies.reshape(10, 40).mean(axis=1),
        "batch_examples": sizes,
        "target_example": np.arange(400),
        "target_class": np.zeros(400, int),
        "target_count": np.full(400, 3),
        "target_values": np.zeros((0, 0)),
        "split": "val",
    }
    return Performance(**{**seen, **changes})


def test_what_examples_tell() -> None:
    seen = performance()
    mean = float(seen.entropies.mean())
    close("accuracy", seen, float(seen.scores.mean()))
    close("error rate", seen, 1 - float(seen.scores.mean()))
    close("log_loss", seen, mean)
    close("loss", seen, mean)
    close("perplexity", seen, float(np.exp(mean)))
    close("bpc", seen, mean / float(np.log(2)))


def test_examples_of_more_targets_count_more() -> None:
    counts = np.where(np.arange(400) < 200, 1, 9)
    seen = performance(target_count=counts)
    close("accuracy", seen, float(np.average(seen.scores, weights=counts)))


def test_a_loss_of_ones_own_is_known_by_its_batches() -> None:
    few = performance(losses=performance().losses * 3)
    assert "too few batches" in str(measure("loss", few))
    many = performance(batch_examples=np.full(100, 4), losses=np.linspace(1, 2, 100))
    close("loss", many, 1.5)


def test_outputs_that_are_not_finite() -> None:
    broken = performance(scores=np.full(400, np.nan), entropies=np.full(400, np.nan))
    accuracy, loss = measure("accuracy", broken), measure("cross_entropy", broken)
    assert isinstance(accuracy, Measured)
    assert isinstance(loss, Measured)
    assert accuracy.value == 0
    assert loss.value == np.inf
    outputs = GIVEN.copy()
    outputs[0] = np.nan
    lost = measure("mse", Predictions(**{**vars(numbers()), "outputs": outputs}))
    assert isinstance(lost, Measured)
    assert lost.value == np.inf
    lost = measure("r2", Predictions(**{**vars(numbers()), "outputs": outputs}))
    assert isinstance(lost, Measured)
    assert lost.value == -np.inf


def test_nothing_wrong_is_not_certainty() -> None:
    outputs = np.eye(3)[np.arange(60) % 3] * 9
    seen = predicted(outputs, np.arange(60) % 3)
    for name in ("f1_macro", "auc", "balanced_accuracy", "top2"):
        found = measure(name, seen)
        assert isinstance(found, Measured)
        assert found.value == 1
        assert found.told[0] < 0.96


@pytest.mark.parametrize(
    ("name", "seen", "reason"),
    [
        ("accuracy", performance(metric="squared error"), "no classes"),
        ("mse", predicted(LOGITS, TRUTH), "no regression"),
        ("top5", predicted(LOGITS, TRUTH), "no 6 classes"),
        ("f1_binary", predicted(LOGITS, TRUTH), "not two"),
        ("auc", numbers(), "regression"),
        ("auc", predicted(TWO, np.zeros(EXAMPLES, int)), "both cases"),
    ],
)
def test_what_can_not_be_measured(name: str, seen: Any, reason: str) -> None:
    assert reason in str(measure(name, seen))


def test_rows_of_an_example_are_not_independent() -> None:
    alone = predicted(LOGITS, TRUTH)
    order = np.argsort(SAID - TRUTH == 0, kind="stable")
    joined = predicted(LOGITS[order], TRUTH[order], example=np.arange(EXAMPLES) // 8)
    widths = []
    for seen in (alone, joined):
        for name in ("exact match", "f1_macro", "auc"):
            found = measure(name, seen)
            assert isinstance(found, Measured)
            widths.append(found.told[1] - found.told[0])
    assert widths[3] > 2 * widths[0]
    assert widths[4] > 2 * widths[1]


@pytest.mark.slow
def test_intervals_hold_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = {"f1_macro": 0, "auc": 0}
    logits, truth = drawn(40_000, 3, 1.5, seed=3)
    wanted = {}
    for name in held:
        found = measure(name, predicted(logits, truth))
        assert isinstance(found, Measured)
        wanted[name] = found.value
    for _ in range(60):
        rows = rng.integers(0, len(truth), 200)
        for name in held:
            found = measure(name, predicted(logits[rows], truth[rows]))
            assert isinstance(found, Measured)
            held[name] += found.told[0] <= wanted[name] <= found.told[1]
    assert min(held.values()) >= 52


@pytest.mark.parametrize(
    ("name", "kind", "average", "k"),
    [
        ("Accuracy", "accuracy", "", 1),
        ("acc", "accuracy", "", 1),
        ("top1", "accuracy", "", 1),
        ("best_val_acc", "accuracy", "", 1),
        ("val/acc", "accuracy", "", 1),
        ("Top-5", "top-k accuracy", "", 5),
        ("acc5", "top-k accuracy", "", 5),
        ("macro-F1", "F1", "macro", 1),
        ("F1 score", "F1", "", 1),
        ("sensitivity", "recall", "", 1),
        ("ROC AUC", "AUC", "", 1),
        ("r^2", "R²", "", 1),
        ("bits per character", "bits per token", "", 1),
        ("test_loss", "loss", "", 1),
    ],
)
def test_usual_spellings(name: str, kind: str, average: str, k: int) -> None:
    found = quantity(name)
    assert found is not None
    assert (found.kind, found.average, found.k) == (kind, average, k)


@pytest.mark.parametrize("name", ["", "5", "BLEU", "mAP", "train_loss", "f1_macro_micro", "top0"])
def test_names_that_stand_for_nothing_here(name: str) -> None:
    assert quantity(name) is None


def test_every_known_name_is_known() -> None:
    assert [name for name in KNOWN if quantity(name) is None] == []


@pytest.mark.parametrize(
    ("value", "kind", "claim", "rounding"),
    [
        (0.97, "accuracy", 0.97, 0.005),
        (0.9712, "accuracy", 0.9712, 0.00005),
        (0.9, "accuracy", 0.9, 0.005),
        (1.0, "accuracy", 1.0, 0.005),
        (97.0, "accuracy", 0.97, 0.005),
        (97.25, "accuracy", 0.9725, 0.00005),
        (100.0, "accuracy", 1.0, 0.005),
        (0.35, "loss", 0.35, 0.005),
        (12.0, "perplexity", 12.0, 0.3),
        (120.0, "perplexity", 120.0, 3.0),
        (1e-05, "loss", 1e-05, 2.5e-7),
    ],
)
def test_how_precisely_a_claim_is_stated(
    value: float, kind: Any, claim: float, rounding: float
) -> None:
    found = stated(value, Quantity(kind))
    assert found == (pytest.approx(claim), pytest.approx(rounding))
