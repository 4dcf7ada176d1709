from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from auditor.checks import find
from auditor.core.request import Unavailable
from auditor.core.verdict import Verdict
from auditor.observations.loss_cure import LossCure, LossCureFrom
from auditor.observations.loss_fit import reach_of, task_of
from auditor.observations.loss_probe import LossProbe, LossProbeOver
from auditor.observations.predictions import Predictions, PredictionsOver
from tests.checks.conftest import Judged

CHECK = find("loss-unfit-for-task")
PROBE, PREDICTIONS, CURE = LossProbeOver(), PredictionsOver(), LossCureFrom()
ROWS, CLASSES = 128, 4
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (ROWS, CLASSES))
LABELS = np.arange(ROWS) % CLASSES
ONE_HOT = np.eye(CLASSES)[LABELS]


def softmax(table: np.ndarray) -> np.ndarray:
    powers = np.exp(table - table.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(table: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(table / 2))


def probed(
    alike: str,
    end: Any = lambda table: table,
    *,
    logits: np.ndarray = LOGITS,
    targets: np.ndarray = LABELS,
    **changes: Any,
) -> LossProbe:
    """Return a probe of a model that ends in `end`; blown-up copies end in it too."""
    factors = np.repeat([3.0, 30.0, 300.0] * 2, 16)
    loud = RNG.normal(0, 1, (96, logits.shape[1])) * factors[:, None]
    probe = LossProbe(
        outputs=end(logits),
        targets=np.asarray(targets, float),
        classes=targets.ndim == 1,
        counted=len(logits),
        ignored=0,
        ignored_label=-100,
        examples=len(logits),
        shaken=end(loud),
        shaken_by=factors,
        shaken_draw=np.repeat(np.arange(6), 16),
        acts_like=(alike,),
        over_batch=False,
        whole=np.array([1.0, 1.1, 0.9, 1.0]),
        halves=np.array([[0.9, 1.1], [1.1, 1.1], [1.0, 0.8], [1.0, 1.0]]),
        quarters=np.zeros(0),
        unpaired=False,
        broadcasts=False,
        output_shape=f"float32[32, {logits.shape[1]}]",
        target_shape="int64[32]",
        width=logits.shape[1],
        loss=alike,
        factory="model:build",
        split="train",
    )
    return replace(probe, **changes)


def answers(probe: LossProbe, predictions: Any = None, cure: Any = None) -> dict[Any, Any]:
    return {
        PROBE: probe,
        PREDICTIONS: predictions or Unavailable("the task is custom, so outputs can't be read"),
        CURE: cure or Unavailable("nothing suggests that the loss needs a cure"),
    }


def relu(table: np.ndarray) -> np.ndarray:
    return np.maximum(table, 0)


def log_softmax(table: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(softmax(table), 1e-300)))


SEVERAL = (RNG.random((ROWS, CLASSES)) < 0.5).astype(float)
BINARY = (np.arange(ROWS) % 2).astype(float).reshape(-1, 1)
ONE = LOGITS[:, :1]
NUMBERS = RNG.normal(0, 1, (ROWS, 1))
LOGIT_LOSS, BINARY_LOSS = "binary_cross_entropy_with_logits", "binary_cross_entropy"
TWO = LOGITS[:, :2]
PAIR = ONE_HOT[:, :2] + ONE_HOT[:, 2:]
PADDED = ONE_HOT * (np.arange(ROWS) % 3 > 0)[:, None]
MIXED = np.hstack([1000 + 300 * NUMBERS, NUMBERS[::-1]])
UNEVEN = np.repeat([0.0, 1.0, 2.0], [90, 25, 13]).reshape(-1, 1)
COUNTS = np.repeat([0.0, 1.0, 2.0, 3.0], [70, 40, 17, 1]).reshape(-1, 1)
WIDE, CLICKS = RNG.normal(0, 2, (ROWS, 200)), (RNG.random((ROWS, 200)) < 0.1).astype(float)


def half_relu(table: np.ndarray) -> np.ndarray:
    return np.hstack([table[:, :1], relu(table[:, 1:])])


@pytest.mark.parametrize(
    ("probe", "verdict", "words"),
    [
        (probed("cross_entropy"), Verdict.PASS, "fits"),
        (probed("cross_entropy", log_softmax), Verdict.PASS, "fits"),
        (probed("cross_entropy", softmax), Verdict.FAIL, "softmax a second time"),
        (probed("cross_entropy", softmax, targets=ONE_HOT), Verdict.FAIL, "softmax a second time"),
        (probed("cross_entropy", sigmoid), Verdict.FAIL, "can't fall below 0.744"),
        (probed("cross_entropy", np.tanh), Verdict.FAIL, "can't fall below"),
        (probed("cross_entropy", lambda t: np.clip(t, -9, 9)), Verdict.PASS, "fits"),
        (probed("cross_entropy", relu), Verdict.WARN, "ReLU"),
        (probed("cross_entropy", relu, logits=LOGITS - [0, 0, 0, 99]), Verdict.FAIL, "1 of 4"),
        (probed("cross_entropy", logits=ONE), Verdict.FAIL, "single output"),
        (probed("nll_loss", log_softmax), Verdict.PASS, "fits"),
        (probed("nll_loss"), Verdict.FAIL, "no log-probabilities"),
        (probed("nll_loss", softmax), Verdict.FAIL, "logarithm is missing"),
        (probed(LOGIT_LOSS, targets=SEVERAL), Verdict.PASS, "fits"),
        (probed(LOGIT_LOSS, sigmoid, targets=SEVERAL), Verdict.FAIL, "second time"),
        (probed(LOGIT_LOSS, softmax, targets=SEVERAL), Verdict.FAIL, "several 1s"),
        (probed(LOGIT_LOSS, softmax, targets=ONE_HOT), Verdict.FAIL, "sum to one"),
        (probed(LOGIT_LOSS, relu, targets=SEVERAL), Verdict.FAIL, "below 0.5"),
        (probed(LOGIT_LOSS, np.tanh, targets=SEVERAL), Verdict.FAIL, "can't fall below"),
        (probed(LOGIT_LOSS, targets=ONE_HOT), Verdict.WARN, "exclusive"),
        (probed(LOGIT_LOSS, logits=ONE, targets=BINARY), Verdict.PASS, "fits"),
        (probed(LOGIT_LOSS, logits=ONE, targets=BINARY + 1), Verdict.FAIL, "reach from 1 to 2"),
        (probed(LOGIT_LOSS, logits=ONE, targets=2 * BINARY - 1), Verdict.FAIL, "from -1 to 1"),
        (probed(LOGIT_LOSS, logits=ONE, targets=0.1 + 0.8 * BINARY), Verdict.PASS, "fits"),
        (probed("binary_cross_entropy", sigmoid, targets=SEVERAL), Verdict.PASS, "fits"),
        (probed("binary_cross_entropy", softmax, targets=SEVERAL), Verdict.FAIL, "several 1s"),
        (probed("binary_cross_entropy", softmax, targets=ONE_HOT), Verdict.WARN, "exclusive"),
        (
            probed("binary_cross_entropy", softmax, logits=ONE, targets=BINARY),
            Verdict.FAIL,
            "softmax over one unit",
        ),
        (probed("mse_loss", logits=ONE, targets=NUMBERS), Verdict.PASS, "fits"),
        (probed("mse_loss", softmax, logits=ONE, targets=NUMBERS), Verdict.FAIL, "over one unit"),
        (probed("mse_loss", relu, logits=ONE, targets=NUMBERS), Verdict.FAIL, "out of reach"),
        (probed("mse_loss", relu, logits=ONE, targets=abs(NUMBERS)), Verdict.PASS, "fits"),
        (probed("mse_loss", np.tanh, logits=ONE, targets=NUMBERS), Verdict.WARN, "out of reach"),
        (probed("mse_loss", sigmoid, logits=ONE, targets=sigmoid(NUMBERS)), Verdict.PASS, "fits"),
        (probed("mse_loss", softmax, targets=ONE_HOT), Verdict.WARN, "Brier"),
        (probed("mse_loss", targets=ONE_HOT), Verdict.WARN, "Least squares"),
        (probed("mse_loss", softmax, targets=SEVERAL), Verdict.FAIL, "several 1s"),
        (probed("mse_loss", sigmoid, targets=SEVERAL), Verdict.PASS, "fits"),
        (probed("mse_loss", softmax, targets=softmax(LOGITS)), Verdict.PASS, "fits"),
        (probed("mse_loss", logits=ONE, targets=BINARY), Verdict.WARN, "0 or 1"),
        (
            probed("mse_loss", logits=ONE, targets=LABELS.reshape(-1, 1)),
            Verdict.WARN,
            "likely, not certain",
        ),
        (probed("mse_loss", logits=ONE, targets=LABELS), Verdict.WARN, "likely, not certain"),
        (probed("mse_loss", logits=ONE, targets=LABELS[:, None] + 1.0), Verdict.INFO, "indices"),
        (probed("mse_loss", logits=ONE, targets=UNEVEN), Verdict.INFO, "0 to 2"),
        (probed("mse_loss", logits=ONE, targets=COUNTS), Verdict.PASS, "thin out"),
        (probed("mse_loss", logits=ONE, targets=2 * BINARY - 1), Verdict.WARN, "-1 or 1"),
        (probed("mse_loss", logits=ONE[:6], targets=BINARY[:6]), Verdict.INFO, "44 rows would"),
        (probed("mse_loss", logits=ONE[:6], targets=NUMBERS[:6]), Verdict.INFO, "as 6 rows"),
        (probed(LOGIT_LOSS, logits=ONE[:6], targets=BINARY[:6]), Verdict.INFO, "as 6 rows"),
        (probed("mse_loss", log_softmax, logits=ONE, targets=NUMBERS), Verdict.FAIL, "always 0"),
        (probed("mse_loss", half_relu, logits=TWO, targets=MIXED), Verdict.FAIL, "output 1 of 2"),
        (probed("mse_loss", relu, logits=TWO, targets=MIXED), Verdict.FAIL, "output 1 of 2"),
        (probed("mse_loss", half_relu, logits=TWO, targets=abs(MIXED)), Verdict.PASS, "fits"),
        (probed("cross_entropy", targets=SEVERAL), Verdict.FAIL, "on several labels"),
        (probed("cross_entropy", softmax, targets=SEVERAL), Verdict.FAIL, "on several labels"),
        (probed("kl_div", log_softmax, targets=SEVERAL), Verdict.FAIL, "on several labels"),
        (probed("softmax", targets=SEVERAL), Verdict.FAIL, "on several labels"),
        (probed("softmax", logits=WIDE, targets=CLICKS), Verdict.WARN, "it ranks them"),
        (probed("cross_entropy", targets=PADDED), Verdict.PASS, "hold none"),
        (probed("mse_loss", softmax, targets=PADDED), Verdict.PASS, "hold none"),
        (probed("cross_entropy", targets=softmax(LOGITS)), Verdict.PASS, "sums to one"),
        (probed("softmax", softmax), Verdict.FAIL, "more than 0.475 of the probability"),
        (probed("softmax", sigmoid), Verdict.FAIL, "can't fall below 0.744"),
        (probed("softmax", loss="own"), Verdict.PASS, "takes a softmax itself and fits"),
        (probed("sigmoid", sigmoid, targets=SEVERAL), Verdict.FAIL, "second time"),
        (
            probed("sigmoid", targets=SEVERAL, loss="own"),
            Verdict.PASS,
            "takes a sigmoid itself and fits",
        ),
        (probed("sigmoid", targets=ONE_HOT), Verdict.WARN, "exclusive"),
        (probed(LOGIT_LOSS, logits=TWO, targets=PAIR), Verdict.WARN, "exclusive"),
        (probed(BINARY_LOSS, sigmoid, logits=TWO, targets=PAIR), Verdict.WARN, "exclusive"),
        (probed(BINARY_LOSS, softmax, logits=TWO, targets=PAIR), Verdict.PASS, "fits"),
        (probed(LOGIT_LOSS, logits=LOGITS[:6], targets=ONE_HOT[:6]), Verdict.INFO, "44 rows would"),
        (probed("cross_entropy", softmax, over_batch=True), Verdict.FAIL, "over the batch"),
        (probed("", softmax), Verdict.PASS, "like none of torch's"),
        (probed("", outputs=np.zeros(0), targets=np.zeros(0)), Verdict.PASS, "can't be read"),
        (probed("cross_entropy", ignored=2_000, classes=True), Verdict.WARN, "leaves out"),
        (probed("cross_entropy", ignored=9_000), Verdict.FAIL, "leaves out 9,000 of 9,128"),
        (probed("cross_entropy", ignored=700), Verdict.INFO, "leaves out 84.5%"),
        (probed("cross_entropy", ignored=890, counted=110), Verdict.INFO, "targets would settle"),
        (probed("cross_entropy", ignored=60), Verdict.PASS, "fits"),
        (probed("", unpaired=True), Verdict.FAIL, "every target"),
        (
            probed(
                "mse_loss", logits=ONE * 1e-3, targets=NUMBERS, broadcasts=True, target_shape="[32]"
            ),
            Verdict.WARN,
            "different shapes",
        ),
        (probed("mse_loss", logits=ONE, targets=NUMBERS, broadcasts=True), Verdict.PASS, "fits"),
    ],
)
def test_verdicts(judged: Judged, probe: LossProbe, verdict: Verdict, words: str) -> None:
    judgement = judged(CHECK, answers(probe))
    assert judgement.verdict is verdict, judgement.summary
    assert words in judgement.summary
    assert (judgement.where != ()) == (verdict in (Verdict.WARN, Verdict.FAIL))
    if verdict is not Verdict.PASS and probe.outputs.size:
        assert judgement.figures


def test_advice_names_the_factory(judged: Judged) -> None:
    judgement = judged(CHECK, answers(probed("cross_entropy", softmax)))
    assert "Remove the softmax at the end of `model:build`" in judgement.advice[0]


@pytest.mark.parametrize(
    ("factors", "verdict"),
    [
        ((2, 2, 2), Verdict.WARN),
        ((2, 2, 2.001), Verdict.WARN),
        ((1, 1, 1), Verdict.PASS),
        ((1.2, 1.3, 1.25), Verdict.PASS),
        ((1, 2, 2), Verdict.PASS),
        ((4, 4, 4), Verdict.PASS),
    ],
)
def test_what_grows_with_the_batch(judged: Judged, factors: Any, verdict: Verdict) -> None:
    probe = probed("cross_entropy", whole=np.array(factors), halves=np.ones((3, 2)))
    judgement = judged(CHECK, answers(probe))
    assert judgement.verdict is verdict
    assert ("sum" in judgement.summary) == (verdict is Verdict.WARN) or "no plain" in (
        judgement.summary
    )


@pytest.mark.parametrize(
    ("halves", "quarters", "verdict"),
    [
        (1.25, 0.875, Verdict.WARN),  # 0.5 and a sum of 1.5
        (1.0, 0.5, Verdict.WARN),  # a plain sum
        (2.0, 2.0, Verdict.PASS),
        (2 - np.log(2), 2 - np.log(4), Verdict.PASS),  # grows by as much at each doubling
        (0.5, 0.125, Verdict.PASS),  # a sum over pairs
        (2.0, np.nan, Verdict.PASS),
    ],
)
def test_a_part_that_grows_with_the_batch(
    judged: Judged, halves: float, quarters: float, verdict: Verdict
) -> None:
    scale = np.array([1.0, 1.2, 0.8])
    judgement = judged(
        CHECK,
        answers(
            probed(
                "",
                whole=2 * scale,
                halves=halves * scale[:, None] * [[0.9, 1.1]],
                quarters=quarters * scale,
            )
        ),
    )
    assert judgement.verdict is verdict, judgement.summary
    assert ("about 75%" in judgement.summary) == (halves == 1.25)


def test_without_copies_nothing_is_said_of_bounds(judged: Judged) -> None:
    nothing = {name: np.zeros(0) for name in ("shaken", "shaken_by", "shaken_draw")}
    for end in (sigmoid, relu):
        assert judged(CHECK, answers(probed("cross_entropy", end, **nothing))).verdict is (
            Verdict.PASS
        )
    softly = probed("cross_entropy", softmax, **nothing)
    assert judged(CHECK, answers(softly)).verdict is Verdict.FAIL


def test_outputs_that_sum_to_one_by_chance_are_logits(judged: Judged) -> None:
    outputs = softmax(LOGITS)
    outputs[5] *= 1.1
    assert judged(CHECK, answers(probed("cross_entropy", outputs=outputs))).verdict is Verdict.PASS


def test_copies_that_leave_the_bounds_refute_them(judged: Judged) -> None:
    probe = probed("cross_entropy", outputs=sigmoid(LOGITS))
    assert judged(CHECK, answers(probe)).verdict is Verdict.PASS


def test_labels_that_count_from_one(judged: Judged) -> None:
    labels = 1 + np.arange(ROWS) % (CLASSES - 1)
    judgement = judged(CHECK, answers(probed("cross_entropy", targets=labels)))
    assert judgement.verdict is Verdict.INFO
    assert "subtract 1" in judgement.summary
    tokens = probed("cross_entropy", targets=labels, examples=ROWS // 8)
    assert judged(CHECK, answers(tokens)).verdict is Verdict.PASS


def test_a_loss_of_ones_own_leaves_out_what_predictions_do_not_know(judged: Judged) -> None:
    whole = Predictions(
        "classes", LOGITS, LABELS, np.arange(ROWS), np.ones(2), np.array([100, 38]),
        ROWS, 0, "", True, "val",
    )  # fmt: skip
    judgement = judged(CHECK, answers(probed("cross_entropy", ignored=9_000), whole))
    assert judgement.verdict is Verdict.FAIL
    assert "leaves out 9,000 of 9,128" in judgement.summary


def test_a_class_that_is_ignored(judged: Judged) -> None:
    whole = Predictions(
        "classes", LOGITS, LABELS, np.arange(ROWS), np.ones(2), np.array([100, 38]),
        ROWS, 10, "cross_entropy", True, "val",
    )  # fmt: skip
    probe = probed("cross_entropy", ignored_label=2)
    judgement = judged(CHECK, answers(probe, whole))
    assert judgement.verdict is Verdict.WARN
    assert "Class 2 is left out" in judgement.summary
    # Several targets an example: the label marks padding.
    padded = replace(whole, batch_examples=np.array([10, 4]))
    assert judged(CHECK, answers(probe, padded)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": np.zeros(0), "whole": np.zeros(0), "halves": np.zeros((0, 2))}, "one example"),
        ({"outputs": np.full((9, 4), np.nan), "whole": np.array([np.nan] * 4)}, "finite"),
        ({"outputs": np.zeros(0), "whole": np.array([np.nan] * 4)}, "finite"),
    ],
)
def test_reasons_not_to_judge(judged: Judged, changes: dict[str, Any], words: str) -> None:
    judgement = judged(CHECK, answers(probed("", **changes)))
    assert judgement.verdict is Verdict.NOT_APPLICABLE
    assert words in judgement.summary


def cured(**changes: Any) -> LossCure:
    cure = LossCure(
        kind="softmax twice",
        same_loss=True,
        as_is=np.linspace(2, 1, 20),
        cured=np.linspace(2, 0.2, 20),
        metric="accuracy",
        scores_as_is=np.repeat([0.0, 1.0], 50),
        scores_cured=np.repeat([0.0, 1.0], [10, 90]),
        checkpoint_as_is=1.5,
        checkpoint_cured=0.4,
        optimizer="Adam(lr=0.001)",
        split="val",
    )
    return replace(cure, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "the cure is better"),
        ({"scores_cured": np.repeat([0.0, 1.0], 50)}, "no certain difference"),
        ({"scores_cured": np.zeros(100)}, "the cure is worse"),
        ({"metric": "squared error"}, "the cure is worse"),
        ({"scores_as_is": np.zeros(0), "no_race": "without a factory it can't be tried"}, "With"),
    ],
)
def test_the_cure_is_told(judged: Judged, changes: dict[str, Any], words: str) -> None:
    cure = cured(**changes)
    judgement = judged(CHECK, answers(probed("cross_entropy", softmax), cure=cure))
    assert words in judgement.summary
    assert "1.5 as it is and 0.4 cured." in judgement.summary
    another = judged(
        CHECK, answers(probed("cross_entropy", softmax), cure=replace(cure, same_loss=False))
    )
    assert "0.4 cured, which is another loss" in another.summary
    other = judged(CHECK, answers(probed("cross_entropy", sigmoid), cure=cure))
    assert "Tried" not in other.summary


@pytest.mark.parametrize(
    ("targets", "classes", "truth", "sure"),
    [
        (LABELS, True, "classes", "certain"),
        (ONE_HOT, False, "exclusive", "certain"),
        (ONE_HOT[:9], False, "exclusive", "likely"),
        (SEVERAL, False, "labels", "certain"),
        (BINARY, False, "binary", "certain"),
        (BINARY[::2], False, "binary", "open"),
        (softmax(LOGITS), False, "shares", "certain"),
        (NUMBERS, False, "numbers", "certain"),
        (LABELS[:, None], False, "whole numbers", "likely"),
        (LABELS[:, None] + 1, False, "whole numbers", "open"),
        (RNG.poisson(2.0, (400, 1)), False, "numbers", "certain"),
        (2 * BINARY - 1, False, "binary", "certain"),
        (BINARY[:9], False, "binary", "likely"),
        (PADDED, False, "labels", "open"),
        (SEVERAL[:9], False, "labels", "certain"),
        (np.full((5, 1), np.nan), False, "unknown", "open"),
        (np.zeros(0), False, "unknown", "open"),
    ],
)
def test_the_task_is_read_off_the_targets(
    targets: np.ndarray, classes: bool, truth: str, sure: str
) -> None:
    task = task_of(targets, classes)
    assert (task.truth, task.sure) == (truth, sure)


@pytest.mark.parametrize(
    ("end", "low", "high"),
    [
        (sigmoid, 0.0, 1.0),
        (np.tanh, -1.0, 1.0),
        (relu, 0.0, np.inf),
        (lambda t: np.clip(t, -7, 7), -7.0, 7.0),
        (lambda t: 60 * sigmoid(t), 0.0, 60.0),
        (lambda t: t, -np.inf, np.inf),
    ],
)
def test_bounds_are_found(end: Any, low: float, high: float) -> None:
    probe = probed("cross_entropy", end)
    reach = reach_of(probe, probe.outputs)
    assert (reach.low, reach.high) == pytest.approx((low, high), abs=1e-2)
    assert reach.proven == np.isfinite([low, high]).any()


def test_a_loss_without_a_number_for_a_wrong_answer_warns(judged: Any) -> None:
    found = judged(CHECK, answers(probed("cross_entropy", unstable=True)))
    assert found.verdict is Verdict.WARN
    assert "no finite loss" in found.summary
    assert "cross_entropy" in found.advice[0]


def test_it_says_that_a_fresh_model_was_asked(judged: Judged) -> None:
    halves = np.full((4, 2), 0.5)
    probe = probed("cross_entropy", halves=halves, whole=np.ones(4), fresh=True)
    said = judged(CHECK, answers(probe))
    assert said.verdict is Verdict.WARN
    assert said.where[0].note == "is summed over the batch"
    assert "a fresh model was asked instead" in said.summary
    assert "fresh" not in judged(CHECK, answers(replace(probe, fresh=False))).summary
